"""A TFX component that judges an evaluation by the blessing's rules.

The worker judges by itself, because its record names the request. This component serves pipelines
that are run by hand or compiled. What it decides is an artifact, also where it refuses; the
component that publishes then ends the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts

from retrain.blessing import BlessingRules, bless
from retrain.engines.tfx.evaluation import read_metrics
from retrain.engines.tfx.own_component import own_component
from streaming.contracts.records import Metric

DECISION = "blessing.json"
"""File in the artifact: a `Decision`."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided on a challenger, and from what."""

    blessed: bool
    reason: str
    metrics: tuple[Metric, ...]


class BlessingExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Judges the challenger."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Write `DECISION`, and mark the artifact as TFX's Evaluator does."""
        champion = bool(int(exec_properties["has_champion"]))
        evaluation = Path(artifact_utils.get_single_uri(input_dict["evaluation"]))
        metrics = read_metrics(evaluation, champion=champion)
        rules = msgspec.json.decode(exec_properties["rules"], type=BlessingRules)
        must_win = exec_properties["must_win"] or None
        judged = bless(metrics, rules, has_champion=champion, must_win=must_win)
        decision = Decision(blessed=judged.blessed, reason=judged.reason, metrics=metrics)
        artifact = artifact_utils.get_single_instance(output_dict["blessing"])
        folder = Path(artifact.uri)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DECISION).write_bytes(msgspec.json.encode(decision))
        artifact.set_int_custom_property("blessed", int(judged.blessed))
        artifact.set_string_custom_property("reason", judged.reason)


Blessing = own_component(
    "Blessing",
    BlessingExecutor,
    inputs={"evaluation": standard_artifacts.ModelEvaluation},
    outputs={"blessing": standard_artifacts.ModelBlessing},
    parameters=("rules", "has_champion", "must_win"),
)
"""Parameters: JSON of the `BlessingRules`, 1 when the evaluation is against a champion, and the
slice on which the challenger must be better (empty: none)."""


def read_decision(blessing: Path) -> Decision:
    """The decision in an artifact."""
    return msgspec.json.decode((blessing / DECISION).read_bytes(), type=Decision)
