"""The settings of a canary's gates, as they are written below `models.NAME.rollout.gates`.

Defaults stand in the rules that each section turns itself into.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.config.types import Points, PositiveDuration, Section
from serving.evidence.rules import (
    NO_EVIDENCE_SLICES,
    Direction,
    EvidenceRules,
    EvidenceSlices,
    Missing,
    PredictionGateRules,
    QualityGateRules,
    QualityMeasure,
    QueryGate,
)
from serving.rules import RolloutRules
from streaming.contracts.records import GateMode

_ROLLOUT = RolloutRules()
_PREDICTION_GATE, _QUALITY_GATE = PredictionGateRules(), QualityGateRules()


class PredictionGateSettings(Section):
    """Compare the scores of canary and champion; needs `predictions`."""

    mode: GateMode = _PREDICTION_GATE.mode
    """critical: only a pass moves on, and a fail rolls back. soft: the same, but the gate does not
    hold the rollout as long as no prediction comes. dry-run: shown only."""
    floor: float = Field(default=_PREDICTION_GATE.floor, gt=0, lt=1)
    """Kolmogorov-Smirnov distance of the scores (and difference of a predicted class's share) below
    which the gate never fails, in addition to the distance that the evaluation of the version
    found."""


class QualityGateSettings(Section):
    """Compare the realised quality of canary and champion; needs `predictions` and labels."""

    mode: GateMode = _QUALITY_GATE.mode
    """critical: only a pass moves on, and a fail rolls back. soft: the same, but the gate does not
    hold the rollout as long as there are too few labels for the margin. dry-run: shown only."""
    measure: QualityMeasure = _QUALITY_GATE.measure
    """The measure that is compared: auc, log_loss or brier of a binary model. Others compare loss,
    the bounded loss of their task on a scale from 0 to 1."""
    margin: float = Field(default=_QUALITY_GATE.margin, gt=0, lt=1)
    """Loss of the measure that must be disproven to pass."""
    min_labels: int = Field(default=_QUALITY_GATE.min_labels, ge=50)
    """Labelled predictions of the canary before the first look."""


class QueryGateSettings(Section):
    """A gate on a PromQL query, evaluated for canary and control every 10 s."""

    name: str
    """Name of the gate: lower-case letters, digits and _."""
    query: str
    """PromQL that gives one number. $arm stands for canary or control, $model for the model's name
    and $version for the version of the arm. Ranges should not be longer than 10 s, so that no
    request is counted at two looks."""
    direction: Direction
    """Which values are better: lower or higher."""
    margin: float
    """How much worse than the control the canary may be, in the unit of the query; above 0."""
    missing: Missing = "hold"
    """What the gate is after 3 looks without a value of an arm: hold, pass or fail. A query that
    Prometheus cannot evaluate is an error and holds."""
    mode: GateMode = "critical"
    """critical: only a pass moves on, and a fail rolls back. soft: a fail rolls back, nothing else
    counts. dry-run: shown only."""

    def rules(self) -> QueryGate:
        """The gate; raises `ConfigurationError`."""
        return QueryGate(
            name=self.name,
            query=self.query,
            direction=self.direction,
            margin=self.margin,
            missing=self.missing,
            mode=self.mode,
        )


class GateSettings(Section):
    """Limits that a canary must keep."""

    latency_p99: PositiveDuration = _ROLLOUT.latency_ms / 1000
    """Limit of the 99th percentile of the prediction latency."""
    slow: Literal["absolute", "compare"] = _ROLLOUT.slow_gate
    """absolute: prove that p99 is below latency_p99. compare: prove only that the canary is not
    slower than the control arm, for machines on which the champion itself has 0.8 % slow answers
    or more."""
    startup: PositiveDuration = _ROLLOUT.startup_seconds
    """Limit of the time from loading a version to its being available."""
    errors: Points = _ROLLOUT.errors_pp / 100
    """Tolerated excess of the error share over that of the control arm."""
    predictions: PredictionGateSettings = PredictionGateSettings()
    """Compare the scores of canary and champion; needs `predictions`."""
    quality: QualityGateSettings = QualityGateSettings()
    """Compare the realised quality of canary and champion; needs `predictions` and labels."""
    queries: tuple[QueryGateSettings, ...] = ()
    """Gates on PromQL queries of your own: a list of {name, query, direction, margin, missing,
    mode}. The query is evaluated every 10 s with $arm (canary, control), $model and $version filled
    in and must give one number. direction says which values are better (lower, higher), margin how
    much worse the canary may be, missing what holds after 3 looks without a value (hold, pass,
    fail), and mode what the gate may do (critical, soft, dry-run)."""

    def evidence(
        self, *, measured: bool, slices: EvidenceSlices = NO_EVIDENCE_SLICES
    ) -> EvidenceRules:
        """The rules of the gates on scores, quality and queries; raises `ConfigurationError`."""
        return EvidenceRules(
            measured=measured,
            predictions=PredictionGateRules(
                mode=self.predictions.mode, floor=self.predictions.floor
            ),
            quality=QualityGateRules(
                mode=self.quality.mode,
                measure=self.quality.measure,
                margin=self.quality.margin,
                min_labels=self.quality.min_labels,
            ),
            slices=slices,
            queries=tuple(gate.rules() for gate in self.queries),
        )
