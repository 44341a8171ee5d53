"""Assembles the controller of a model with its real engines."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

from deploy.app.deployment import Deployment
from deploy.app.serving_engines import model_servers, traffic_metrics, traffic_router
from deploy.daemon.controller import ModelController
from deploy.daemon.reference_publisher import ReferenceHistory, WindowReferencePublisher
from retrain.labels import LogLabelCounter
from serving.ports import ServingPorts
from streaming.engines.tfdv import schema_text as schema_file

DAY_VARIANCE_WEEKS = 4.0
"""Weeks of windows from which the day variance is estimated when the rules have no season."""


def model_controller(deployment: Deployment, model: str) -> ModelController:
    """The controller of a model on Kafka, Envoy, Prometheus and the model servers."""
    contract, log = deployment.contract(model), deployment.open_log()
    serving = ServingPorts(
        router=traffic_router(deployment),
        servers=model_servers(deployment, model),
        metrics=traffic_metrics(deployment, model),
        references=WindowReferencePublisher(
            log=log,
            store=deployment.store(),
            seasons=_seasons(deployment, model),
            days=_days(deployment, model),
        ),
    )
    return ModelController(
        contract=contract,
        retrain_rules=deployment.retrain_rules(model),
        rollout_rules=deployment.rollout_rules(model),
        labels=LogLabelCounter(log, contract.labels_topic),
        serving=serving,
        schema_text=partial(checked_text, contract.schema_path),
        edit_schema=schema_file.apply_changes,
    )


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
        weeks=drift.season_weeks if drift.season != "none" else DAY_VARIANCE_WEEKS,
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
