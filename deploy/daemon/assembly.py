"""The control loop of a model on its real engines."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.daemon.controller import ModelLoop
from deploy.daemon.reference_publisher import SeasonOf, WindowReferences
from deploy.local.embedded import envoy_layout
from retrain.labels import LabelLog
from serving.engines.envoy.router import EnvoySplitter
from serving.engines.prometheus.client import PrometheusMetrics
from serving.engines.tfserving import TfServing
from serving.ports import Ports
from streaming.engines.tfdv import schema_text as schema_file

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


WOBBLE_WEEKS = 4.0
"""So far back a wobble is learnt, without a season."""


def model_loop(deployment: Deployment, model: str) -> ModelLoop:
    """Rules from the settings, ports on Kafka, Envoy, Prometheus and the model servers."""
    contract, layout = deployment.contract(model), envoy_layout(deployment)
    rules, log = deployment.rollout_rules(model), deployment.open_log()
    serving = Ports(
        splitter=EnvoySplitter(deployment.home / "envoy", layout),
        servers=TfServing(layout, base_path=str(deployment.artifact_root / "models" / model)),
        metrics=PrometheusMetrics(deployment.prometheus_url, latency_ms=rules.latency_ms),
        references=WindowReferences(
            log=log,
            store=deployment.store(),
            seasons=_seasons(deployment, model),
            days=_days(deployment, model),
        ),
    )
    return ModelLoop(
        contract=contract,
        retrain_rules=deployment.retrain_rules(model),
        rollout_rules=rules,
        labels=LabelLog(log, contract.labels_topic),
        serving=serving,
        schema_text=partial(checked_text, contract.schema_path),
        edit_schema=schema_file.changed,
    )


def checked_text(path: str) -> str:
    """The schema's text, empty for none; raises `ConfigurationError` when it cannot become a version."""
    return _checked(schema_file.text_of(Path(path)), path) if path else ""


@lru_cache(maxsize=1024)
def _checked(text: str, path: str) -> str:
    return schema_file.usable(text, path)


def _days(deployment: Deployment, model: str) -> dict[str, SeasonOf]:
    """Which days teach the wobble; none where the settings give it."""
    drift = deployment.drift_rules(model)
    if not drift.learn_wobble:
        return {}
    days = SeasonOf(
        contract=deployment.contract(model),
        season=drift.season,
        zone=drift.season_zone,
        weeks=drift.season_weeks if drift.season != "none" else WOBBLE_WEEKS,
    )
    return {model: days}


def _seasons(deployment: Deployment, model: str) -> dict[str, SeasonOf]:
    drift = deployment.drift_rules(model)
    if drift.season == "none":
        return {}
    season = SeasonOf(
        contract=deployment.contract(model),
        season=drift.season,
        zone=drift.season_zone,
        weeks=drift.season_weeks,
    )
    return {model: season}
