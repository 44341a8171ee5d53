"""Shares: missing, non-finite, zero, single values, unseen values; exact binomial.

The effect is the difference on the probit scale, in standard deviations:
Phi^-1(p1) - Phi^-1(p0). Both shares are cut below at a floor, chosen so that growing from
nothing to `share_floor` (0.5 %) is exactly the suspected effect: a new category has no finite
distance otherwise. 1 -> 3 % missing is 0.45 sd, 1 -> 4 % 0.58, 0 -> 1 % 0.50, 50 -> 52 % 0.05.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, pi

from msgspec.structs import replace
from scipy import special

from streaming.drift.settings import DriftRules
from streaming.drift.statistics.pvalues import share_z_beside, two_sided
from streaming.drift.statistics.statistic import Evidence

HEAVY = 0.02
"""A single value with a larger share has a test of its own."""
_FAR = 0.5
"""A smaller z is too small for its probit to be trusted."""
MAX_HEAVY = 8
"""At most so many, the heaviest."""


@lru_cache(maxsize=64)
def least_share(rules: DriftRules) -> float:
    """The floor of shares."""
    return float(special.ndtr(special.ndtri(rules.share_floor) - rules.suspected_sd))


@lru_cache(maxsize=16_384)
def _probit(share: float, least: float) -> float:
    return float(special.ndtri(min(max(share, least), 1.0 - least)))


def share_effect(now: float, before: float, rules: DriftRules) -> float:
    """Difference of two shares on the probit scale, cut at the floor.

    >>> round(share_effect(0.04, 0.01, DriftRules()), 2)
    0.58
    >>> round(share_effect(0.005, 0.0, DriftRules()), 2)
    0.25
    """
    least = least_share(rules)
    return _probit(now, least) - _probit(before, least)


def expected_share(before: float, m: float) -> float:
    """The share to expect after `before` of `m`: with half a row more of each side, so that zero of
    m is not taken for never."""
    return (before + 0.5) / (m + 1.0)


def share_test(
    name: str,
    count: int,
    n: int,
    *,
    before: float,
    m: float,
    rules: DriftRules,
    worth: float = 1.0,
    only_more: bool = False,
    wobble: float | None = None,
    probit: float | None = None,
) -> Evidence:
    """`count` of `n` rows against the reference's count (`before`, may be fractional) of `m`.

    The reference's share (`expected_share`) is known as well as from `worth` (at most 1) of m rows.
    `wobble` is the variance over days of the share in units of p (1 - p); without it the share's
    probit strays, by the variance `probit` or the rules' `shares`. A rare share then grows further
    than it shrinks, so what was seen tells how many z that is. With `only_more`, fewer than before
    is no change: nobody misses values that were never to be expected.
    """
    share, known = expected_share(before, m), m * worth
    of_probit = rules.wobble.shares**2 if probit is None else probit
    lasting = n * (of_probit * slope(share) if wobble is None else wobble)
    z = effect = 0.0
    if not only_more or count > n * share:
        z, effect = (
            share_z_beside(count, n, share, known),
            share_effect(count / n, before / m, rules),
        )
        if only_more:
            z, effect = max(0.0, z), max(0.0, effect)
    stays = lasting / (1.0 + n / known)
    if wobble is None:
        stays = stray(z, count, n, share, of_probit, stays)
    return Evidence(
        name=name,
        statistic=count / n,
        p=two_sided(z, stays) if z else 1.0,
        effect=effect,
        n=n,
        persistence=lasting + n / known,
        shares=(share,),
        m=known,
        only_more=only_more,
    )


def stray(z: float, count: int, n: int, share: float, of_probit: float, near: float) -> float:
    """Variance of what a share's probit strays (`of_probit`), in the units of `z`: as much as the
    distance of `count` says, or what it is `near` the share."""
    if not near or abs(z) < _FAR:
        return near
    probits = _probits(share, count, n)
    return of_probit * (z / probits) ** 2 if probits else near


@lru_cache(maxsize=4_096)
def slope(share: float) -> float:
    """Squared change of a share, in its own standard errors, when its probit changes by 1:
    phi(Phi^-1(p))^2 / (p (1 - p))."""
    far = float(special.ndtri(share)) ** 2
    return exp(-far) / (2.0 * pi * share * (1.0 - share))


def _probits(share: float, count: int, n: int) -> float:
    """How far `count` of `n` is from the share, on the probit scale; at least half a row is in and
    half a row out."""
    seen = min(max(count, 0.5), n - 0.5) / n
    return float(special.ndtri(seen)) - float(special.ndtri(share))


def worst_of(tests: list[Evidence]) -> list[Evidence]:
    """The smallest p of several tests of one kind, paid for by their number (Bonferroni)."""
    if not tests:
        return []
    worst = min(tests, key=lambda test: (test.p, -abs(test.effect)))
    shares = tuple(share for test in tests for share in test.shares)
    return [replace(worst, p=min(1.0, worst.p * len(tests)), shares=shares)]


def worth_of_never_seen(before: float, twice: int) -> float:
    """The part of their rows that an estimate of the mass never met is worth.

    Good & Turing: that mass is about what was met once (`before`). The error of that has variance
    (met once + 2 met twice) / m^2 (Good 1953), not the binomial's, which is as if fewer rows had
    been seen.
    """
    return before / (before + 2.0 * twice) if before else 1.0
