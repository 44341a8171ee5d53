"""Assembles the controller of a model with its real engines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from deploy.access.command_signing import daemon_barrier
from deploy.access.current_roles import CurrentRoles
from deploy.app.code_version import code_version
from deploy.app.deployment import Deployment
from deploy.app.serving_engines import (
    answers_of_versions,
    gate_queries,
    model_servers,
    traffic_metrics,
    traffic_router,
)
from deploy.app.serving_layout import envoy_layout
from deploy.daemon.background_answers import BackgroundAnswers
from deploy.daemon.background_references import BackgroundReferences
from deploy.daemon.controller import ModelController
from deploy.daemon.labelled_versions import LabelledVersions
from deploy.daemon.log_history import LogHistory, read_history
from deploy.daemon.memory_ledger import MemoryLedger, size_in
from deploy.daemon.promotion_log import LogPromotions
from deploy.daemon.recent_requests import RecentEvents
from deploy.daemon.reference_publisher import ReferenceHistory, WindowReferencePublisher
from deploy.daemon.stored_files import StoredFiles
from retrain.labels import LogLabelCounter
from retrain.models.code import load_code
from serving.engines.label_server import LabelServer
from serving.engines.unserved import unserved_ports
from serving.paired import RecentRequests
from serving.ports import ServingPorts
from streaming.contracts.records import Artifact, ModelVersion, PairedComparison
from streaming.engines.tfdv import schema_text as schema_file


def memory_ledger(deployment: Deployment) -> MemoryLedger | None:
    """The ledger that all models of a daemon share; None where memory is not limited."""
    budget = deployment.settings.local.model_memory
    if budget is None:
        return None
    size_of = partial(size_in, deployment.artifact_root / "models")
    labelled = {
        name: tuple(set(deployment.settings_of(name).version_labels.values()))
        for name in deployment.served_models
    }
    return MemoryLedger(budget, deployment.served_models, size_of, labelled)


def labelled_versions(deployment: Deployment) -> tuple[LabelledVersions, ...]:
    """The labels of each served model that has some."""
    result = []
    for model in deployment.served_models:
        end = envoy_layout(deployment, model).label_endpoint
        if end is not None:
            folder = deployment.artifact_root / "models" / model
            server = LabelServer(f"{end.host}:{end.grpc_port}", model, str(folder))
            labels = deployment.settings_of(model).version_labels
            exists = partial(_is_stored, folder)
            result.append(LabelledVersions(model, server, labels, exists))
    return tuple(result)


def _is_stored(folder: Path, version: int) -> bool:
    return (folder / str(version)).is_dir()


def model_controller(
    deployment: Deployment, model: str, memory: MemoryLedger | None = None
) -> ModelController:
    """The controller of a model on Kafka, Envoy, Prometheus and the model servers.

    A model that this deployment does not serve gets servers and routes that exist in name only.
    """
    contract, log = deployment.contract(model), deployment.open_log()
    rollout_rules = deployment.rollout_rules(model)
    references = BackgroundReferences(
        build=partial(_build_reference, deployment), idle_seconds=rollout_rules.reference_seconds
    )
    serving = (
        ServingPorts(
            router=traffic_router(deployment, model),
            servers=model_servers(deployment, model),
            metrics=traffic_metrics(deployment, model),
            queries=gate_queries(deployment, model),
            references=references,
            answers=BackgroundAnswers(run=partial(_compare_answers, deployment)),
            memory=memory,
        )
        if deployment.serves(model)
        else unserved_ports(references)
    )
    serving = replace(
        serving,
        promotions=LogPromotions(deployment.open_log(), model),
        files=StoredFiles(),
    )
    keys = deployment.settings.access.command_keys
    roles = CurrentRoles(deployment.settings, deployment.file)
    return ModelController(
        contract=contract,
        code=code_version(),
        retrain_rules=deployment.retrain_rules(model),
        rollout_rules=rollout_rules,
        labels=LogLabelCounter(log, contract.labels_topic),
        serving=serving,
        schema_text=partial(checked_text, contract.schema_path),
        edit_schema=schema_file.apply_changes,
        history=partial(_read_history, deployment, model),
        command_barrier=lambda command: daemon_barrier(command, keys, roles()),
    )


def _read_history(deployment: Deployment, model: str) -> LogHistory:
    """What the log knows of a model, read through a log of its own."""
    with deployment.log() as log:
        return read_history(log, model)


def _build_reference(
    deployment: Deployment, version: ModelVersion, superseded: Callable[[], bool]
) -> Artifact | None:
    """The stored reference of a version, read through a log of its own."""
    with deployment.log() as log:
        return WindowReferencePublisher(
            log=log,
            store=deployment.store(),
            seasons=_seasons(deployment, version.model),
            days=_days(deployment, version.model),
            superseded=superseded,
        ).publish(version)


def _compare_answers(
    deployment: Deployment, version: ModelVersion, champion: int, given_up: Callable[[], bool]
) -> PairedComparison:
    """The answers of both servers, compared."""
    requests = partial(_recent_requests, deployment, version)
    engine = answers_of_versions(deployment, version.model, requests)
    return engine.compare(version, champion, given_up)


def _recent_requests(
    deployment: Deployment, version: ModelVersion, given_up: Callable[[], bool]
) -> RecentRequests:
    """Requests made of the model's recent events, read through a log of its own."""
    model, after_shift = version.model, version.cause in ("drift", "concept")
    rules, section = deployment.rollout_rules(model).shadow, deployment.settings_of(model)
    contract, code = deployment.contract(model), load_code(section.module)
    with deployment.log() as log:
        return RecentEvents(
            log=log,
            contract=contract,
            rows=rules.rows,
            seconds=rules.windows * contract.window_seconds + section.labels.mature_after,
            first=version.window_start if after_shift else 0.0,
            slices=code.slices if rules.slices is None else rules.slices,
            outcome=code.outcome,
            schemas=deployment.schemas(),
            task=code.task,
            given_up=given_up,
        ).read(time.time())


def checked_text(path: str) -> str:
    """The text of the schema's file, empty for none; raises `ConfigurationError` for a bad one."""
    return _checked(schema_file.read_text(Path(path)), path) if path else ""


@lru_cache(maxsize=1024)
def _checked(text: str, path: str) -> str:
    return schema_file.checked(text, path)


def _days(deployment: Deployment, model: str) -> dict[str, ReferenceHistory]:
    """The history for the day variance; empty where the settings give the variance."""
    drift = deployment.drift_rules(model)
    if not drift.learn_day_variance:
        return {}
    days = ReferenceHistory(
        contract=deployment.contract(model),
        season=drift.season,
        zone=drift.season_zone,
        weeks=drift.history_weeks,
    )
    return {model: days}


def _seasons(deployment: Deployment, model: str) -> dict[str, ReferenceHistory]:
    """The history for the season's slots; empty without a season."""
    drift = deployment.drift_rules(model)
    if drift.season == "none":
        return {}
    season = ReferenceHistory(
        contract=deployment.contract(model),
        season=drift.season,
        zone=drift.season_zone,
        weeks=drift.season_weeks,
    )
    return {model: season}
