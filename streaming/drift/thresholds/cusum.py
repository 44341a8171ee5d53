"""CUSUM of a feature's location effects: finds ramps and small steps that no window shows.

Page's cumulative sums (1954) run on effects. With the location effect d of a window, in standard
deviations, and the allowance k (Hawkins & Olwell 1998),

    up = max(0, up + d - k), down = max(0, down - d - k), alarm when one exceeds h.

On effects, more rows make the sum more precise but never more sensitive to changes that are too
small to matter. On raw z, a between-day standard deviation of 0.02 sd gives thousands of alarms a
month. The allowance is half the suspected floor, or more where the persistent error alone would
exceed it too often. It is at least half a standard error: ramps of 0.002 sd a window are then found
soonest. A second CUSUM with an allowance of 1.75 standard errors finds what takes two or three
windows (a CUSUM is best for a step of twice its allowance: Moustakides 1986; several at once:
Lorden 1971). It runs only where this allowance is the largest. Missing values have a CUSUM of their
own (`cusum_missing`). The decision interval h is the smallest value with

    F (W / L) E_theta[ 1 - exp(-L (1 / ARL(k - theta) + 1 / ARL(k + theta))) ] = budget

over blocks of L windows with one persistent offset theta. The average run length (ARL) is that of a
Markov chain with 30 states (Brook & Evans 1972), which is accurate enough where Siegmund's formula
is not (drifts above one standard error). The error of a reference does not change from block to
block as a daily offset does: an offset above k then exceeds h in every block, sooner or later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt

import msgspec
import numpy as np
from scipy import special

from streaming.drift.statistics.scalars import ndtri
from streaming.drift.thresholds.alarm_rules import AlarmRule
from streaming.drift.thresholds.offsets import OffsetGrid, offset_average, solve_for_budget
from streaming.grid import Floats

_CHAIN_STATES = 30
_RATIO_STEP = 0.02
"""Ratios are rounded to steps of 2 %, to the safe side, so that few limits are solved."""
_GRID = OffsetGrid.normalised(limit=6.0, count=31)
_DISTANCES = np.arange(_CHAIN_STATES) - np.arange(_CHAIN_STATES)[:, None] + _CHAIN_STATES - 1
"""For each state (rows) the distance to every other state, as an index into all distances."""
_SMALLEST_INTERVAL, _LARGEST_INTERVAL = 1e-2, 1e4
"""Bounds of the decision interval, in sampling errors."""
_NEGLIGIBLE_RATIO = 0.03
"""A persistent error below this part of the sampling error changes no limit."""
_RAMP_ALLOWANCE, _STEP_ALLOWANCE = 0.5, 1.75
"""Smallest allowances of the two CUSUMs, in standard errors. A smaller one finds no ramp sooner:
for 0.002 sd a window at 200 rows, simulations gave 40 windows with 0.4 to 0.5, 43 with 0.75 and 42
with 0.3."""
CUSUM_CAP = 4.0
"""A sum is capped at its limit plus this many allowances, so that the alarm ends soon after the
change has ended."""


class CusumState(msgspec.Struct, frozen=True, array_like=True):
    """The cumulative sums of one feature after a window, and their values before it.

    With both, a window that is judged again replaces its own contribution.
    """

    window_start: float
    up: float = 0.0
    down: float = 0.0
    windows: float = 0.0
    """Windows since the larger sum left zero; once the sum is capped, the number of newest windows
    that it stands for."""
    up_before: float = 0.0
    down_before: float = 0.0
    windows_before: float = 0.0


@dataclass(frozen=True, slots=True)
class CusumReading:
    """The CUSUM of one feature after a window, with its limit."""

    state: CusumState
    limit: float
    """The decision interval h."""
    allowance: float
    test: str = "location"
    """Name of the test whose effects are summed."""
    to_effect: Callable[[float], float] | None = None
    """Converts a mean of the summed quantity into an effect in standard deviations; None where it
    is one already."""

    @property
    def relative_sum(self) -> float:
        """The larger sum divided by the limit."""
        return max(self.state.up, self.state.down) / self.limit

    @property
    def exceeded(self) -> bool:
        """Whether a sum exceeds the limit."""
        return self.relative_sum > 1.0

    @property
    def effect(self) -> float:
        """Mean effect in the windows of the sum, signed; 0 without windows."""
        if not self.state.windows:
            return 0.0
        largest = max(self.state.up, self.state.down)
        return self._signed_effect(self.allowance + largest / self.state.windows)

    @property
    def critical_effect(self) -> float:
        """The mean effect that would have reached the limit in as many windows; not signed."""
        return abs(self._signed_effect(self.allowance + self.limit / max(1, self.state.windows)))

    def _signed_effect(self, mean: float) -> float:
        signed = mean if self.state.up >= self.state.down else -mean
        return self.to_effect(signed) if self.to_effect else signed


def update_cusum(
    previous: Sequence[CusumState],
    *,
    effect: float,
    n: int,
    variance_ratio: float,
    between_day_ratio: float,
    window_start: float,
    oldest: float,
    rules: Sequence[AlarmRule],
    floor: float,
    min_limit: float,
) -> tuple[CusumReading, ...]:
    """Add a window to the location CUSUMs.

    Parameters
    ----------
    previous:
        States after the window before, one for each rule; a missing one starts at zero.
    effect, n, variance_ratio:
        Results of the location test in this window.
    between_day_ratio:
        The part of the variance ratio that changes every day; the remaining part is permanent.
    oldest:
        States from before this time are ignored.
    rules:
        Budgets: of the CUSUM for ramps, and of the one for steps if it runs.
    floor:
        The suspected effect, in standard deviations.
    min_limit:
        Lower bound of the limit. With many rows the budget would let a single window exceed it,
        but the CUSUM is for changes that take longer.
    """
    persistent_sd, error = sqrt(variance_ratio / n), 1.0 / sqrt(n)
    # larger effects belong to the other rules and must not linger in the sums
    effect = max(-floor, min(floor, effect)) if floor else effect
    permanent, readings = variance_ratio > 2.0 * between_day_ratio, []
    min_allowances = (_RAMP_ALLOWANCE, _STEP_ALLOWANCE)
    for at, (rule, errors) in enumerate(zip(rules, min_allowances, strict=False)):
        allowance = max(errors * error, min_allowance(rules[0], persistent_sd, floor))
        interval = decision_interval(rule, error, persistent_sd, allowance, permanent=permanent)
        limit = max(min_limit, interval)
        state = accumulate(
            previous[at] if at < len(previous) else None,
            (effect - allowance, -effect - allowance),
            cap=limit + CUSUM_CAP * allowance,
            window_start=window_start,
            oldest=oldest,
        )
        readings.append(CusumReading(state, limit, allowance))
    return tuple(readings)


def accumulate(
    previous: CusumState | None,
    increments: tuple[float, float],
    *,
    cap: float,
    window_start: float,
    oldest: float,
) -> CusumState:
    """The state after a window with these increments of the upward and the downward sum."""
    if previous is not None and window_start < previous.window_start:
        return previous
    up, down, windows = 0.0, 0.0, 0.0
    if previous is not None and previous.window_start >= oldest:
        repeated = previous.window_start == window_start
        up = previous.up_before if repeated else previous.up
        down = previous.down_before if repeated else previous.down
        windows = previous.windows_before if repeated else previous.windows
    next_up, next_down = max(0.0, up + increments[0]), max(0.0, down + increments[1])
    larger = max(next_up, next_down)
    # a cap removes windows in proportion, so that the mean of the sum stays
    counted = (windows + 1.0) * min(1.0, cap / larger) if larger > 0.0 else 0.0
    return CusumState(
        window_start, min(cap, next_up), min(cap, next_down), counted, up, down, windows
    )


def has_second_cusum(rule: AlarmRule, n: int, variance_ratio: float, floor: float) -> bool:
    """Whether the CUSUM for steps differs from the one for ramps.

    It does where neither the persistent error nor the floor demands a larger allowance.

    >>> rule = AlarmRule(alarms=0.2, windows=720.0, features=20, block=24.0, sustained=1, of=1)
    >>> has_second_cusum(rule, 1_000, 0.005, 0.0), has_second_cusum(rule, 1_000, 0.5, 0.0)
    (True, False)
    >>> has_second_cusum(rule, 1_000, 0.005, floor=0.25)
    False
    """
    return _STEP_ALLOWANCE / sqrt(n) > min_allowance(rule, sqrt(variance_ratio / n), floor)


def min_allowance(rule: AlarmRule, persistent_sd: float, floor: float) -> float:
    """Half the floor, or the persistent offset that is exceeded on half the budget."""
    blocks = rule.features * rule.windows / rule.block
    tail = min(0.5, 0.25 * rule.alarms / blocks)
    return max(floor / 2.0, -ndtri(tail) * persistent_sd)


def decision_interval(
    rule: AlarmRule,
    error: float,
    persistent_sd: float,
    allowance: float,
    *,
    permanent: bool = False,
) -> float:
    """The limit h of a CUSUM, in standard deviations.

    Everything scales with the sampling error, so the equation is solved for an error of 1.

    Parameters
    ----------
    error, persistent_sd:
        Standard deviations of the sampling error and of the persistent offset.
    permanent:
        Whether the offset never changes, instead of from block to block.
    """
    ratio = 0.0
    if persistent_sd > _NEGLIGIBLE_RATIO * error:
        ratio = _round_ratio(persistent_sd / error, np.ceil)
    scaled = _round_ratio(allowance / error, np.floor)
    return error * _decision_interval(rule, ratio, scaled, permanent=permanent)


def _round_ratio(ratio: float, rounding: Callable[[float], float]) -> float:
    steps = log(ratio) / _RATIO_STEP
    nearest = round(steps)
    return exp((nearest if abs(steps - nearest) < 1e-6 else rounding(steps)) * _RATIO_STEP)


@lru_cache(maxsize=16_384)
def _decision_interval(
    rule: AlarmRule, persistent_sd: float, allowance: float, *, permanent: bool
) -> float:
    """The limit h in sampling errors."""

    def alarms(h: float) -> float:
        def block_alarm_probability(offsets: Floats) -> Floats:
            drifts = np.concatenate((allowance - offsets, allowance + offsets))
            rate = (1.0 / average_run_length(h, drifts, 1.0)).reshape(2, -1).sum(axis=0)
            certain = (offsets > allowance) & permanent
            probability: Floats = np.maximum(certain, -np.expm1(-rule.block * rate))
            return probability

        average = float(offset_average(block_alarm_probability, persistent_sd, _GRID))
        return rule.features * rule.windows / rule.block * average

    return solve_for_budget(
        alarms,
        rule.alarms,
        low=_SMALLEST_INTERVAL,
        high=_LARGEST_INTERVAL,
        xtol=1e-3,
        log_scale=True,
    )


def average_run_length(h: float, drifts: Floats, error: float) -> Floats:
    """Average number of windows until a one-sided CUSUM exceeds `h`.

    Parameters
    ----------
    drifts:
        Amounts that the sum loses in a window; the result has one run length for each.
    error:
        Standard deviation of the noise in a window.

    Examples
    --------
    >>> bool(900 < average_run_length(5.0, np.array([0.5]), 1.0)[0] < 950)  # 930 (Brook & Evans)
    True
    """
    width = h / (_CHAIN_STATES - 0.5)
    # upper ends of the bins around each distance; everything below the lowest bin belongs to it
    ends = (np.arange(1 - _CHAIN_STATES, _CHAIN_STATES) + 0.5) * width
    below = special.ndtr((ends + drifts[:, None]) / error)
    moves = np.diff(below, axis=1, prepend=0.0)[:, _DISTANCES]
    moves[:, :, 0] = below[:, _DISTANCES[:, 0]]
    # a chain that is never left has no run length; this gives it a very long one
    generator = np.eye(_CHAIN_STATES) * (1.0 + 1e-14) - moves
    lengths = np.linalg.solve(generator, np.ones((len(drifts), _CHAIN_STATES, 1)))[:, 0, 0]
    length: Floats = np.where(lengths > 0.0, lengths, 1e15).clip(1.0, 1e15)
    return length
