"""Seasons: cycles that repeat raise no alarm, a shift on top of them is found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.contracts.records import ALARMED
from tests.streaming.baseline.test_season import HOUR, MONDAY, WEEK, daily, hours, judged, learnt

SUNDAY = MONDAY + 2 * WEEK + 6 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """One seeded stream: two weeks of history with a daily swing of 1 sd, then judged."""

    seed: int
    windows: int
    alarms: int
    """In two more weeks of the same cycle."""
    delay: int
    """Windows until +0.5 sd, from some hour of a Sunday, is found; 0 when not within three."""


def season(seed: int) -> Season:
    """The study at one seed."""
    rng = np.random.default_rng(seed)
    yardstick = learnt(hours(MONDAY, 2 * 168, rng, daily))
    quiet = judged(hours(MONDAY + 2 * WEEK, 2 * 168, rng, daily), yardstick)
    begin = SUNDAY + int(rng.integers(0, 21)) * HOUR
    moved = judged(hours(begin, 3, rng, daily, lambda _: 0.5), yardstick)
    found = [at for at, one in enumerate(moved, 1) if one.outcome in ALARMED]
    return Season(
        seed=seed,
        windows=len(quiet),
        alarms=sum(one.outcome in ALARMED for one in quiet),
        delay=found[0] if found else 0,
    )
