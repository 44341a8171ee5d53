"""Seasons: cycles that repeat raise no alarm, and a shift on top of them is found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.contracts.records import ALARMED
from tests.streaming.baseline.test_seasonal import (
    HOUR,
    MONDAY,
    WEEK,
    daily,
    hours,
    judged,
    seasonal_reference,
)

SUNDAY = MONDAY + 2 * WEEK + 6 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonResult:
    """One seeded stream: two weeks of history with a daily swing of 1 sd, then judged windows."""

    seed: int
    windows: int
    """Windows of two more weeks of the same cycle."""
    alarms: int
    """Alarms in these windows."""
    delay: int
    """Windows until +0.5 sd, from some hour of a Sunday, is found; 0 if not within three."""


def season(seed: int) -> SeasonResult:
    """The simulation with one seed."""
    rng = np.random.default_rng(seed)
    reference = seasonal_reference(hours(MONDAY, 2 * 168, rng, daily))
    quiet = judged(hours(MONDAY + 2 * WEEK, 2 * 168, rng, daily), reference)
    begin = SUNDAY + int(rng.integers(0, 21)) * HOUR
    shifted = judged(hours(begin, 3, rng, daily, lambda _: 0.5), reference)
    alarms = [number for number, verdict in enumerate(shifted, 1) if verdict.outcome in ALARMED]
    return SeasonResult(
        seed=seed,
        windows=len(quiet),
        alarms=sum(verdict.outcome in ALARMED for verdict in quiet),
        delay=alarms[0] if alarms else 0,
    )
