"""AUC, log loss and Brier score with their variances, from counts per score bucket.

They are those of the quality verdicts (`streaming.quality.measures`, which serving may not import);
a test compares the two. Counts may be fractional, because the champion's are matched in time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from serving.evidence.rules import QualityMeasure

Floats = npt.NDArray[np.float64]

_FRACTION_BITS, _DOUBLE_BITS, _EXPONENTS = 6, 52, 2046


def measured(
    measure: QualityMeasure, buckets: npt.ArrayLike, positives: Floats, negatives: Floats
) -> tuple[float, float] | None:
    """The measure and its sampling variance; None where the labels do not give it.

    Parameters
    ----------
    measure:
        Which one.
    buckets:
        Ids of the score buckets, ascending.
    positives, negatives:
        Labels per bucket.
    """
    if measure == "auc":
        return _auc(positives, negatives)
    total = float(positives.sum() + negatives.sum())
    if total <= 1.0:
        return None
    scores = score_of(buckets)
    if measure == "brier":
        if_positive, if_negative = (1.0 - scores) ** 2, scores**2
    else:
        if_positive, if_negative = -np.log(scores), -np.log1p(-scores)
    mean = float(positives @ if_positive + negatives @ if_negative) / total
    square = float(positives @ if_positive**2 + negatives @ if_negative**2) / total
    return mean, max(square - mean * mean, 0.0) / total


def score_of(buckets: npt.ArrayLike) -> Floats:
    """A score inside each bucket: the middle of the bucket of its logit (`streaming.grid`).

    >>> score_of([0]).tolist()
    [0.5]
    """
    ids = np.asarray(buckets, np.int64)
    below = (1 << _FRACTION_BITS) - 1
    edges = [
        np.minimum(
            (np.abs(ids) + step + below) << (_DOUBLE_BITS - _FRACTION_BITS),
            np.int64(_EXPONENTS << _DOUBLE_BITS),
        ).view(np.float64)
        for step in (0, 1)
    ]
    middles = np.where(ids == 0, 0.0, np.sign(ids) * (edges[0] + edges[1]) / 2.0)
    scores: Floats = expit(middles)
    return scores


def _auc(positives: Floats, negatives: Floats) -> tuple[float, float] | None:
    """Area under the ROC curve; variance of DeLong et al. (Biometrics 44, 1988) for ties."""
    n_positive, n_negative = float(positives.sum()), float(negatives.sum())
    if n_positive <= 1.0 or n_negative <= 1.0:
        return None
    below = (np.cumsum(negatives) - negatives / 2.0) / n_negative
    above = (n_positive - np.cumsum(positives) + positives / 2.0) / n_positive
    area = float(positives @ below) / n_positive
    of_positives = float(positives @ (below - area) ** 2) / (n_positive - 1.0)
    of_negatives = float(negatives @ (above - area) ** 2) / (n_negative - 1.0)
    return area, of_positives / n_positive + of_negatives / n_negative
