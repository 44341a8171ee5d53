"""AUC, log loss, Brier score and bounded loss with their variances, from counts per bucket.

The first three are those of the quality verdicts (`streaming.quality.measures`, which serving may
not import); a test compares the two. Counts may be fractional, because the champion's are matched
in time.

Other tasks than binary ones record the loss of each labelled prediction: the squared error, the
Poisson deviance, the pinball loss, or half the Brier score of the classes. Its mean says little
where errors have heavy tails, so both versions are compared by the mean of ℓ / (ℓ + m), with m the
champion's mean loss, clipped at its 90 % quantile (of squared errors, the loss of Geman and
McClure, Bulletin of the International Statistical Institute 52, 1987). It lies between 0 and 1, has
no unit, and rises with every loss.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from serving.evidence.rules import QualityMeasure

Floats = npt.NDArray[np.float64]

LOSS = "loss"
"""Name of the histogram with the losses of a task, and of the measure that compares them."""
_CLIPPED = 0.9
_FRACTION_BITS, _DOUBLE_BITS, _EXPONENTS = 6, 52, 2046


def both_measured(
    measure: QualityMeasure, buckets: npt.ArrayLike, canary: Floats, champion: Floats
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The measure of canary and champion, each with its sampling variance.

    Parameters
    ----------
    measure:
        Which one.
    buckets:
        Ids of the buckets, ascending: of the scores, or of the losses.
    canary, champion:
        [outcomes, buckets]; labels per outcome and bucket.
    """
    if measure == LOSS:
        values = middle_of(buckets)
        scale = _loss_scale(values, champion[0])
        bounded = values / (values + max(scale, 1e-300))
        return _mean(bounded, canary[0]), _mean(bounded, champion[0])
    ours = measured(measure, buckets, canary[0], canary[1])
    theirs = measured(measure, buckets, champion[0], champion[1])
    return None if ours is None or theirs is None else (ours, theirs)


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
    """A score inside each bucket: the middle of the bucket of its logit.

    >>> score_of([0]).tolist()
    [0.5]
    """
    scores: Floats = expit(middle_of(buckets))
    return scores


def middle_of(buckets: npt.ArrayLike) -> Floats:
    """The middle of each bucket of the universal grid (`streaming.grid`)."""
    ids = np.asarray(buckets, np.int64)
    below = (1 << _FRACTION_BITS) - 1
    edges = [
        np.minimum(
            (np.abs(ids) + step + below) << (_DOUBLE_BITS - _FRACTION_BITS),
            np.int64(_EXPONENTS << _DOUBLE_BITS),
        ).view(np.float64)
        for step in (0, 1)
    ]
    middles: Floats = np.where(ids == 0, 0.0, np.sign(ids) * (edges[0] + edges[1]) / 2.0)
    return middles


def _loss_scale(values: Floats, counts: Floats) -> float:
    """The m of the bounded loss: the mean loss, clipped at a quantile."""
    total = float(counts.sum())
    edge = int(np.searchsorted(np.cumsum(counts), _CLIPPED * total))
    return float(counts @ np.minimum(values, values[min(edge, len(values) - 1)])) / total


def _mean(values: Floats, counts: Floats) -> tuple[float, float]:
    total = float(counts.sum())
    mean = float(counts @ values) / total
    return mean, float(counts @ (values - mean) ** 2) / total / total


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
