"""The slow lane of missing values: small changes of a share, added up over windows.

As in `slow`, but a share is a lattice with a law of its own, so its exact normal scores are added,
in standard errors of the window; with half the probability of the count itself, or half a row
would be lost every time. Sums of them are normal sums or, where few rows are expected, smaller: for
that part the budget is larger (`_used`). The floor is not an amount that is subtracted: a count
that grows is compared with the largest share that is tolerated and one that falls with the
smallest, half the suspected effect away on the probit scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, inf, log, sqrt

from scipy import special

from streaming.drift.settings import DriftRules
from streaming.drift.statistics.proportions import (
    expected_share,
    least_share,
    share_effect,
    slope,
    stray,
)
from streaming.drift.statistics.pvalues import share_z_middle
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.alarm_rules import Lane
from streaming.drift.thresholds.cusum import REST, Slow, Sums, added, threshold, tolerated

_KAPPA = 1.0
"""Least kappa: two rows of 200 that become six are found soonest with it, in 5 windows."""
_FEWEST = 0.1
"""With fewer rows expected in a window one is news, and other lanes see it."""
_STEP = 0.2
"""What is expected is rounded to so much, so that limits are solved once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share in one window, beside its reference."""

    count: int
    n: int
    before: int
    """Rows of the reference, out of …"""
    m: int
    """… so many, …"""
    worth: float
    """… of which this part tells something."""

    @property
    def expected(self) -> float:
        """The share, if nothing changed."""
        return expected_share(self.before, self.m)


def is_summed(tests: Sequence[Evidence]) -> bool:
    """Whether enough rows without a value are expected for a sum of them to tell more than a window
    does."""
    return any(
        test.name == "missing" and _rows(test.shares[0], test.n) >= _FEWEST for test in tests
    )


def share_lane(
    past: Sums | None,
    share: Share,
    lane: Lane,
    rules: DriftRules,
    *,
    window_start: float,
    oldest: float,
) -> Slow:
    """Add a window to the sums, which are in standard errors of a window.

    With floors, one window brings at most the limit over `rules.of`: the lane is for what takes
    longer.
    """
    expected, n, known = share.expected, share.n, share.m * share.worth
    per_probit = sqrt(n * slope(expected))
    half = rules.suspected_sd / 2.0
    daily, of_reference = (rules.wobble.shares * per_probit) ** 2, n / known
    lasting = sqrt(daily + of_reference)
    kappa = max(_KAPPA, tolerated(lane, lasting, 2.0 * half * per_probit))
    used = _used(_rows(expected, n))
    limit = threshold(
        replace(lane, alarms=lane.alarms / used), 1.0, lasting, kappa, stays=of_reference > daily
    )
    left = kappa - half * per_probit
    highest = limit / rules.of if half else inf
    above = tolerated_share(expected, half, rules)
    below = tolerated_share(expected, -half, rules)
    up = _score(share, above, rules)
    down = -(up if below == above else _score(share, below, rules))
    sums = added(
        past,
        (min(highest, up - left), min(highest, down - left)),
        most=limit + REST * kappa,
        window_start=window_start,
        oldest=oldest,
    )
    in_sd = partial(_effect, share=share, above=above, below=below, rules=rules)
    return Slow(sums, limit, left, test="missing", in_sd=in_sd)


def tolerated_share(share: float, by: float, rules: DriftRules) -> float:
    """The share that lies `by` away on the probit scale, cut at the floor of shares.

    >>> rules = DriftRules()
    >>> round(tolerated_share(0.01, 0.125, rules), 4), round(tolerated_share(1e-6, 0.125, rules), 4)
    (0.0139, 0.0035)
    """
    if not by:
        return share
    least = least_share(rules)
    cut = min(max(share, least), 1.0 - least)
    moved = float(special.ndtr(special.ndtri(cut) + by))
    return max(share, moved) if by > 0.0 else min(share, moved)


def _score(share: Share, against: float, rules: DriftRules) -> float:
    """How far the count is from such a share, in errors of the window; a stray on the probit scale
    takes as much room on both sides."""
    n, known = share.n, share.m * share.worth
    beside = 1.0 + n / known
    z = share_z_middle(share.count, n, against, known)
    of_probit = rules.wobble.shares**2
    near = of_probit * n * slope(against) / beside
    seen = stray(z, share.count, n, against, of_probit, near)
    return z * sqrt(beside * (1.0 + near) / (1.0 + seen))


def _effect(mean: float, *, share: Share, above: float, below: float, rules: DriftRules) -> float:
    """A mean score as an effect."""
    against = above if mean > 0.0 else below
    seen = against + mean * sqrt(against * (1.0 - against) / share.n)
    return share_effect(min(max(seen, 0.0), 1.0), share.before / share.m, rules)


def _rows(share: float, n: int) -> float:
    """Rows of the rarer side that a window should have."""
    return n * min(share, 1.0 - share)


def _used(rows: float) -> float:
    """The part of their budget that sums of scores use, at most, when so many rows are expected.

    An exact chain says 0.18 for half a row, 0.32 for two, 0.8 for ten and 0.96 for 50.
    """
    rows = exp(round(log(rows) / _STEP) * _STEP)
    return max(0.2, rows / (rows + 2.0))
