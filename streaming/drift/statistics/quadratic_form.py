"""Tail of a weighted sum of chi-squares: the law of a sum of squares of dependent scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log, sqrt

import numpy as np
from scipy import optimize

from streaming.drift.statistics.scalars import chdtrc, ndtr
from streaming.grid import Floats

_NEAR = 1e-3
"""Closer to the mean than this, in standard deviations, the saddlepoint is 0/0. A chi-square with
the same two moments is used there."""
_ZERO = 1e-12
"""Weights below this part of the largest weight are left out."""
_LARGE_TAIL = 0.3
"""Tails above this need no saddlepoint."""
_EQUAL = 1.001
"""Weights that differ by less than this factor need no saddlepoint."""


def weighted_chi_square_tail(statistic: float, weights: Floats) -> float:
    """P(sum of weights_i times independent chi-squares with 1 degree of freedom >= statistic).

    Saddlepoint of Kuonen (1999): K(t) = -1/2 sum ln(1 - 2 t w), K'(t) = statistic,
    w = sgn(t) sqrt(2 (t q - K)), v = t sqrt(K''), p = Phi_bar(w + ln(v/w)/w).

    Parameters
    ----------
    statistic:
        At least 0.
    weights:
        Eigenvalues of the scores' covariance; those that are 0 or less are left out.

    Examples
    --------
    >>> round(weighted_chi_square_tail(18.307, np.ones(10)), 3)
    0.05
    """
    kept = weights[weights > _ZERO * max(_ZERO, float(weights.max(initial=0.0)))]
    if not len(kept) or statistic <= 0.0:
        return 1.0
    scale = float(kept.max())
    kept, q = kept / scale, statistic / scale
    mean, variance = float(kept.sum()), 2.0 * float(kept @ kept)
    if abs(q - mean) <= _NEAR * sqrt(variance):
        return chdtrc(2.0 * mean**2 / variance, 2.0 * mean * q / variance)
    t = _saddlepoint(q, kept)
    cumulant = -0.5 * float(np.log1p(-2.0 * t * kept).sum())
    curve = 2.0 * float(((kept / (1.0 - 2.0 * t * kept)) ** 2).sum())
    w = float(np.sign(t)) * sqrt(max(0.0, 2.0 * (t * q - cumulant)))
    v = t * sqrt(curve)
    return ndtr(-(w + log(v / w) / w)) if w else 0.5


def sum_of_squares_tail(statistic: float, weights: Sequence[float]) -> float:
    """The same tail at low cost, for few weights above 0.

    It is exact where the weights are equal, and by two moments where the tail is not small.

    >>> round(sum_of_squares_tail(9.488, (1.0,) * 4), 3)
    0.05
    >>> round(sum_of_squares_tail(60.0, (10.0, 10.0, 1.0, 1.0)), 3)
    0.056
    """
    scale, degrees = satterthwaite(weights)
    by_moments = chdtrc(degrees, statistic / scale)
    if by_moments > _LARGE_TAIL or max(weights) <= _EQUAL * min(weights):
        return by_moments
    return weighted_chi_square_tail(statistic, np.array(weights, float))


def satterthwaite(weights: Sequence[float]) -> tuple[float, float]:
    """Scale and degrees of the chi-square with the same mean and variance (Satterthwaite 1946)."""
    total, squares = sum(weights), sum(weight**2 for weight in weights)
    return squares / total, total**2 / squares


def _saddlepoint(q: float, weights: Floats) -> float:
    def excess(t: float) -> float:
        return float((weights / (1.0 - 2.0 * t * weights)).sum()) - q

    # The largest weight is 1, so K' grows from 0 at minus infinity to infinity at 1/2.
    high = 0.5 * (1.0 - min(0.5, 0.25 / q)) if q > 1.0 else 0.25
    while excess(high) < 0.0:
        high = (high + 0.5) / 2.0
    low = -1.0
    while excess(low) > 0.0:
        low *= 4.0
    solve: Callable[..., float] = optimize.brentq
    return float(solve(excess, low, high, xtol=1e-13))
