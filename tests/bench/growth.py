"""Growth of a series: the slope over its second half and its standard error. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tests.bench.figures import Series

MIN_POINTS = 3
"""Minimum number of points for a slope with an error."""
INTERVAL_SECONDS = 30.0
"""Seconds from one measurement to the next."""
MIN_MINUTES = 2 * MIN_POINTS * INTERVAL_SECONDS / 60
"""Minimum duration of a run with enough points."""
SECONDS_PER_HOUR = 3600.0


def series(name: str, unit: str, at: Sequence[float], values: Sequence[float]) -> Series:
    """The values, measured at these seconds, and their growth.

    Raises
    ------
    ValueError
        When fewer than `MIN_POINTS` values lie in the second half.

    >>> grown = series("a", "MB", [0, 60, 120, 180, 240, 300], [9, 9, 9, 10, 12, 14])
    >>> grown.slope, grown.error
    (120.0, 0.0)
    >>> noisy = series("a", "MB", [0, 60, 120, 180, 240, 300, 360], [0, 0, 0, 1, 2, 1, 2])
    >>> round(noisy.slope, 1), round(noisy.error, 1)
    (12.0, 17.0)
    """
    half = (at[0] + at[-1]) / 2
    late = [(t / SECONDS_PER_HOUR, y) for t, y in zip(at, values, strict=True) if t >= half]
    if len(late) < MIN_POINTS:
        raise ValueError(f"{len(late)} values in the second half, {MIN_POINTS} are needed.")
    hours, ys = zip(*late, strict=True)
    slope, start = statistics.linear_regression(hours, ys)
    residual = sum((y - start - slope * hour) ** 2 for hour, y in late)
    width = sum((hour - statistics.fmean(hours)) ** 2 for hour in hours)
    return Series(
        name=name,
        unit=unit,
        values=tuple(round(value, 4) for value in values),
        slope=round(slope, 6),
        error=round(math.sqrt(residual / (len(late) - 2) / width), 6),
    )
