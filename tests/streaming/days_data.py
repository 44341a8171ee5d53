"""Days of windows with a known between-day standard deviation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa

from streaming.contracts.records import WindowSummary
from tests.streaming.statistics_data import contract, number, text, window

FEATURES = 15
CONTRACT = contract(*(number(f"f{at}") for at in range(FEATURES)), text("word"))
HOUR = 3_600.0


def no_swing(_hour: int) -> float:
    return 0.0


def history(
    days: int,
    between_day_sd: float,
    *,
    hours: int = 4,
    rows: int = 1_500,
    swing: Callable[[int], float] = no_swing,
    hourly_sd: float = 0.0,
) -> list[WindowSummary]:
    """Windows of an hour, `hours` a day.

    Every feature has an offset for each day and one for each hour; `swing` gives the season.
    """
    return list(_history(days, between_day_sd, hours, rows, swing, hourly_sd))


@cache
def _history(
    days: int,
    between_day_sd: float,
    hours: int,
    rows: int,
    swing: Callable[[int], float],
    hourly_sd: float,
) -> tuple[WindowSummary, ...]:
    """The windows are frozen, so every test may have the same ones."""
    rng, windows = np.random.default_rng(5), []
    for day in range(days):
        day_offsets = rng.normal(0.0, between_day_sd, FEATURES)
        for hour in range(hours):
            offsets = day_offsets + rng.normal(0.0, hourly_sd, FEATURES) + swing(hour)
            values = rng.normal(0.0, 1.0, (rows, FEATURES)) + offsets
            columns = [pa.array(column) for column in values.T]
            words = pa.array(rng.choice(["a", "b"], rows))
            names = [spec.name for spec in CONTRACT.features]
            batch = pa.RecordBatch.from_arrays([*columns, words], names)
            start = day * 86_400.0 + hour * HOUR
            windows.append(
                window(
                    day * 24 + hour,
                    batch,
                    CONTRACT,
                    window_start=start,
                    window_end=start + HOUR,
                )
            )
    return tuple(windows)
