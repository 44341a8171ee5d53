"""From a budget of false alarms to the limit of one feature in one window.

Two errors matter. Sampling error 1/n is new in every window; the reference's own error 1/m and
the feature's daily wobble stay for many windows, so asking for 3 of 5 windows does not help
against them. With `persistence` rho = n (wobble^2 + 1/m), se = 1, a persistent offset
theta ~ N(0, rho) that lasts for blocks of L windows, and limit c, the expected alarms are::

    F (W / L) E_theta[ 1 - (1 - P) exp(-(L - of) r / (1 - P)) ] = budget

with the hit rate q(theta) = P(|N(theta, 1)| > c), P the chance that `sustained` of `of` windows
hit, and r the rate at which such a state begins. Without persistence and for 3 of 5 this is
6 q^3 W F = budget. The limit is returned as a two-sided p under the total error 1 + rho, so a
test compares its own such p with it, whatever its statistic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import comb, exp, log, sqrt

import numpy as np
from scipy import optimize, special

from streaming.drift.settings import DriftRules
from streaming.grid import Floats

_STEP = 0.02
"""Persistence is rounded down to steps of 2 %, so that limits are computed once."""
_NONE = 1e-4
"""Less persistence than this changes no limit."""
_X = np.linspace(0.0, 9.0, 601)
_DENSITY = 2.0 * np.exp(-(_X**2) / 2.0) / sqrt(2.0 * np.pi) * (_X[1] - _X[0])
_DENSITY[[0, -1]] /= 2.0
_LITTLE = 0.02
"""With less persistence lanes hardly coincide."""
_COARSE = 0.2
_LEAST_NEWS, _HALF_NEWS = 0.2, 0.2
_HIGHEST = 0.5
"""No limit is laxer than this p, however large the budget."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One way to an alarm: `sustained` of `of` windows, on a budget of its own.

    `alarms` are allowed over `windows` windows and `features` features; a persistent offset
    lasts for `block` windows.
    """

    alarms: float
    windows: float
    features: int
    block: float
    sustained: int
    of: int

    def limit(self, persistence: float) -> float:
        """Largest p (two-sided, under the total error) at which a feature hits."""
        if persistence < _NONE:
            return _limit(self, 0.0)
        steps = np.floor(log(persistence) / log(1.0 + _STEP))
        return _limit(self, exp(steps * log(1.0 + _STEP)))


_OF_SHARES = 0.3
"""Part of the slow lane's budget for sums of shares."""


def lanes(
    rules: DriftRules, *, features: int, window_seconds: float
) -> tuple[Lane, Lane, Lane, Lane]:
    """The lanes of sustained hits, of single windows and of slow change, of locations and of
    shares, which divide the budget."""
    windows = max(1.0, rules.period_seconds / window_seconds)
    block = max(1.0, min(windows, rules.wobble_seconds / window_seconds))

    def lane(share: float, sustained: int, of: int) -> Lane:
        alarms = share * rules.false_alarms
        return Lane(alarms, windows, max(1, features), max(block, of), sustained, of)

    rest = 1.0 - rules.single_share - rules.slow_share
    return (
        lane(rest, rules.sustained, rules.of),
        lane(rules.single_share, 1, 1),
        lane((1.0 - _OF_SHARES) * rules.slow_share, 1, 1),
        lane(_OF_SHARES * rules.slow_share, 1, 1),
    )


def sustained_chance(q: Floats, sustained: int, of: int) -> Floats:
    """P(at least `sustained` of `of` windows hit), windows independent."""
    chance: Floats = special.bdtrc(sustained - 1, of, q)
    return chance


def onset_rate(q: Floats, sustained: int, of: int) -> Floats:
    """Rate per window at which "`sustained` of the last `of`" begins: a hit completes it and the
    window that leaves was none. For 3 of 5: 6 q^3 (1-q)^3."""
    ways = comb(of - 1, sustained - 1)
    rate: Floats = ways * q**sustained * (1.0 - q) ** (of - sustained + 1)
    return rate


def block_alarm(q: Floats, lane: Lane) -> Floats:
    """Chance of an alarm within a block in which every window hits with probability `q`."""
    begun = sustained_chance(q, lane.sustained, lane.of)
    quiet = np.maximum(1.0 - begun, 1e-300)
    rate = onset_rate(q, lane.sustained, lane.of) / quiet
    chance: Floats = 1.0 - quiet * np.exp(-(lane.block - lane.of) * rate)
    return chance


def expected_alarms(z_limit: float, persistence: float, lane: Lane) -> float:
    """False alarms in the period at a limit of `z_limit` total standard errors."""
    c = z_limit * sqrt(1.0 + persistence)
    theta = sqrt(persistence) * _X if persistence else np.zeros(1)
    density = _DENSITY if persistence else np.ones(1)
    q = special.ndtr(theta - c) + special.ndtr(-theta - c)
    return float(lane.features * lane.windows / lane.block * (density @ block_alarm(q, lane)))


def growth(sustained: Lane, single: Lane, slow: Lane, persistence: float) -> float:
    """By what the budgets of all lanes may grow because their false alarms coincide.

    A persistent offset that passes one lane passes the others too, so with much of it the lanes
    together raise hardly more alarms than one. Given the offset, the sustained and the single lane
    are taken as independent; the slow lane's alarms are news in a part that was simulated
    (`_news`).

    >>> lane = Lane(0.7, 720.0, 10, 24.0, 3, 5)
    >>> one, slow = Lane(0.2, 720.0, 10, 24.0, 1, 1), Lane(0.1, 720.0, 10, 24.0, 1, 1)
    >>> [round(growth(lane, one, slow, rho), 2) for rho in (0.0, 1.0, 25.0)]
    [1.0, 1.18, 1.39]
    """
    if persistence < _LITTLE:
        return 1.0
    return _growth(sustained, single, slow, exp(round(log(persistence) / _COARSE) * _COARSE))


@lru_cache(maxsize=8192)
def _growth(sustained: Lane, single: Lane, slow: Lane, persistence: float) -> float:
    theta = sqrt(persistence) * _X

    def offset_alarms(lane: Lane, by: float) -> Floats:
        p = _limit(replace(lane, alarms=lane.alarms * by), persistence)
        c = -float(special.ndtri(p / 2.0)) * sqrt(1.0 + persistence)
        return block_alarm(special.ndtr(theta - c) + special.ndtr(-theta - c), lane)

    total = sustained.alarms + single.alarms + slow.alarms

    def over(by: float) -> float:
        quiet = (1.0 - offset_alarms(sustained, by)) * (1.0 - offset_alarms(single, by))
        blocks = sustained.features * sustained.windows / sustained.block
        news = by * slow.alarms * _news(persistence)
        return float(blocks * (_DENSITY @ (1.0 - quiet))) + news - total

    most = total / sustained.alarms
    if over(most) <= 0.0:
        return most
    if over(1.0) >= 0.0:
        return 1.0
    solve: Callable[..., float] = optimize.brentq
    return float(solve(over, 1.0, most, xtol=1e-3))


def _news(persistence: float) -> float:
    """The part of the slow lane's alarms on days on which no other lane alarms.

    Of three lanes on one location 0.6 to 0.9 without persistence, 0.15 at 0.4 and 0.05 at 25;
    about 0.2 more where the others watch other tests as well.
    """
    return _LEAST_NEWS + (1.0 - _LEAST_NEWS) / (1.0 + (persistence / _HALF_NEWS) ** 2)


@lru_cache(maxsize=8192)
def _limit(lane: Lane, persistence: float) -> float:
    def over(z_limit: float) -> float:
        return log(max(expected_alarms(z_limit, persistence, lane), 1e-300) / lane.alarms)

    lowest = -float(special.ndtri(_HIGHEST / 2.0))
    if over(lowest) <= 0.0:
        return _HIGHEST
    solve: Callable[..., float] = optimize.brentq
    return float(2.0 * special.ndtr(-solve(over, lowest, 12.0, xtol=1e-6)))
