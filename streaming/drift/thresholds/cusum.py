"""The slow lane: sums of effects, for ramps and small steps that no window shows.

Page's cumulative sum (1954) in effect space: with d the location effect of a window in standard
deviations and kappa the drift that is tolerated,

    up = max(0, up + d - kappa), down = max(0, down - d - kappa), alarm when one exceeds h.

In effect space more rows make the sum surer, never more sensitive to what is too small to matter;
on raw z the same wobble of 0.02 sd gives thousands of alarms a month. kappa is half the suspected
floor, or more where the persistent error alone would pass it too often, and at least half a
standard error: ramps of 0.002 sd a window are found soonest then. A second sum with 1.75 standard
errors finds what takes two or three windows (a CUSUM is best for a step of twice its kappa:
Moustakides 1986; several at once: Lorden 1971); it runs only where its kappa is the larger one.
Missing values have a sum of their own (`slow_shares`). h is the smallest value with

    F (W / L) E_theta[ 1 - exp(-L (1 / ARL(kappa - theta) + 1 / ARL(kappa + theta))) ] = budget

over blocks of L windows with one persistent offset theta; the average run length is that of a
Markov chain on 30 states (Brook & Evans 1972), exact enough where Siegmund's formula is not
(drifts above one standard error). The error of a reference does not change from block to block as a
day's wobble does: what passes kappa then is beyond the limit in every block, sooner or later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt

import msgspec
import numpy as np
from scipy import optimize, special

from streaming.drift.thresholds.alarm_rules import Lane
from streaming.grid import Floats

_STATES = 30
_STEP = 0.02
"""Ratios are rounded to steps of 2 %, to the safe side, so that limits are solved once."""
_X: Floats = np.linspace(0.0, 6.0, 31, dtype=np.float64)
_DENSITY: Floats = np.exp(-(_X**2) / 2.0)
_DENSITY[0] /= 2.0
_DENSITY /= _DENSITY.sum()
"""Of an offset's size: either way gives the same alarms."""
_APART = np.arange(_STATES) - np.arange(_STATES)[:, None] + _STATES - 1
"""For each state (rows) how far every other is, from 0: the place among all distances."""
_SMALLEST, _LARGEST = 1e-2, 1e4
"""No limit lies beyond these, in sampling errors."""
_NONE = 0.03
"""A persistent error below this part of the sampling error changes no limit."""
_RAMPS, _STEPS = 0.5, 1.75
"""Least kappa of the two sums, in standard errors. Smaller ones find no ramp sooner (simulated:
0.002 sd a window at 200 rows 40 windows with 0.4 to 0.5, 43 with 0.75, 42 with 0.3)."""
REST = 4.0
"""A sum is cut at its limit and so many kappa: the lane calms down soon after the change has."""


class Sums(msgspec.Struct, frozen=True, array_like=True):
    """The cumulative sums of one feature after a window, and what they were before it.

    Both, so that a window judged again replaces itself.
    """

    window_start: float
    up: float = 0.0
    down: float = 0.0
    windows: float = 0.0
    """Since the larger sum left zero; once it is cut, the newest ones that it stands for."""
    up_before: float = 0.0
    down_before: float = 0.0
    windows_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Slow:
    """What the slow lane says of one feature now."""

    sums: Sums
    limit: float
    kappa: float
    test: str = "location"
    """Whose effects are added."""
    in_sd: Callable[[float], float] | None = None
    """A mean of what is added as an effect in standard deviations, if it is none yet."""

    @property
    def reached(self) -> float:
        """The larger sum over its limit."""
        return max(self.sums.up, self.sums.down) / self.limit

    @property
    def beyond(self) -> bool:
        """Whether a sum exceeds its limit."""
        return self.reached > 1.0

    @property
    def effect(self) -> float:
        """Mean effect in the windows of the sum, signed; 0 when there are none."""
        if not self.sums.windows:
            return 0.0
        return self._signed(self.kappa + max(self.sums.up, self.sums.down) / self.sums.windows)

    @property
    def limit_of_effect(self) -> float:
        """The mean effect that would have reached the limit in as many windows; not signed."""
        return abs(self._signed(self.kappa + self.limit / max(1, self.sums.windows)))

    def _signed(self, mean: float) -> float:
        signed = mean if self.sums.up >= self.sums.down else -mean
        return self.in_sd(signed) if self.in_sd else signed


def slow_lane(
    past: Sequence[Sums],
    *,
    effect: float,
    n: int,
    persistence: float,
    daily: float,
    window_start: float,
    oldest: float,
    lanes: Sequence[Lane],
    floor: float,
    least: float,
) -> tuple[Slow, ...]:
    """Add a window to the sums.

    Parameters
    ----------
    past:
        From the window before, one for each lane; a missing one begins at zero.
    effect, n, persistence:
        Of the location test in this window.
    daily:
        The part of the persistence that is another every day; the rest stays.
    oldest:
        Sums from before this time no longer count.
    lanes:
        Shares of the budget: of the sum for ramps, and of the quicker one if it runs.
    floor:
        The suspected effect, in standard deviations.
    least:
        The limit is at least this: with many rows the budget would let a single window through,
        and the lane is for what takes longer.
    """
    lasting, error = sqrt(persistence / n), 1.0 / sqrt(n)
    # what reaches the floor is the other lanes' business; it must not linger here
    effect = max(-floor, min(floor, effect)) if floor else effect
    stays, found = persistence > 2.0 * daily, []
    for at, (lane, step) in enumerate(zip(lanes, (_RAMPS, _STEPS), strict=False)):
        kappa = max(step * error, tolerated(lanes[0], lasting, floor))
        limit = max(least, threshold(lane, error, lasting, kappa, stays=stays))
        sums = added(
            past[at] if at < len(past) else None,
            (effect - kappa, -effect - kappa),
            most=limit + REST * kappa,
            window_start=window_start,
            oldest=oldest,
        )
        found.append(Slow(sums, limit, kappa))
    return tuple(found)


def added(
    past: Sums | None,
    steps: tuple[float, float],
    *,
    most: float,
    window_start: float,
    oldest: float,
) -> Sums:
    """The sums after a window that adds these `steps`, upwards and downwards."""
    if past is not None and window_start < past.window_start:
        return past
    up, down, windows = 0.0, 0.0, 0.0
    if past is not None and past.window_start >= oldest:
        again = past.window_start == window_start
        up = past.up_before if again else past.up
        down = past.down_before if again else past.down
        windows = past.windows_before if again else past.windows
    more, less = max(0.0, up + steps[0]), max(0.0, down + steps[1])
    larger = max(more, less)
    # what is cut leaves with as many windows, so that their mean stays
    counted = (windows + 1.0) * min(1.0, most / larger) if larger > 0.0 else 0.0
    return Sums(window_start, min(most, more), min(most, less), counted, up, down, windows)


def has_two_speeds(lane: Lane, n: int, persistence: float, floor: float) -> bool:
    """Whether a quicker sum would differ from the one for ramps: nothing that persists, and no
    floor, lies above its kappa.

    >>> lane = Lane(0.2, 720.0, 20, 24.0, 1, 1)
    >>> has_two_speeds(lane, 1_000, 0.005, 0.0), has_two_speeds(lane, 1_000, 0.5, 0.0)
    (True, False)
    >>> has_two_speeds(lane, 1_000, 0.005, floor=0.25)
    False
    """
    return _STEPS / sqrt(n) > tolerated(lane, sqrt(persistence / n), floor)


def tolerated(lane: Lane, lasting: float, floor: float) -> float:
    """Half the floor, or what a persistent error of `lasting` sd exceeds on half the budget."""
    blocks = lane.features * lane.windows / lane.block
    rare = min(0.5, 0.25 * lane.alarms / blocks)
    return max(floor / 2.0, -float(special.ndtri(rare)) * lasting)


def threshold(
    lane: Lane, error: float, lasting: float, kappa: float, *, stays: bool = False
) -> float:
    """The limit h, in standard deviations, for a sampling error and a persistent one of such sd,
    which changes from block to block or `stays`.

    Everything scales with the sampling error, so it is solved for an error of one.
    """
    ratio = _stepped(lasting / error, np.ceil) if lasting > _NONE * error else 0.0
    return error * _threshold(lane, ratio, _stepped(kappa / error, np.floor), stays=stays)


def _stepped(value: float, towards: Callable[[float], float]) -> float:
    steps = log(value) / _STEP
    nearest = round(steps)
    return exp((nearest if abs(steps - nearest) < 1e-6 else towards(steps)) * _STEP)


@lru_cache(maxsize=16_384)
def _threshold(lane: Lane, lasting: float, kappa: float, *, stays: bool) -> float:
    """In sampling errors."""
    offsets = lasting * _X if lasting else np.zeros(1)
    density = _DENSITY if lasting else np.ones(1)
    drifts = np.concatenate((kappa - offsets, kappa + offsets))
    always = (offsets > kappa) & stays

    def over(log_limit: float) -> float:
        h = exp(log_limit)
        rate = (1.0 / run_length(h, drifts, 1.0)).reshape(2, -1).sum(axis=0)
        block = float(density @ np.maximum(always, -np.expm1(-lane.block * rate)))
        return log(max(lane.features * lane.windows / lane.block * block, 1e-300) / lane.alarms)

    low, high = log(_SMALLEST), log(_LARGEST)
    if over(low) <= 0.0:
        return _SMALLEST
    if over(high) >= 0.0:
        return _LARGEST
    solve: Callable[..., float] = optimize.brentq
    return exp(solve(over, low, high, xtol=1e-3))


def run_length(h: float, drifts: Floats, error: float) -> Floats:
    """Average number of windows until a one-sided sum that loses `drifts` a window, with noise of
    sd `error`, exceeds `h`.

    >>> bool(900 < run_length(5.0, np.array([0.5]), 1.0)[0] < 950)  # 930 (Brook & Evans)
    True
    """
    width = h / (_STATES - 0.5)
    # to a state so far away: the noise lands in the bin around it, or anywhere below the lowest
    ends = (np.arange(1 - _STATES, _STATES) + 0.5) * width
    below = special.ndtr((ends + drifts[:, None]) / error)
    moves = np.diff(below, axis=1, prepend=0.0)[:, _APART]
    moves[:, :, 0] = below[:, _APART[:, 0]]
    # a chain that is never left has no length; this gives it a very long one
    left = np.eye(_STATES) * (1.0 + 1e-14) - moves
    lengths = np.linalg.solve(left, np.ones((len(drifts), _STATES, 1)))[:, 0, 0]
    length: Floats = np.where(lengths > 0.0, lengths, 1e15).clip(1.0, 1e15)
    return length
