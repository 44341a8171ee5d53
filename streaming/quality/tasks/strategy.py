"""The interface of the strategies: everything about quality that depends on the model's task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Reason
from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import FeatureSummary
from streaming.grid import Floats, Integers
from streaming.quality.counts import Counts
from streaming.quality.estimate import Estimate
from streaming.quality.measures import Measure
from streaming.quality.settings import QualityRules

PREDICTION = "prediction"
"""Field of a prediction message with what the version predicted."""
Better = Literal["higher", "lower", "neither"]
"""Which values of a measure are better; of neither, a change in either direction counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One measure of a batch beside that of the baseline, to be compared."""

    current: Measure
    reference: Measure
    """Its variance is the baseline's own error, which all comparisons share."""
    better: Better
    min_change: float
    """Smallest change that is reported, in the measure's units."""
    on_logits: bool = False
    """Whether variances and distances are those of the value's logit."""


def too_few_labels(counts: Counts, rules: QualityRules) -> str:
    """What a batch lacks to `QualityRules.min_labels`; empty when it has enough labels."""
    if counts.labelled < rules.min_labels:
        return f"{counts.labelled} of {rules.min_labels} labelled predictions so far."
    return ""


class TaskQuality(Protocol):
    """The strategy of one task. Every method is pure."""

    @property
    def width(self) -> int:
        """Integers that are held of each prediction until its label arrives."""

    @property
    def headline(self) -> str:
        """Name of the measure that is named first and drawn over time."""

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names of the measures in a verdict, in this order."""

    @property
    def names(self) -> Mapping[str, str]:
        """Names of measures in sentences."""

    @property
    def no_outcome(self) -> str:
        """Why a label is refused for which `outcome_of` gives None, in words."""

    @property
    def drift_features(self) -> tuple[FeatureSpec, ...]:
        """What of the predictions prediction drift is judged on."""

    def prediction_of(self, value: Any) -> Any:
        """The prediction in a message's field; raises `DecodeError`."""

    def packed(self, predictions: Sequence[Any]) -> list[Any]:
        """Each prediction as `width` integers: an integer, or a tuple where there are several."""

    def outcome_of(self, value: Any) -> float | None:
        """A label as a number; None where the value is no label of this task."""

    def count(self, predictions: Integers, outcomes: Floats) -> Counts:
        """Counts of rows.

        Parameters
        ----------
        predictions:
            [rows, width], as `packed` made them.
        outcomes:
            [rows], as `outcome_of` made them; minus infinity where no label has arrived.
        """

    def measured(self, counts: Counts) -> dict[str, Measure]:
        """Every measure of labelled counts, by name."""

    def too_few(self, counts: Counts, rules: QualityRules) -> str:
        """Why a batch cannot be judged yet; empty when it has enough labels."""

    def contrasts(
        self, batch: Counts, baseline: Counts, rules: QualityRules
    ) -> tuple[Contrast, ...]:
        """The measures to compare, at most two that count one side and one that counts both."""

    def estimated(self, counts: Counts, mature: Counts | None, *, contradicted: bool) -> Estimate:
        """Quality before the labels arrive; `mature` are the version's labelled counts, if any."""

    def drift_summaries(self, counts: Counts) -> tuple[FeatureSummary, ...]:
        """The summary of each of `drift_features` in a window."""

    def served_ids(self, predictions: Integers) -> tuple[Integers, Integers | None]:
        """For the canary's prediction gate: bucket and, where there are classes, class of each
        prediction of [rows, width]."""


def number_of(value: Any) -> float | None:
    """A finite JSON number; None for anything else.

    >>> number_of(2), number_of(True), number_of("2"), number_of(float("inf"))
    (2.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < float("inf") else None


def out_of_range(rule: str) -> DecodeError:
    """The error of a prediction of the right kind that cannot be one of the task."""
    return DecodeError(
        f"Field {PREDICTION} {rule}.", reason=Reason.OUT_OF_RANGE.value, field=PREDICTION
    )


def wrong_type(value: Any, expected: str, kind: str) -> DecodeError:
    """The error of a prediction of another kind than the task's."""
    return DecodeError(
        f"Field {PREDICTION} holds a {type(value).__name__}; the task has {expected}.",
        reason=Reason.WRONG_TYPE.value,
        field=PREDICTION,
        value_kind=kind,
    )
