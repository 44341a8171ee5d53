"""AUC, Brier score, calibration and their sampling errors, from counts per bucket.

The variance of an AUC is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), written
for tied scores as sums over buckets. At an AUC of 0 or 1, or without any dispersion, it is that of
Hanley and McNeil (Radiology 143, 1982). The Brier score is from Brier (1950). Calibration is the
mean predicted minus the mean observed share. Counts may be fractional, because `estimate` applies
the same formulas to expected outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np

from streaming.contracts.quality_records import QualityMetric
from streaming.grid import Floats

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
_TENTHS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measured value with its sampling variance."""

    name: str
    value: float
    variance: float
    """Sampling variance of the value; of an AUC, the variance of its logit."""
    n: int
    """Predictions behind the value."""
    logit: float = 0.0
    """Logit of an AUC that is kept at least half a pair of rows away from 0 and 1."""

    def metric(self) -> QualityMetric:
        """The value as a part of a record, with its 95 % interval."""
        if self.variance <= 0.0:
            return QualityMetric(name=self.name, value=self.value, n=self.n)
        half = Z95 * sqrt(self.variance)
        if self.name == "auc":
            low, high = _expit(self.logit - half), _expit(self.logit + half)
        else:
            low, high = self.value - half, self.value + half
        return QualityMetric(
            name=self.name,
            value=self.value,
            low=min(low, self.value),
            high=max(high, self.value),
            n=self.n,
        )


def measure_all(scores: Floats, positives: Floats, negatives: Floats) -> dict[str, Measure]:
    """Every measure that can be computed, by name; empty without any outcome.

    Parameters
    ----------
    scores:
        Predicted probability of each bucket, ascending.
    positives, negatives:
        Outcomes per bucket, observed or expected.

    >>> measures = measure_all(
    ...     np.array([0.2, 0.8]), np.array([20.0, 80.0]), np.array([80.0, 20.0])
    ... )
    >>> round(measures["auc"].value, 2), round(measures["brier"].value, 2)
    (0.8, 0.16)
    >>> measures["calibration"].n
    200
    """
    total = float(positives.sum() + negatives.sum())
    if total <= 0.0:
        return {}
    measures = [
        _mean("brier", (1.0 - scores) ** 2, scores**2, positives, negatives),
        _mean("calibration", scores - 1.0, scores, positives, negatives),
        _mean("log_loss", -np.log(scores), -np.log1p(-scores), positives, negatives),
        _mean("positive_rate", np.ones_like(scores), np.zeros_like(scores), positives, negatives),
        Measure(
            name="ece",
            value=_calibration_error(scores, positives, negatives),
            variance=0.0,
            n=round(total),
        ),
    ]
    area = auc(positives, negatives)
    return {measure.name: measure for measure in ([area] if area else []) + measures}


def auc(positives: Floats, negatives: Floats) -> Measure | None:
    """Area under the ROC curve over ascending buckets; None when a class is absent."""
    n_positive, n_negative = float(positives.sum()), float(negatives.sum())
    if n_positive <= 0.0 or n_negative <= 0.0:
        return None
    below = (np.cumsum(negatives) - negatives / 2.0) / n_negative
    above = (n_positive - np.cumsum(positives) + positives / 2.0) / n_positive
    area = float(positives @ below) / n_positive
    positive_variance = float(positives @ (below - area) ** 2) / max(n_positive - 1.0, 1.0)
    negative_variance = float(negatives @ (above - area) ** 2) / max(n_negative - 1.0, 1.0)
    variance = positive_variance / n_positive + negative_variance / n_negative
    # Half a pair of rows. Expected counts may add up to less than one row.
    margin = min(0.5 / (n_positive * n_negative), 0.25)
    inside = min(max(area, margin), 1.0 - margin)
    if variance <= 0.0:
        variance = _hanley_mcneil(inside, n_positive, n_negative)
    scale = (inside * (1.0 - inside)) ** 2
    return Measure(
        name="auc",
        value=area,
        variance=variance / scale,
        n=round(n_positive + n_negative),
        logit=log(inside / (1.0 - inside)),
    )


def _mean(
    name: str, if_positive: Floats, if_negative: Floats, positives: Floats, negatives: Floats
) -> Measure:
    """Mean over the rows of a value that depends on the bucket and the outcome."""
    total = float(positives.sum() + negatives.sum())
    mean = float(positives @ if_positive + negatives @ if_negative) / total
    square = float(positives @ if_positive**2 + negatives @ if_negative**2) / total
    variance = max(square - mean * mean, 0.0) / total
    return Measure(name=name, value=mean, variance=variance, n=round(total))


def _calibration_error(scores: Floats, positives: Floats, negatives: Floats) -> float:
    """Expected calibration error over ten bins of equal mass (Naeini et al. 2015).

    It is never quite 0: for perfectly calibrated predictions it is about the sampling error of a
    bin.
    """
    rows = positives + negatives
    middle = (np.cumsum(rows) - rows / 2.0) / rows.sum()
    bins = np.minimum((middle * _TENTHS).astype(np.int64), _TENTHS - 1)
    gaps = np.bincount(bins, positives - rows * scores, _TENTHS)
    return float(np.abs(gaps).sum() / rows.sum())


def _hanley_mcneil(area: float, n_positive: float, n_negative: float) -> float:
    two_positives = area / (2.0 - area) - area * area
    two_negatives = 2.0 * area * area / (1.0 + area) - area * area
    own = area * (1.0 - area)
    return (
        own
        + max(n_positive - 1.0, 0.0) * two_positives
        + max(n_negative - 1.0, 0.0) * two_negatives
    ) / (n_positive * n_negative)


def _expit(value: float) -> float:
    return 1.0 / (1.0 + exp(-min(max(value, -700.0), 700.0)))
