"""What the tests of one feature spend of its budget together, and what they may.

A feature is tested several ways, test i at `weight_i` of the feature's level. If all were
continuous and never agreed, the feature would hit as often as its level says. They are not: a
share is a lattice (zero non-finite values cannot be fewer), a test may need more rows than there
are, and tests overlap. So a hit is decided on what is *spent*: with x the smallest p_i / weight_i,

    spent(x) = overlap * sum of P(p_i <= weight_i x) over the tests that overlap, and the same sum
               over the others,

exact for shares, is the chance that a quiet window looks at least as bad. It is compared with the
`allowed` hit rate: that at which, with the persistent error of each test, the lane's alarms are
its budget::

    F (W / L) { a(Q) + sum_i ( E_theta_i[ a(Q - q_i + q_i(theta_i)) ] - a(Q) ) } = budget

Q = sum q_i, a = the chance of an alarm in a block of L windows (`limits.block_alarm`). With one
test this is the formula of `limits`; without persistence a(Q) alone, for 3 of 5 6 Q^3 W F = budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, floor, inf, log, sqrt

import numpy as np
from scipy import optimize, special

from streaming.drift.statistics.pvalues import share_z_beside
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.alarm_rules import Lane, block_alarm
from streaming.grid import Floats

MAX_SLACK = 10.0
"""Beyond so many times the allowed rate nothing is worth computing exactly."""
OVERLAPPING = frozenset({"location", "dispersion", "shape", "zero", "value", "category"})
_SMALLEST = 1e-12
_STEP, _SIZE, _PART = 0.1, 0.03, 0.02
"""Persistence is rounded to steps of 10 %, n to steps of 3 % and a test's part of the rate to steps
of 0.02, so that rates are solved once."""
_NONE = 1e-3
"""Less persistence than this changes no rate."""
_LOWEST, _HIGHEST = 1e-14, 0.5
"""No rate lies beyond these, however large or small the budget."""
_X: Floats = np.linspace(0.0, 8.0, 161, dtype=np.float64)
_DENSITY = 2.0 * np.exp(-(_X**2) / 2.0) / sqrt(2.0 * np.pi) * (_X[1] - _X[0])
_DENSITY[[0, -1]] /= 2.0


def spent(tests: Sequence[Evidence], x: float, overlap: float) -> float:
    """Chance that a quiet window has some p_i <= weight_i x.

    Parameters
    ----------
    tests:
        Those that ran, with their weights.
    x:
        Level of the feature.
    overlap:
        Union over sum of the tests that say the same thing (`overlap`).
    """
    alike = sum(attained(test, x * test.weight) for test in tests if test.name in OVERLAPPING)
    others = sum(attained(test, x * test.weight) for test in tests if test.name not in OVERLAPPING)
    return overlap * alike + others


def attained(test: Evidence, level: float) -> float:
    """P(p <= level) of one test when nothing changed; its own size, at most `level`.

    >>> coin = Evidence(name="zero", statistic=0.5, p=1.0, effect=0.0, n=100, persistence=0.0,
    ...                 shares=(0.5,))
    >>> round(attained(coin, 0.05), 4), attained(coin, 1e-40)
    (0.0352, 1e-40)
    """
    return _attained(_null(test, exact=True), level)


def _attained(null: _Null, level: float) -> float:
    shares = null[1]
    if not shares or level < _SMALLEST:
        return level
    each = level / len(shares)
    _, _, only_more, n, persistence, m = null
    found = sum(
        _size(one, level=each, only_more=only_more, n=n, persistence=persistence, m=m)
        for one in shares
    )
    return min(level, found)


@lru_cache(maxsize=32_768)
def _size(
    share: float, level: float, *, only_more: bool, n: int, persistence: float, m: float
) -> float:
    """Size of one binomial test at a two-sided `level`; its steps are those of the count, under
    all errors."""
    if not 0.0 < share < 1.0 or level / 2.0 < _SMALLEST:
        return level
    spread = sqrt(max(1.0, (1.0 + persistence) / (1.0 + n / m)))

    def tail(count: int) -> float:
        """P(a quiet count lies at least so far out on its side)."""
        return float(special.ndtr(-abs(share_z_beside(count, n, share, m)) / spread))

    middle = n * share
    # where a normal count would be significant, skewness included (Cornish & Fisher)
    far = -float(special.ndtri(level / 2.0)) * spread * sqrt(1.0 + n / m)
    width, skew = sqrt(middle * (1.0 - share)), (1.0 - 2.0 * share) * (far * far - 1.0) / 6.0
    more = _first(tail, floor(middle) + 1, n, middle + far * width + skew, level / 2.0)
    if only_more:
        return more
    return more + _first(tail, ceil(middle) - 1, 0, middle - far * width + skew, level / 2.0)


def _first(tail: Callable[[int], float], near: int, far: int, about: float, most: float) -> float:
    """The tail of the count nearest to the middle whose tail is at most `most`; 0 without one.

    Tails fall from `near`, beside the middle, to `far`; the count lies somewhere `about`.
    """
    step, last = (1, far - near) if far >= near else (-1, near - far)

    def enough(at: int) -> bool:
        return tail(near + at * step) <= most

    # the count lies after `low` and not after `high`, in steps from `near`
    low, high, reach = -1, last, 1
    at = min(max(round((about - near) * step), 0), last)
    while low < at < high:
        if enough(at):
            high, at = at, at - reach
        else:
            low, at = at, at + reach
        reach *= 2
    while high - low > 1:
        at = (low + high) // 2
        low, high = (low, at) if enough(at) else (at, high)
    found = tail(near + high * step)
    return found if found <= most else 0.0


@dataclass(frozen=True, slots=True)
class Spending:
    """The tests of one feature in one window against what one lane allows them."""

    tests: tuple[Evidence, ...]
    overlap: float
    allowed: float
    """Hit rate at which the lane's alarms are its budget."""

    @classmethod
    def of(cls, lane: Lane, tests: Sequence[Evidence], overlap: float) -> Spending:
        """What `lane` allows these tests."""
        return cls(tuple(tests), overlap, _allowed(lane, tuple(_null(test) for test in tests)))

    def p(self, test: Evidence) -> float:
        """The chance that a quiet window looks as bad as this test says; exact near the limit,
        and its upper bound p / weight far from it."""
        x = test.p / test.weight
        if not self.allowed < x <= MAX_SLACK * self.allowed or self._too_far(x):
            return min(1.0, x)
        return spent(self.tests, x, self.overlap)

    def _too_far(self, x: float) -> bool:
        """Whether the tests without steps alone spend more than is allowed."""
        smooth = (
            test.weight * (self.overlap if test.name in OVERLAPPING else 1.0)
            for test in self.tests
            if not test.shares
        )
        return x * sum(smooth) > self.allowed

    def significant(self) -> list[Evidence]:
        """The tests that are significant; what they spend rises with their p / weight, so the
        first miss ends the search."""
        found = set()
        for test in sorted(self.tests, key=lambda test: test.p / test.weight):
            if self.p(test) > self.allowed:
                break
            found.add(test.name)
        return [test for test in self.tests if test.name in found]

    def level(self, test: Evidence) -> float:
        """The test's own p at which it becomes significant, at least."""
        return test.weight * self.allowed


_Null = tuple[float, tuple[float, ...], bool, int, float, float]
"""Of one test: weight, null shares, only more, n, persistence and the rows that shares are known
from; n and persistence rounded unless exact."""


def _null(test: Evidence, *, exact: bool = False) -> _Null:
    m = test.m or inf
    if exact:
        return test.weight, test.shares, test.only_more, test.n, test.persistence, m
    n, persistence = _near(test.n), _rounded(test.persistence)
    return test.weight, test.shares, test.only_more, n, persistence, m


@lru_cache(maxsize=16_384)
def _near(n: int) -> int:
    return round(exp(round(log(max(1, n)) / _SIZE) * _SIZE))


@lru_cache(maxsize=16_384)
def _rounded(persistence: float) -> float:
    if persistence < _NONE:
        return 0.0
    return exp(round(log(persistence) / _STEP) * _STEP)


@lru_cache(maxsize=16_384)
def _allowed(lane: Lane, nulls: tuple[_Null, ...]) -> float:
    """Each test has its part of the rate according to what it can spend."""
    start = lane.limit(0.0)
    parts = [(_attained(null, start * null[0]), null[4]) for null in nulls]
    whole = sum(part for part, _ in parts)
    if whole <= 0.0:
        return start
    rounded = sorted((_PART * round(part / whole / _PART), rho) for part, rho in parts)
    return _rate(lane, tuple(one for one in rounded if one[0] > 0.0))


@lru_cache(maxsize=16_384)
def _rate(lane: Lane, parts: tuple[tuple[float, float], ...]) -> float:
    lasting = [(part, persistence) for part, persistence in parts if persistence]

    def over(log_rate: float) -> float:
        alarms = _alarms(exp(log_rate), lasting, lane)
        return log(max(alarms, 1e-300) / lane.alarms)

    low, high = log(_LOWEST), log(_HIGHEST)
    if over(high) <= 0.0:
        return _HIGHEST
    if over(low) >= 0.0:
        return _LOWEST
    solve: Callable[..., float] = optimize.brentq
    return exp(solve(over, low, high, xtol=1e-4))


def _alarms(rate: float, lasting: Sequence[tuple[float, float]], lane: Lane) -> float:
    """False alarms in the period when a feature's tests hit at `rate` together."""
    quiet = float(block_alarm(np.array([rate]), lane)[0])
    total = quiet
    if lasting:
        parts, persistence = np.array(lasting).T[:, :, None]
        own = parts * rate
        c = -special.ndtri(own / 2.0) * np.sqrt(1.0 + persistence)
        theta = np.sqrt(persistence) * _X
        hits = rate - own + special.ndtr(theta - c) + special.ndtr(-theta - c)
        alarms = block_alarm(np.minimum(1.0, hits), lane) @ _DENSITY
        total += float((alarms - quiet).sum())
    return lane.features * lane.windows / lane.block * total
