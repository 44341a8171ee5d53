"""Quality of a binary classifier, whose prediction is the probability of 1.

Ordering (AUC) and a proper score (Brier) are compared on the side of worse, calibration on both;
`streaming.quality.measures` has the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from streaming.contracts.events import missing_field, value_of
from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import FeatureSummary, NumericGrid
from streaming.contracts.task import Task
from streaming.grid import Floats, Integers, bucket_of
from streaming.quality.counts import Counts, count_rows, score_buckets
from streaming.quality.estimate import Estimate, calibrate, estimate
from streaming.quality.measures import Measure, measure_all
from streaming.quality.settings import QualityRules
from streaming.quality.tasks.strategy import (
    PREDICTION,
    Better,
    Contrast,
    out_of_range,
    too_few_labels,
)

_SPEC = FeatureSpec(name=PREDICTION, kind="number")
_NEAR_ZERO = int(bucket_of([2.0**-8])[0])
"""Logits nearer to zero share a bucket, so that a version has at most 1,537 of them in a slot."""


class BinaryQuality:
    """The strategy of binary tasks."""

    width = 1
    headline = "auc"
    no_outcome = "the label has no outcome"
    recorded: ClassVar[tuple[str, ...]] = (
        "auc",
        "brier",
        "calibration",
        "log_loss",
        "ece",
        "positive_rate",
    )
    names: ClassVar[Mapping[str, str]] = {
        "auc": "AUC",
        "brier": "the Brier score",
        "calibration": "calibration",
    }
    drift_features: ClassVar[tuple[FeatureSpec, ...]] = (_SPEC,)

    def __init__(self, task: Task) -> None:
        del task  # a binary task has no parameters

    def prediction_of(self, value: Any) -> float:
        """A number between 0 and 1."""
        if type(value) is float and 0.0 <= value <= 1.0:
            return value
        number = value_of({PREDICTION: value}, _SPEC)
        if number is None:
            raise missing_field(PREDICTION)
        score = float(number)
        if not 0.0 <= score <= 1.0:
            raise out_of_range("must lie between 0 and 1")
        return score

    def packed(self, predictions: Sequence[float]) -> list[int]:
        """The bucket of each score's logit."""
        return [int(bucket) for bucket in score_buckets(predictions).tolist()]

    def outcome_of(self, value: Any) -> float | None:
        """A boolean, or 1 or 0."""
        known = value is not None and not isinstance(value, str) and value in (0, 1)
        return bool(value) if known else None

    def count(self, predictions: Integers, outcomes: Floats) -> Counts:
        """Counts per bucket of the score."""
        return count_rows(predictions[:, 0], outcomes)

    def measured(self, counts: Counts) -> dict[str, Measure]:
        """AUC, Brier score, calibration, log loss, calibration error and the share of positives."""
        return measure_all(
            counts.scores, counts.positives.astype(float), counts.negatives.astype(float)
        )

    def too_few(self, counts: Counts, rules: QualityRules) -> str:
        """Too few labels of both outcomes, or of the rarer one."""
        if few := too_few_labels(counts, rules):
            return few
        rarer = int(min(counts.positives.sum(), counts.negatives.sum()))
        if rarer < rules.min_of_class:
            return f"{rarer} of {rules.min_of_class} labels of the rarer outcome so far."
        return ""

    def contrasts(
        self, batch: Counts, baseline: Counts, rules: QualityRules
    ) -> tuple[Contrast, ...]:
        """AUC and Brier score on the side of worse, calibration on both."""
        current, reference = self.measured(batch), self.measured(baseline)
        tested: tuple[tuple[str, Better, float], ...] = (
            ("auc", "higher", rules.auc_fall),
            ("brier", "lower", rules.brier_rise),
            ("calibration", "neither", rules.calibration_shift),
        )
        return tuple(
            Contrast(
                current=current[name],
                reference=reference[name],
                better=better,
                min_change=min_change,
                on_logits=name == "auc",
            )
            for name, better, min_change in tested
            if name in current and name in reference
        )

    def estimated(self, counts: Counts, mature: Counts | None, *, contradicted: bool) -> Estimate:
        """Confidence-based estimates of AUC, Brier score and log loss (`estimate`)."""
        calibration = None if mature is None else calibrate(mature)
        return estimate(counts, calibration, contradicted=contradicted)

    def drift_summaries(self, counts: Counts) -> tuple[FeatureSummary, ...]:
        """The logit of the score, on the universal grid."""
        return (grid_summary(PREDICTION, counts),)

    def served_ids(self, predictions: Integers) -> tuple[Integers, Integers | None]:
        """The bucket of each score's logit."""
        return merged_near_zero(predictions[:, 0]), None


def merged_near_zero(buckets: Integers) -> Integers:
    """The buckets of logits, those nearest to 0 as bucket 0."""
    return np.where(np.abs(buckets) < _NEAR_ZERO, 0, buckets)


def grid_summary(name: str, counts: Counts, fraction_bits: int = 6) -> FeatureSummary:
    """The summary of a feature whose buckets are those of the counts."""
    nonempty = counts.served > 0
    return FeatureSummary(
        name=name,
        rows=counts.predictions,
        missing=0,
        grid=NumericGrid(
            fraction_bits=fraction_bits,
            buckets=tuple(counts.buckets[nonempty].tolist()),
            counts=tuple(counts.served[nonempty].tolist()),
        ),
    )
