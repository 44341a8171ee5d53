"""Weights of the bet sizes against "canary and control are exchangeable" (`evalues.symmetry_bets`).

With Poisson counts of mean a and b, a difference D comes (a / b)^D times as often as −D (Skellam
1946), so λ = ½ ln(a / b) is the best bet size at any traffic. Where the live version's share of bad
requests is known, the bets that are best for the harms to be found get most of the weight, and
fewer requests prove harm than with equal weights. Weights that are chosen before the first block
keep the mean of 1, whatever they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EQUAL_PART = 0.25
"""Part of the weights that all bet sizes share equally: the known share may be wrong."""

DOUBLINGS = 6
"""Harms from the tolerance to 32 times as much count."""


def log_bet_weights(
    lambdas: Sequence[float], *, share: float, tolerance: float
) -> NDArray[np.float64]:
    """Logarithms of the weights, which add up to 1.

    Each harm gives its weight to the two bet sizes beside its own best one, smaller harms more: the
    larger ones are found by few requests anyway.

    Parameters
    ----------
    lambdas:
        Bet sizes, all above 0.
    share:
        Of bad requests of the live version before the rollout, above 0.
    tolerance:
        Excess share that the gate tolerates, above 0.

    >>> weights = np.exp(log_bet_weights((0.1, 0.4, 0.8, 1.6), share=0.002, tolerance=0.005))
    >>> weights.round(2).tolist()
    [0.06, 0.15, 0.43, 0.35]
    """
    order = np.argsort(lambdas)
    sizes = np.log(np.asarray(lambdas, dtype=np.float64)[order])
    weights = np.zeros(len(sizes))
    for doubling in range(DOUBLINGS):
        best = 0.5 * math.log1p(tolerance * 2**doubling / share)
        for index, part in _beside(sizes, math.log(best)):
            weights[order[index]] += part * 2 ** (-doubling / 2)
    equal = EQUAL_PART / len(weights)
    return np.asarray(np.log((1 - EQUAL_PART) * weights / weights.sum() + equal))


def _beside(sizes: NDArray[np.float64], at: float) -> tuple[tuple[int, float], ...]:
    """The points of an ascending grid beside `at` with their parts; one where it is outside."""
    above = int(np.searchsorted(sizes, at))
    if above in (0, len(sizes)):
        return ((min(above, len(sizes) - 1), 1.0),)
    part = float((at - sizes[above - 1]) / (sizes[above] - sizes[above - 1]))
    return ((above - 1, 1 - part), (above, part))
