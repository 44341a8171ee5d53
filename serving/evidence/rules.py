"""Settings of the gates on scores, realised quality and users' queries, with their defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import GateMode
from streaming.contracts.task import Kind, Task

Direction = Literal["lower", "higher"]
"""Which values of a query are better."""
Missing = Literal["hold", "pass", "fail"]
"""What a gate is while its query gives no value."""
QualityMeasure = Literal["auc", "log_loss", "brier", "loss"]
"""What the quality gate compares: of a binary task the AUC, the log loss or the Brier score; of the
others ``loss``, the bounded loss of the task (`serving.evidence.measures`)."""
_MEASURES: dict[Kind, tuple[QualityMeasure, ...]] = {
    "binary": ("auc", "log_loss", "brier"),
    "multiclass": ("loss",),
    "regression": ("loss",),
}
"""The measures of each task, its default first."""

BUILT_IN_GATES = ("errors", "slow", "latency_p99", "sample_ratio", "startup")
SLICE_GATES = ("predictions_by_slice", "quality_by_slice")
_OWN_GATES = ("predictions", "quality", *SLICE_GATES)
PLACEHOLDERS = ("arm", "model", "version")
_PLACEHOLDER = re.compile(r"\$\{?([a-zA-Z_]+)\}?")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
NO_LIMIT = 0.99
"""A tolerated Kolmogorov-Smirnov distance from which on no distance is too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionGateRules:
    """The gate that compares the scores of canary and champion."""

    mode: GateMode = "soft"
    """soft, because not every application writes the predictions it got. Once some came, the gate
    holds the rollout until it passes."""
    floor: float = 0.1
    """Kolmogorov-Smirnov distance below which the gate never fails, in addition to the distance
    that the evaluation of the version found on the same rows. 0.1 is a shift by 0.25 standard
    deviations of a normal logit."""
    alpha: float = 0.01
    """Probability of failing a canary with the champion's distribution, over all looks."""

    @property
    def has_limit(self) -> bool:
        """Whether a distance can be too large.

        >>> PredictionGateRules(floor=0.4).has_limit, PredictionGateRules(floor=NO_LIMIT).has_limit
        (True, False)
        """
        return self.floor < NO_LIMIT

    def __post_init__(self) -> None:
        if not 0 < self.floor < 1:
            raise ConfigurationError(
                f"rollout.gates.predictions.floor is {self.floor:g}; it must lie between 0 and 1."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityGateRules:
    """The gate that compares the realised quality of canary and champion."""

    mode: GateMode = "soft"
    """soft, because labels may come days later. From enough labels on it holds the rollout until it
    passes."""
    measure: QualityMeasure = "auc"
    """The measure that is compared; of the losses, lower values are better. A task that does not
    have it compares its own."""
    margin: float = 0.02
    """Loss of the measure that must be disproven to pass."""
    min_labels: int = 200
    """Labelled predictions of the canary before the first look."""
    alpha_fail: float = 0.005
    """Probability of failing a canary that is as good as the champion, over all looks."""
    alpha_pass: float = 0.01
    """Probability of passing a canary that is worse by the margin, over all looks."""

    def for_task(self, task: Task) -> QualityGateRules:
        """The rules with a measure that the task has.

        >>> QualityGateRules().for_task(Task(kind="regression")).measure
        'loss'
        """
        measures = _MEASURES[task.kind]
        return self if self.measure in measures else replace(self, measure=measures[0])

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1:
            raise ConfigurationError(
                f"rollout.gates.quality.margin is {self.margin:g}; it must lie between 0 and 1."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSlices:
    """The slices in which scores and realised quality are judged too."""

    values: tuple[str, ...] = ()
    """Values of the predictions' field that form a slice each; empty = no slices."""
    scores: float = 0.3
    """Kolmogorov-Smirnov distance below which no slice fails, in addition to the largest one that
    the evaluation of the version found. More than for all requests: what changes the scores of one
    tenant is often the reason for a new version."""
    quality: float = 0.1
    """Loss of the measure that must be disproven in a slice with enough labels. A fifth of it needs
    about 25 times as many labels."""
    share: float = 0.3
    """Part of the α of both gates that the slices share; all requests together keep the others."""

    def __post_init__(self) -> None:
        for name, value in (("scores", self.scores), ("quality", self.quality)):
            if not 0 < value < 1:
                raise ConfigurationError(
                    f"rollout.slices.{name} is {value:g}; it must lie between 0 and 1."
                )


NO_EVIDENCE_SLICES = EvidenceSlices()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryGate:
    """A gate on a PromQL query of the user, which is evaluated for canary and control.

    Raises
    ------
    ConfigurationError
        When the gate cannot be judged.
    """

    name: str
    query: str
    """PromQL that gives one number; ``$arm`` stands for canary or control, ``$model`` for the
    model and ``$version`` for the arm's version."""
    direction: Direction
    margin: float
    """How much worse than the control the canary may be, in the unit of the query."""
    missing: Missing = "hold"
    mode: GateMode = "critical"

    def __post_init__(self) -> None:
        where = f"rollout.gates.queries: gate {self.name!r}"
        if not _NAME.fullmatch(self.name) or self.name in (*BUILT_IN_GATES, *_OWN_GATES):
            raise ConfigurationError(
                f"{where}: use a name of lower-case letters, digits and _ (at most 50), other than "
                f"{', '.join((*BUILT_IN_GATES, *_OWN_GATES))}."
            )
        used = set(_PLACEHOLDER.findall(self.query))
        if unknown := sorted(used - set(PLACEHOLDERS)):
            raise ConfigurationError(
                f"{where}: ${unknown[0]} is no placeholder; there are $arm, $model and $version."
            )
        if not used & {"arm", "version"}:
            raise ConfigurationError(
                f"{where}: the query must contain $arm or $version; otherwise canary and control "
                "have the same value."
            )
        if not 0 < self.margin < float("inf"):
            raise ConfigurationError(
                f"{where}: margin is {self.margin:g}; it must be above 0, because that the canary "
                "is not worse at all cannot be proven."
            )
        for value, known in (
            (self.direction, get_args(Direction)),
            (self.missing, get_args(Missing)),
            (self.mode, get_args(GateMode)),
        ):
            if value not in known:
                raise ConfigurationError(f"{where}: {value!r} is not one of {', '.join(known)}.")

    def rendered(self, *, arm: str, model: str, version: int) -> str:
        """The query of one arm.

        >>> gate = QueryGate(name="g", query='x{a="$arm",v="${version}"}', direction="lower",
        ...                  margin=1.0)
        >>> gate.rendered(arm="canary", model="m", version=3)
        'x{a="canary",v="3"}'
        """
        values = {"arm": arm, "model": model, "version": str(version)}
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.query)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRules:
    """The settings of all gates of this package."""

    measured: bool = False
    """Whether the applications write the predictions they got, so that scores and quality can be
    compared."""
    predictions: PredictionGateRules = PredictionGateRules()
    quality: QualityGateRules = QualityGateRules()
    slices: EvidenceSlices = NO_EVIDENCE_SLICES
    queries: tuple[QueryGate, ...] = ()
    look_seconds: float = 10.0
    """Time between two looks at the queries. Ranges in the queries should not be longer, so that
    no request is in two looks."""
    queries_alpha: float = 0.014
    """Probability that any gate with a query fails a canary whose values differ from the control's
    by chance alone; the gates share it equally."""

    @property
    def of_all(self) -> tuple[PredictionGateRules, QualityGateRules]:
        """The gates over all requests: what the slices may spend is not spent there."""
        own = 1.0 - self.slices.share if self.slices.values else 1.0
        return (
            replace(self.predictions, alpha=self.predictions.alpha * own),
            replace(self.quality, alpha_fail=self.quality.alpha_fail * own),
        )

    @property
    def of_slice(self) -> tuple[PredictionGateRules, QualityGateRules]:
        """The gates in one slice: the slices share a part of α equally (Bonferroni)."""
        part = self.slices.share / max(1, len(self.slices.values))
        return (
            replace(
                self.predictions,
                floor=max(self.predictions.floor, self.slices.scores),
                alpha=self.predictions.alpha * part,
            ),
            replace(
                self.quality,
                margin=self.slices.quality,
                alpha_fail=self.quality.alpha_fail * part,
            ),
        )

    def __post_init__(self) -> None:
        names = [gate.name for gate in self.queries]
        if len(set(names)) < len(names):
            raise ConfigurationError(
                f"rollout.gates.queries: each name may occur once, but there are {names}."
            )
