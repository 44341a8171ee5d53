"""The control loop of a model on its real engines."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.loop import ModelLoop
from deploy.processes import envoy_layout
from deploy.references import SeasonOf, WindowReferences
from retrain.labels import LabelLog
from serving.engines.envoy import EnvoySplitter
from serving.engines.prometheus import PrometheusMetrics
from serving.engines.tfserving import TfServing
from serving.ports import Ports
from streaming.engines import schema_file

if TYPE_CHECKING:
    from deploy.wiring import House


WOBBLE_WEEKS = 4.0
"""So far back a wobble is learnt, without a season."""


def model_loop(house: House, model: str) -> ModelLoop:
    """Rules from the settings, ports on Kafka, Envoy, Prometheus and the model servers."""
    contract, layout = house.contract(model), envoy_layout(house)
    rules, log = house.rollout_rules(model), house.open_log()
    serving = Ports(
        splitter=EnvoySplitter(house.home / "envoy", layout),
        servers=TfServing(layout, base_path=str(house.artifact_root / "models" / model)),
        metrics=PrometheusMetrics(house.prometheus_url, latency_ms=rules.latency_ms),
        references=WindowReferences(
            log=log,
            store=house.store(),
            seasons=_seasons(house, model),
            days=_days(house, model),
        ),
    )
    return ModelLoop(
        contract=contract,
        retrain_rules=house.retrain_rules(model),
        rollout_rules=rules,
        labels=LabelLog(log, contract.labels_topic),
        serving=serving,
        schema_text=partial(checked_text, contract.schema_path),
        edit_schema=schema_file.changed,
    )


def checked_text(path: str) -> str:
    """The schema's text, empty for none; raises `Misconfigured` when it cannot become a version."""
    return _checked(schema_file.text_of(Path(path)), path) if path else ""


@lru_cache(maxsize=1024)
def _checked(text: str, path: str) -> str:
    return schema_file.usable(text, path)


def _days(house: House, model: str) -> dict[str, SeasonOf]:
    """Which days teach the wobble; none where the settings give it."""
    drift = house.drift_rules(model)
    if not drift.learn_wobble:
        return {}
    days = SeasonOf(
        contract=house.contract(model),
        season=drift.season,
        zone=drift.season_zone,
        weeks=drift.season_weeks if drift.season != "none" else WOBBLE_WEEKS,
    )
    return {model: days}


def _seasons(house: House, model: str) -> dict[str, SeasonOf]:
    drift = house.drift_rules(model)
    if drift.season == "none":
        return {}
    season = SeasonOf(
        contract=house.contract(model),
        season=drift.season,
        zone=drift.season_zone,
        weeks=drift.season_weeks,
    )
    return {model: season}
