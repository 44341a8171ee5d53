"""Averages over a persistent normal offset, and the solver that meets a false-alarm budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from scipy import optimize

from streaming.grid import Floats

_NO_ALARMS = 1e-300
"""Fewer expected alarms count as this many, so that their logarithm exists."""


@dataclass(frozen=True, slots=True, eq=False)
class OffsetGrid:
    """Quadrature points and weights for the absolute value of a standard normal offset.

    Both signs of an offset give the same number of alarms, so one half of the normal curve is
    enough.
    """

    points: Floats
    weights: Floats

    @classmethod
    def trapezoid(cls, *, limit: float, count: int) -> OffsetGrid:
        """The trapezoidal rule with `count` points from 0 to `limit`."""
        points = np.linspace(0.0, limit, count, dtype=np.float64)
        weights = 2.0 * np.exp(-(points**2) / 2.0) / sqrt(2.0 * np.pi) * (points[1] - points[0])
        weights[[0, -1]] /= 2.0
        return cls(points, weights)

    @classmethod
    def normalised(cls, *, limit: float, count: int) -> OffsetGrid:
        """Few points from 0 to `limit`, with weights that add up to 1."""
        points = np.linspace(0.0, limit, count, dtype=np.float64)
        weights = np.exp(-(points**2) / 2.0)
        weights[0] /= 2.0
        weights /= weights.sum()
        return cls(points, weights)


def offset_average(f: Callable[[Floats], Floats], sd: float | Floats, grid: OffsetGrid) -> Floats:
    """E[f(theta)] for theta ~ N(0, sd^2) and an even function f.

    Parameters
    ----------
    f:
        Values at offsets; the last axis of both is that of the grid's points.
    sd:
        Standard deviation of the offset. An array with a last axis of length 1 gives an average
        for each of its elements.

    Examples
    --------
    >>> grid = OffsetGrid.trapezoid(limit=9.0, count=601)
    >>> round(float(offset_average(lambda theta: theta**2, 0.5, grid)), 6)
    0.25
    """
    if isinstance(sd, float) and sd == 0.0:
        average: Floats = f(np.zeros(1))[0]
        return average
    average = f(sd * grid.points) @ grid.weights
    return average


def solve_for_budget(
    expected_alarms: Callable[[float], float],
    budget: float,
    *,
    low: float,
    high: float,
    xtol: float,
    log_scale: bool = False,
) -> float:
    """The x in [low, high] at which the expected alarms are the budget.

    `expected_alarms` is monotone. Where it does not reach the budget in the interval, the result is
    the end that comes nearest. With `log_scale` the search runs over log(x), and `xtol` refers to
    it.

    >>> round(solve_for_budget(lambda x: x * x, 9.0, low=1.0, high=10.0, xtol=1e-9), 6)
    3.0
    >>> solve_for_budget(lambda x: x * x, 900.0, low=1.0, high=10.0, xtol=1e-9)
    10.0
    """

    def excess(position: float) -> float:
        alarms = expected_alarms(exp(position) if log_scale else position)
        return log(max(alarms, _NO_ALARMS) / budget)

    start, end = (log(low), log(high)) if log_scale else (low, high)
    at_start, at_end = excess(start), excess(end)
    if at_start * at_end >= 0.0:
        return low if abs(at_start) <= abs(at_end) else high
    solve: Callable[..., float] = optimize.brentq
    root = float(solve(excess, start, end, xtol=xtol))
    return exp(root) if log_scale else root
