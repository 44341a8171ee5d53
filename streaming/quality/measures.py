"""AUC, Brier score, calibration and their sampling errors, from counts per bucket.

The variance of an AUC is DeLong, DeLong and Clarke-Pearson's (Biometrics 44, 1988), written for
tied scores as sums over buckets; at 0, 1 or without spread Hanley and McNeil's (Radiology 143,
1982). Brier 1950; calibration here is the mean predicted minus the mean observed share. Counts
may be fractional: expected outcomes are measured by the same formulas (see `estimate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np

from streaming.contracts.quality import QualityMetric
from streaming.grid import Floats

Z95 = 1.959963984540054
_TENTHS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A value with its sampling variance."""

    name: str
    value: float
    variance: float
    """Of an AUC: of its logit."""
    n: int
    logit: float = 0.0
    """Of an AUC, at least half a pair of rows from 0 and 1."""

    def metric(self) -> QualityMetric:
        """As part of a record, with a 95 % interval."""
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
    """Every measure that can be formed, by name; empty without a single outcome.

    Parameters
    ----------
    scores:
        Predicted probability of each bucket, ascending.
    positives, negatives:
        Outcomes per bucket; whole or expected.

    >>> found = measure_all(np.array([0.2, 0.8]), np.array([20.0, 80.0]), np.array([80.0, 20.0]))
    >>> round(found["auc"].value, 2), round(found["brier"].value, 2), found["calibration"].n
    (0.8, 0.16, 200)
    """
    total = float(positives.sum() + negatives.sum())
    if total <= 0.0:
        return {}
    found = [
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
    return {one.name: one for one in ([area] if area else []) + found}


def auc(positives: Floats, negatives: Floats) -> Measure | None:
    """Area under the ROC curve over ascending buckets; None when a class is absent."""
    good, bad = float(positives.sum()), float(negatives.sum())
    if good <= 0.0 or bad <= 0.0:
        return None
    below = (np.cumsum(negatives) - negatives / 2.0) / bad
    above = (good - np.cumsum(positives) + positives / 2.0) / good
    area = float(positives @ below) / good
    spread_good = float(positives @ (below - area) ** 2) / max(good - 1.0, 1.0)
    spread_bad = float(negatives @ (above - area) ** 2) / max(bad - 1.0, 1.0)
    variance = spread_good / good + spread_bad / bad
    edge = min(0.5 / (good * bad), 0.25)  # expected counts may add up to less than one
    inside = min(max(area, edge), 1.0 - edge)
    if variance <= 0.0:
        variance = _hanley_mcneil(inside, good, bad)
    scale = (inside * (1.0 - inside)) ** 2
    return Measure(
        name="auc",
        value=area,
        variance=variance / scale,
        n=round(good + bad),
        logit=log(inside / (1.0 - inside)),
    )


def _mean(
    name: str, if_good: Floats, if_bad: Floats, positives: Floats, negatives: Floats
) -> Measure:
    total = float(positives.sum() + negatives.sum())
    mean = float(positives @ if_good + negatives @ if_bad) / total
    square = float(positives @ if_good**2 + negatives @ if_bad**2) / total
    variance = max(square - mean * mean, 0.0) / total
    return Measure(name=name, value=mean, variance=variance, n=round(total))


def _calibration_error(scores: Floats, positives: Floats, negatives: Floats) -> float:
    """Expected calibration error over ten parts of equal mass (Naeini et al. 2015).

    Never quite 0: of perfectly calibrated predictions it is about the sampling error of a part.
    """
    rows = positives + negatives
    middle = (np.cumsum(rows) - rows / 2.0) / rows.sum()
    part = np.minimum((middle * _TENTHS).astype(np.int64), _TENTHS - 1)
    gaps = np.bincount(part, positives - rows * scores, _TENTHS)
    return float(np.abs(gaps).sum() / rows.sum())


def _hanley_mcneil(area: float, good: float, bad: float) -> float:
    two_good = area / (2.0 - area) - area * area
    two_bad = 2.0 * area * area / (1.0 + area) - area * area
    own = area * (1.0 - area)
    return (own + max(good - 1.0, 0.0) * two_good + max(bad - 1.0, 0.0) * two_bad) / (good * bad)


def _expit(value: float) -> float:
    return 1.0 / (1.0 + exp(-min(max(value, -700.0), 700.0)))
