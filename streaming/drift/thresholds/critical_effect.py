"""The critical effect of a test: its significance limit in standard deviations."""

from __future__ import annotations

from math import sqrt

from streaming.drift.statistics.quadratic_form import satterthwaite
from streaming.drift.statistics.scalars import chdtri, ndtri
from streaming.drift.statistics.statistic import TestStatistic

LINEAR_TESTS = ("location", "dispersion")
_MIN_Z = 0.5
"""An effect of fewer standard errors does not determine the scale of a share's effect."""


def critical_effect(test: TestStatistic, level: float, floor: float) -> float:
    """The smallest effect that is significant at `level` and reaches `floor`.

    For a mean score it is z sqrt((1 + rho) / n), with the normal quantile z of `level` and the
    variance ratio rho. For a chi-square it is the square root of its quantile times (1 + rho) / n,
    less the bias correction of the squared effect. For a share it is the observed effect, scaled
    from its own z to that of the level.

    >>> test = TestStatistic(
    ...     name="location", statistic=0.0, p=1.0, effect=0.0, n=2_000, variance_ratio=5.0
    ... )
    >>> round(critical_effect(test, 1e-4, 0.0), 3), critical_effect(test, 1e-4, 0.5)
    (0.213, 0.5)
    """
    return max(floor, _significant_effect(test, level))


def _significant_effect(test: TestStatistic, level: float) -> float:
    if test.degrees:
        scale, degrees = satterthwaite(test.weights or (1.0 + test.variance_ratio,) * test.degrees)
        quantile = scale * chdtri(degrees, level)
        return sqrt(max(0.0, quantile / test.n - test.null_bias))
    z = -ndtri(level / 2.0)
    if test.name in LINEAR_TESTS:
        return z * sqrt((1.0 + test.variance_ratio) / test.n)
    if not 0.0 < test.p < 1.0:
        return 0.0
    observed_z = -ndtri(test.p / 2.0)
    return abs(test.effect) * z / observed_z if observed_z >= _MIN_Z else 0.0
