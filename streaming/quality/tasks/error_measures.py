"""Measures of predicted numbers, from counts of the residuals and of the losses.

A residual is the label minus the prediction. Means of squares have no useful sampling error where
errors have heavy tails: one label can outweigh a thousand. So what is compared is bounded:

* The bounded error is the mean of ℓ / (ℓ + m) over the losses ℓ, with m the baseline's mean loss,
  clipped at its 90 % quantile. For squared errors this is the loss of Geman and McClure (Bulletin
  of the International Statistical Institute 52, 1987). It lies between 0 and 1 and has no unit.
* Large errors are losses above the 95 % quantile of the baseline's: a change in the tail, which
  the bounded error does not weigh.
* Bias is the probability that a residual exceeds one of the baseline, ties counted half (Mann and
  Whitney 1947), with the variance of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988).
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from streaming.grid import Floats, Integers
from streaming.quality.measures import Measure
from streaming.quality.tasks.histograms import Histogram, mean_of, quantile_of, values_of

LARGE = 0.95
"""Quantile of the baseline's losses above which a loss is large."""
CLIPPED = 0.9
"""Quantile of the baseline's losses at which the scale of the bounded error clips them."""


def root_mean_square(residuals: Histogram) -> Measure | None:
    """Root mean squared error; its variance is that of the mean square by the delta method."""
    square = mean_of("rmse", values_of(residuals) ** 2, residuals[1])
    if square is None:
        return None
    root = sqrt(square.value)
    variance = square.variance / (4.0 * square.value) if square.value > 0.0 else 0.0
    return Measure(name="rmse", value=root, variance=variance, n=square.n)


def loss_scale(losses: Histogram) -> float:
    """The m of the bounded error: the mean loss, clipped at a quantile; the histogram may not be
    empty."""
    edge = quantile_of(losses, CLIPPED)
    values = values_of((np.minimum(losses[0], edge), losses[1]))
    return float(losses[1] @ values) / float(losses[1].sum())


def bounded_error(losses: Histogram, scale: float) -> Measure | None:
    """Mean of ℓ / (ℓ + scale).

    >>> bounded_error((np.array([0]), np.array([9])), 0.0).value
    0.0
    """
    values = values_of(losses)
    return mean_of("loss", values / (values + max(scale, 1e-300)), losses[1])


def large_errors(losses: Histogram, edge: int) -> Measure | None:
    """Share of the losses above the bucket `edge`.

    The variance is never below that of one such loss, so that none at all is not certainty.
    """
    share = mean_of("large_errors", (losses[0] > edge).astype(np.float64), losses[1])
    if share is None:
        return None
    least = 1.0 / share.n
    bounded = min(max(share.value, least), 1.0 - least)
    variance = bounded * (1.0 - bounded) / share.n
    return Measure(name="large_errors", value=share.value, variance=variance, n=share.n)


def bias(batch: Histogram, baseline: Histogram) -> tuple[Measure, Measure] | None:
    """The probability that a residual of the batch exceeds one of the baseline, and its 0.5.

    The first has the batch's part of the variance, the second the baseline's.

    >>> shifted, same = bias((np.array([1, 2]), np.array([5, 5])),
    ...                      (np.array([0, 1]), np.array([5, 5])))
    >>> shifted.value, same.value
    (0.875, 0.5)
    """
    sizes = [int(side[1].sum()) for side in (batch, baseline)]
    if min(sizes) < 2:
        return None
    ids = np.union1d(batch[0], baseline[0])
    ours, theirs = (_aligned(side, ids) for side in (batch, baseline))
    below = (np.cumsum(theirs) - theirs / 2.0) / sizes[1]
    above = (sizes[0] - np.cumsum(ours) + ours / 2.0) / sizes[0]
    area = float(ours @ below) / sizes[0]
    own = float(ours @ (below - area) ** 2) / (sizes[0] - 1) / sizes[0]
    others = float(theirs @ (above - area) ** 2) / (sizes[1] - 1) / sizes[1]
    return (
        Measure(name="bias", value=area, variance=own, n=sizes[0]),
        Measure(name="bias", value=0.5, variance=others, n=sizes[1]),
    )


def _aligned(histogram: Histogram, ids: Integers) -> Floats:
    counts = np.zeros(len(ids))
    counts[np.searchsorted(ids, histogram[0])] = histogram[1]
    return counts


def poisson_deviance(labels: Floats, predictions: Floats) -> Floats:
    """Unit deviance of counts, 2 (y ln(y / μ) − (y − μ)) (McCullagh and Nelder 1989, section 2.3).

    A mean below 1e-6 counts as 1e-6.

    >>> poisson_deviance(np.array([0.0, 2.0]), np.array([1.0, 2.0])).tolist()
    [2.0, 0.0]
    """
    means = np.maximum(predictions, 1e-6)
    ratio = np.where(labels > 0.0, labels, means) / means
    deviance = 2.0 * (labels * np.log(ratio) - (labels - means))
    losses: Floats = np.maximum(deviance, 0.0)
    return losses


def pinball(residuals: Floats, quantiles: Floats) -> Floats:
    """Mean pinball loss over the quantiles of each row (Koenker and Bassett, Econometrica 1978).

    `residuals` is [rows, quantiles].

    >>> pinball(np.array([[1.0, -1.0]]), np.array([0.5, 0.9])).round(2).tolist()
    [0.3]
    """
    losses: Floats = np.maximum(quantiles * residuals, (quantiles - 1.0) * residuals)
    means: Floats = losses.mean(axis=1)
    return means
