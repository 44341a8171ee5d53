"""The effect at which a test counts: its limit in the unit that people read."""

from __future__ import annotations

from math import sqrt

from scipy import special

from streaming.drift.statistics.quadratic_form import two_moments
from streaming.drift.statistics.statistic import Evidence

LINEAR = ("location", "dispersion")
_FAINT = 0.5
"""An effect of fewer standard errors says nothing of its scale."""


def limit_of(test: Evidence, level: float, floor: float) -> float:
    """The effect that is significant at `level`, and at least `floor`, in standard deviations.

    Of a mean score z sqrt((1 + rho) / n), z the normal quantile of `level` and rho the persistence;
    of a chi-square the root of its quantile times (1 + rho) / n, less what is taken off every
    effect; of a share the effect it has, stretched from its own z to that of the level.

    >>> test = Evidence(name="location", statistic=0.0, p=1.0, effect=0.0, n=2_000, persistence=5.0)
    >>> round(limit_of(test, 1e-4, 0.0), 3), limit_of(test, 1e-4, 0.5)
    (0.213, 0.5)
    """
    return max(floor, _sampling(test, level))


def _sampling(test: Evidence, level: float) -> float:
    if test.degrees:
        size, degrees = two_moments(test.weights or (1.0 + test.persistence,) * test.degrees)
        quantile = size * float(special.chdtri(degrees, level))
        return sqrt(max(0.0, quantile / test.n - test.by_chance))
    z = -float(special.ndtri(level / 2.0))
    if test.name in LINEAR:
        return z * sqrt((1.0 + test.persistence) / test.n)
    if not 0.0 < test.p < 1.0:
        return 0.0
    own = -float(special.ndtri(test.p / 2.0))
    return abs(test.effect) * z / own if own >= _FAINT else 0.0
