"""Quality of a predicted number: a mean, the mean of a count, or quantiles.

Compared are the bounded error and the share of large errors on the side of worse, and the bias on
both (`error_measures`); all three keep their false-alarm budget whatever the tails of the errors.
Root mean squared error, mean absolute error and the task's own loss are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from streaming.contracts.events import missing_field
from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import FeatureSummary
from streaming.contracts.task import MEDIAN, Loss, Task
from streaming.contracts.values import is_missing, kind_of
from streaming.grid import Floats, Integers, count_ids, fine_bucket_of
from streaming.quality.counts import Counts, count_rows
from streaming.quality.estimate import Estimate
from streaming.quality.measures import Measure
from streaming.quality.settings import QualityRules
from streaming.quality.tasks.binary import grid_summary
from streaming.quality.tasks.error_measures import (
    LARGE,
    bias,
    bounded_error,
    large_errors,
    loss_scale,
    pinball,
    poisson_deviance,
    root_mean_square,
)
from streaming.quality.tasks.histograms import (
    by_name,
    count_values,
    mean_of,
    quantile_of,
    values_of,
)
from streaming.quality.tasks.strategy import (
    PREDICTION,
    Better,
    Contrast,
    number_of,
    out_of_range,
    too_few_labels,
    wrong_type,
)

FRACTION_BITS = 8
"""Bits of a prediction's bucket: it is at most 0.4 % wide."""
LARGEST = 1e70
"""Labels and predictions beyond it are refused: sums of their fourth powers are no numbers."""
_HEADLINES: dict[Loss, str] = {
    "squared": "rmse",
    "poisson": "poisson_deviance",
    "quantile": "pinball",
}
_OWN_LOSS = ("poisson_deviance", "pinball")
_NOT_ESTIMATED = Estimate(
    metrics=(), violation="a predicted number does not say how wrong it is", assumption=""
)


class RegressionQuality:
    """The strategy of regression tasks."""

    names: Mapping[str, str] = {
        "rmse": "RMSE",
        "mae": "the mean absolute error",
        "poisson_deviance": "the Poisson deviance",
        "pinball": "the pinball loss",
        "loss": "the bounded error",
        "large_errors": "the share of large errors",
        "bias": "the bias by rank",
    }
    drift_features = (FeatureSpec(name=PREDICTION, kind="number"),)

    def __init__(self, task: Task) -> None:
        self._quantiles = np.array(task.quantiles)
        self._coverage = [f"coverage_{quantile:g}" for quantile in task.quantiles]
        self._median = task.quantiles.index(MEDIAN) if task.quantiles else 0
        self._losses = losses_of(task)
        self._lowest = 0.0 if task.loss == "poisson" else -LARGEST
        self.no_outcome = f"the label is no number from {self._lowest:g} to {LARGEST:g}"
        self.width = max(1, len(task.quantiles))
        self.headline = _HEADLINES[task.loss]
        own = [name for name in _OWN_LOSS if name == self.headline]
        tested = ("loss", "large_errors", "bias")
        self.recorded = (*own, "rmse", "mae", "mean_error", *self._coverage, *tested)

    def prediction_of(self, value: Any) -> tuple[float, ...]:
        """A number, or a list with one for each quantile."""
        if is_missing(value):
            raise missing_field(PREDICTION)
        several = len(self._quantiles)
        if several and (not isinstance(value, list) or len(value) != several):
            if isinstance(value, list):
                raise out_of_range(f"holds {len(value)} numbers; the task has {several} quantiles")
            raise wrong_type(value, "a list of quantiles", kind_of(value))
        return tuple(self._number(entry) for entry in (value if several else [value]))

    def _number(self, value: Any) -> float:
        number = number_of(value)
        if number is None:
            raise wrong_type(value, "a number", kind_of(value))
        if not self._lowest <= number <= LARGEST:
            raise out_of_range(f"must lie between {self._lowest:g} and {LARGEST:g}")
        return number

    def packed(self, predictions: Sequence[tuple[float, ...]]) -> list[Any]:
        """The bits of each number."""
        if not predictions:
            return []
        bits = np.array(predictions, np.float64).view(np.int64)
        if self.width == 1:
            return [int(entry) for entry in bits[:, 0].tolist()]
        return [tuple(row) for row in bits.tolist()]

    def outcome_of(self, value: Any) -> float | None:
        """A finite number in the task's range."""
        number = number_of(value)
        if number is None or not self._lowest <= number <= LARGEST:
            return None
        return number

    def count(self, predictions: Integers, outcomes: Floats) -> Counts:
        """Counts per bucket of the prediction, with histograms of residuals and losses."""
        numbers = np.ascontiguousarray(predictions).view(np.float64)
        central = numbers[:, self._median]
        labelled = np.isfinite(outcomes)
        above = np.where(labelled, (outcomes > central).astype(np.float64), -1.0)
        counts = count_rows(fine_bucket_of(central, FRACTION_BITS), above)
        labels = outcomes[labelled]
        residuals = labels[:, None] - numbers[labelled]
        losses = self._losses(labels, numbers[labelled])
        return Counts(
            buckets=counts.buckets,
            served=counts.served,
            positives=counts.positives,
            negatives=counts.negatives,
            histograms={
                "residual": count_values(residuals[:, self._median]),
                "loss": count_values(losses),
                **{
                    name: count_ids((residuals[:, number] <= 0.0).astype(np.int64))
                    for number, name in enumerate(self._coverage)
                },
            },
        )

    def measured(self, counts: Counts) -> dict[str, Measure]:
        """Root mean squared, mean absolute and mean error, the task's loss, coverage."""
        residuals, losses = counts.histogram("residual"), counts.histogram("loss")
        values = values_of(residuals)
        coverage = [
            mean_of(name, ids.astype(np.float64), rows)
            for name in self._coverage
            for ids, rows in [counts.histogram(name)]
        ]
        own = [name for name in _OWN_LOSS if name == self.headline]
        return by_name(
            *(mean_of(name, values_of(losses), losses[1]) for name in own),
            root_mean_square(residuals),
            mean_of("mae", np.abs(values), residuals[1]),
            mean_of("mean_error", values, residuals[1]),
            *coverage,
        )

    def too_few(self, counts: Counts, rules: QualityRules) -> str:
        """Too few labels."""
        return too_few_labels(counts, rules)

    def contrasts(
        self, batch: Counts, baseline: Counts, rules: QualityRules
    ) -> tuple[Contrast, ...]:
        """Bounded error and large errors on the side of worse, bias on both."""
        ours, theirs = batch.histogram("loss"), baseline.histogram("loss")
        if not len(ours[0]) or not len(theirs[0]):
            return ()
        scale, edge = loss_scale(theirs), quantile_of(theirs, LARGE)
        pairs: list[tuple[Measure | None, Measure | None, Better, float]] = [
            (bounded_error(ours, scale), bounded_error(theirs, scale), "lower", rules.loss_rise),
            (
                large_errors(ours, edge),
                large_errors(theirs, edge),
                "lower",
                rules.large_errors_rise,
            ),
        ]
        shifted = bias(batch.histogram("residual"), baseline.histogram("residual"))
        if shifted is not None:
            pairs.append((*shifted, "neither", rules.bias_shift))
        return tuple(
            Contrast(current=current, reference=reference, better=better, min_change=min_change)
            for current, reference, better, min_change in pairs
            if current is not None and reference is not None
        )

    def estimated(self, counts: Counts, mature: Counts | None, *, contradicted: bool) -> Estimate:
        """None: the error of a number cannot be told from the number."""
        del counts, mature, contradicted
        return _NOT_ESTIMATED

    def drift_summaries(self, counts: Counts) -> tuple[FeatureSummary, ...]:
        """The prediction (the median, where there are quantiles) on the universal grid."""
        return (grid_summary(PREDICTION, counts, FRACTION_BITS),)

    def served_ids(self, predictions: Integers) -> tuple[Integers, Integers | None]:
        """The bucket of each prediction."""
        numbers = np.ascontiguousarray(predictions).view(np.float64)
        return fine_bucket_of(numbers[:, self._median], FRACTION_BITS), None


def losses_of(task: Task) -> Callable[[Floats, Floats], Floats]:
    """The loss of each row, from labels [rows] and predictions [rows, columns]."""
    quantiles = np.array(task.quantiles)
    losses: dict[Loss, Callable[[Floats, Floats], Floats]] = {
        "squared": lambda labels, numbers: (labels - numbers[:, 0]) ** 2,
        "poisson": lambda labels, numbers: poisson_deviance(labels, numbers[:, 0]),
        "quantile": lambda labels, numbers: pinball(labels[:, None] - numbers, quantiles),
    }
    return losses[task.loss]
