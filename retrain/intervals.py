"""Confidence intervals of an AUC and of the difference of two AUCs on the same rows. Pure.

The covariance of AUCs that share their rows is DeLong, DeLong and Clarke-Pearson's (Biometrics
44, 1988), computed by midranks as in Sun and Xu (IEEE Signal Processing Letters 21, 2014). That
formula gives an AUC of exactly 0 or 1 no variance; there Hanley and McNeil's formula is used
(Radiology 143, 1982), at half a pair of rows from the end. Where several rows belong to one entity,
its rows count jointly (Obuchowski, Biometrics 53, 1997).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and its 95 % interval, low <= value <= high."""

    value: float
    low: float
    high: float


def auc(
    labels: NDArray[np.bool_], scores: Floats, entities: NDArray[np.int64] | None = None
) -> Interval | None:
    """Area under the ROC curve of one scorer; None when a class is absent.

    Parameters
    ----------
    labels, scores:
        One entry for each row; a higher score means a more likely "true". Ties count half.
    entities:
        Number of the entity of each row; None when each row stands for itself.

    >>> import numpy as np
    >>> r = np.random.default_rng(1)
    >>> truth = r.random(500) < 0.3
    >>> interval = auc(truth, r.normal(size=500) + truth)
    >>> [round(x, 3) for x in (interval.low, interval.value, interval.high)]
    [0.662, 0.712, 0.757]
    """
    if not _two_classes(labels):
        return None
    values, covariance = delong(labels, scores[np.newaxis, :], entities)
    positives = int(labels.sum())
    return _on_logits(float(values[0]), float(covariance[0, 0]), positives, len(labels) - positives)


def auc_difference(
    labels: NDArray[np.bool_],
    challenger: Floats,
    champion: Floats,
    entities: NDArray[np.int64] | None = None,
) -> Interval | None:
    """AUC of the challenger minus the champion's on the same rows; None when a class is absent.

    >>> import numpy as np
    >>> auc_difference(np.array([True, False]), np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    Interval(value=0.0, low=0.0, high=0.0)
    """
    if not _two_classes(labels):
        return None
    values, covariance = delong(labels, np.stack([challenger, champion]), entities)
    variance = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    value = float(values[0] - values[1])
    half = Z95 * math.sqrt(max(float(variance), 0.0))
    return Interval(value=value, low=value - half, high=value + half)


def delong(
    labels: NDArray[np.bool_], scores: Floats, entities: NDArray[np.int64] | None = None
) -> tuple[Floats, Floats]:
    """AUCs [k] and their covariance [k, k] of `scores` [k, rows]; both classes must be present."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    positive_ranks = np.stack([_midranks(row[labels]) for row in scores])
    negative_ranks = np.stack([_midranks(row[~labels]) for row in scores])
    ranks = np.stack([_midranks(np.concatenate([row[labels], row[~labels]])) for row in scores])
    # Structural components: for each row, the share of the other class that it is ordered with.
    positive_shares = (ranks[:, :positives] - positive_ranks) / negatives
    negative_shares = 1.0 - (ranks[:, positives:] - negative_ranks) / positives
    values = positive_shares.mean(axis=1)
    if entities is not None:
        return values, _clustered_covariance(labels, positive_shares, negative_shares, entities)
    covariance = (
        _sample_covariance(positive_shares) / positives
        + _sample_covariance(negative_shares) / negatives
    )
    return values, covariance


def _clustered_covariance(
    labels: NDArray[np.bool_],
    positive_shares: Floats,
    negative_shares: Floats,
    entities: NDArray[np.int64],
) -> Floats:
    """The covariance when the rows of an entity count jointly."""
    _, numbers = np.unique(entities, return_inverse=True)
    count = int(numbers.max()) + 1
    influence = np.zeros((len(positive_shares), len(labels)))
    for rows, shares in ((labels, positive_shares), (~labels, negative_shares)):
        centred = shares - shares.mean(axis=1, keepdims=True)
        influence[:, rows] = centred / shares.shape[1]
    sums = np.stack([np.bincount(numbers, weights=row, minlength=count) for row in influence])
    return np.asarray(sums @ sums.T * (count / max(count - 1, 1)), np.float64)


def _sample_covariance(shares: Floats) -> Floats:
    rows = shares.shape[1]
    centred = shares - shares.mean(axis=1, keepdims=True)
    covariance: Floats = centred @ centred.T / max(rows - 1, 1)
    return covariance


def _midranks(values: Floats) -> Floats:
    """Ranks from 1; ties share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Floats = (last - (counts - 1) / 2.0)[inverse]
    return middle


def _two_classes(labels: NDArray[np.bool_]) -> bool:
    return bool(labels.any()) and not bool(labels.all())


def _on_logits(value: float, variance: float, positives: int, negatives: int) -> Interval:
    """The interval computed on the logit scale, so that it stays within 0 … 1."""
    edge = 0.5 / (positives * negatives)
    inside = min(max(value, edge), 1.0 - edge)
    if variance <= 0.0:
        variance = _hanley_mcneil(inside, positives, negatives)
    width = Z95 * math.sqrt(variance) / (inside * (1.0 - inside))
    middle = math.log(inside / (1.0 - inside))
    low, high = _logistic(middle - width), _logistic(middle + width)
    return Interval(value=value, low=min(low, value), high=max(high, value))


def _hanley_mcneil(area: float, positives: int, negatives: int) -> float:
    two_positives = area / (2.0 - area) - area * area
    two_negatives = 2.0 * area * area / (1.0 + area) - area * area
    same_pair = area * (1.0 - area)
    pairs = positives * negatives
    return (same_pair + (positives - 1) * two_positives + (negatives - 1) * two_negatives) / pairs


def _logistic(x: float) -> float:
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(max(x, -700.0)) / (1.0 + math.exp(max(x, -700.0)))
