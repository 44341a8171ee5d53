"""Exact binomial tests of shares: missing, non-finite, zero, single and unseen values.

The effect is the difference on the probit scale, in standard deviations:
Phi^-1(p1) - Phi^-1(p0). Both shares are cut below at a minimum. Without it a new category would be
infinitely far away. The minimum is chosen so that a growth from nothing to `share_floor` (0.5 %)
has exactly the suspected effect. Examples: 1 -> 3 % missing is 0.45 sd, 1 -> 4 % 0.58, 0 -> 1 %
0.50, 50 -> 52 % 0.05.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, pi

import numpy as np
from msgspec.structs import replace
from scipy import special

from streaming.drift.settings import DriftRules
from streaming.drift.statistics.pvalues import share_z_estimated, two_sided
from streaming.drift.statistics.scalars import ndtr, ndtri
from streaming.drift.statistics.statistic import TestStatistic
from streaming.grid import Floats

HEAVY = 0.02
"""A value with a larger share of the reference has a test of its own."""
MAX_HEAVY = 8
"""Maximum number of such values; the most frequent ones are taken."""
_MIN_Z = 0.5
"""The ratio of z and probit is not reliable for a smaller |z|."""


def min_share(rules: DriftRules) -> float:
    """The smallest share that effects are computed from."""
    return _min_share(rules.share_floor, rules.suspected_sd)


@lru_cache(maxsize=64)
def _min_share(share_floor: float, suspected_sd: float) -> float:
    return ndtr(ndtri(share_floor) - suspected_sd)


def _probit(share: float, minimum: float) -> float:
    largest = 1.0 - minimum
    return ndtri(minimum if share < minimum else largest if share > largest else share)


def share_effect(window_share: float, reference_share: float, rules: DriftRules) -> float:
    """Difference of two shares on the probit scale, cut at the minimum share.

    >>> round(share_effect(0.04, 0.01, DriftRules()), 2)
    0.58
    >>> round(share_effect(0.005, 0.0, DriftRules()), 2)
    0.25
    """
    minimum = min_share(rules)
    return _probit(window_share, minimum) - _probit(reference_share, minimum)


def share_effects(window_shares: Floats, reference_shares: Floats, rules: DriftRules) -> Floats:
    """`share_effect` of many shares at once."""
    minimum = min_share(rules)
    window, reference = (
        special.ndtri(np.minimum(np.maximum(shares, minimum), 1.0 - minimum))
        for shares in (window_shares, reference_shares)
    )
    effects: Floats = window - reference
    return effects


def at_most(effect: float, limit: float) -> float:
    """The effect with its sign, in size at most that of `limit`.

    >>> at_most(-0.7, 0.5), at_most(0.3, -0.5)
    (-0.5, 0.3)
    """
    return max(-abs(limit), min(abs(limit), effect))


def expected_share(count: float, m: float) -> float:
    """The share to expect after `count` of `m` rows.

    Half a row is added on each side, so that 0 of m rows does not mean an impossible value.
    """
    return (count + 0.5) / (m + 1.0)


def share_test(
    name: str,
    count: int,
    n: int,
    *,
    reference_count: float,
    m: float,
    rules: DriftRules,
    effective_sample_fraction: float = 1.0,
    one_sided: bool = False,
    day_variance: float | None = None,
    probit_variance: float | None = None,
    value: int | str | None = None,
) -> TestStatistic:
    """Test `count` of `n` window rows against `reference_count` of `m` reference rows.

    Parameters
    ----------
    reference_count:
        May be fractional.
    effective_sample_fraction:
        Scales `m` (at most 1): the reference's share (`expected_share`) is known as precisely as
        from that many rows.
    one_sided:
        Only an increase counts, as for values that nobody expected in the first place.
    day_variance:
        Between-day variance of the share in units of p (1 - p).
    probit_variance:
        Between-day variance of the share's probit; by default that of the rules for missing values.
        Used when `day_variance` is None. A rare share then grows by more than it shrinks, so its
        variance in units of z depends on the observed count.
    value:
        The single value whose share is tested, if it is one.
    """
    share, effective_m = expected_share(reference_count, m), m * effective_sample_fraction
    if day_variance is None:
        probit_variance = rules.day_sd.missing**2 if probit_variance is None else probit_variance
        persistent = n * (probit_variance * probit_information(share))
    else:
        persistent = n * day_variance
    z = effect = 0.0
    if not one_sided or count > n * share:
        z, effect = (
            share_z_estimated(count, n, share, effective_m),
            share_effect(count / n, reference_count / m, rules),
        )
        if one_sided:
            z, effect = max(0.0, z), max(0.0, effect)
    z_variance = persistent / (1.0 + n / effective_m)
    if probit_variance is not None and day_variance is None:
        z_variance = z_day_variance(z, count, n, share, probit_variance, z_variance)
    return TestStatistic(
        name=name,
        statistic=count / n,
        p=two_sided(z, z_variance) if z else 1.0,
        effect=effect,
        n=n,
        variance_ratio=persistent + n / effective_m,
        shares=(share,),
        m=effective_m,
        one_sided=one_sided,
        value=value,
    )


def z_day_variance(
    z: float, count: int, n: int, share: float, probit_variance: float, local: float
) -> float:
    """Between-day variance of a share's probit (`probit_variance`) in squared units of `z`.

    The unit is the ratio of `z` and the probit distance of `count` from the share. For a count
    close to the share the `local` value applies.
    """
    if not local or abs(z) < _MIN_Z:
        return local
    distance = _probit_distance(share, count, n)
    return probit_variance * (z / distance) ** 2 if distance else local


@lru_cache(maxsize=4_096)
def probit_information(share: float) -> float:
    """Fisher information of one row about the probit of a share: phi(Phi^-1(p))^2 / (p (1 - p))."""
    squared_probit = ndtri(share) ** 2
    return exp(-squared_probit) / (2.0 * pi * share * (1.0 - share))


def _probit_distance(share: float, count: int, n: int) -> float:
    """Distance of `count` of `n` from the share on the probit scale; at least half a row is in and
    half a row out."""
    observed = min(max(count, 0.5), n - 0.5) / n
    return ndtri(observed) - ndtri(share)


def smallest_p(tests: list[TestStatistic]) -> list[TestStatistic]:
    """The test with the smallest p, multiplied by the number of tests (Bonferroni)."""
    if not tests:
        return []
    smallest = min(tests, key=lambda test: (test.p, -abs(test.effect)))
    shares = tuple(share for test in tests for share in test.shares)
    return [replace(smallest, p=min(1.0, smallest.p * len(tests)), shares=shares)]
