"""The watermark follows what most events say: wrong clocks make nobody else late."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.windowing.assignment import Windows
from streaming.windowing.event_clock import BLOCK_ROWS, BLOCKS, EventClock
from tests.streaming.windowing.clock_faults import (
    PARTITIONS,
    RATE,
    WINDOWS,
    Fault,
    Reading,
    simulate,
)

SHARES = (0.0001, 0.001, 0.01, 0.05, 0.2)
OFFSETS = (10.0, 60.0, 120.0, 299.0, 3_600.0, 86_400.0)
MORE_LATE = 0.001
"""Share of the healthy events that a fault may make late."""
LONGEST_DELAY = WINDOWS.max_out_of_orderness_ms / 1000 + BLOCKS * BLOCK_ROWS / RATE
"""The watermark is never further behind the arrivals than the time in which its blocks pass."""


def seed_of(*case: object) -> int:
    return zlib.crc32(repr(case).encode())


@pytest.mark.parametrize("reading", ["live", "backlog", "backlog-without-broker-time"])
@pytest.mark.parametrize("partitions", [1, PARTITIONS])
@pytest.mark.parametrize("sign", [1, -1], ids=["fast", "slow"])
def test_wrong_clocks_make_no_healthy_event_late_and_hold_no_window_open(
    sign: int, partitions: int, reading: Reading
) -> None:
    for share, offset in itertools.product(SHARES, OFFSETS):
        fault = Fault(share=share, offset=sign * offset, partitions=partitions)
        outcome, clean = simulate(fault, reading, seed=seed_of(fault, reading))
        assert outcome.healthy_late <= clean.healthy_late + MORE_LATE, fault
        assert outcome.longest_delay <= LONGEST_DELAY, fault


@pytest.mark.parametrize("reading", ["live", "backlog"])
@pytest.mark.parametrize("burst", [30, 300])
@pytest.mark.parametrize("sign", [1, -1], ids=["fast", "slow"])
def test_neither_do_wrong_clocks_that_send_many_events_in_succession(
    sign: int, burst: int, reading: Reading
) -> None:
    """Arrival bounds a watermark that follows them for a while."""
    for share, offset in itertools.product((0.01, 0.2), OFFSETS):
        fault = Fault(share=share, offset=sign * offset, burst=burst)
        outcome, clean = simulate(fault, reading, seed=seed_of(fault, reading))
        assert outcome.healthy_late <= clean.healthy_late + MORE_LATE, fault
        if burst < BLOCKS // 2 * BLOCK_ROWS:
            assert outcome.longest_delay <= 3 * LONGEST_DELAY, fault


@pytest.mark.parametrize("offset", [60.0, 250.0])
def test_where_all_clocks_of_a_partition_are_fast_its_watermark_waits_for_arrival(
    offset: float,
) -> None:
    fault = Fault(share=1.0, offset=offset, partitions=1)
    outcome, clean = simulate(fault, "live", seed=seed_of(fault))
    assert outcome.healthy_late <= clean.healthy_late + MORE_LATE
    assert outcome.longest_delay <= LONGEST_DELAY


def test_without_faults_no_more_events_are_late_than_behind_the_newest_event() -> None:
    """The rule of the newest event is the strictest that a clean stream needs."""
    rng, windows = np.random.default_rng(3), Windows.of(5.0, 2.0)
    for rate in (1.0, 30.0, 3_000.0):
        arrivals = 1e6 + np.sort(rng.uniform(0, 20_000 / rate, 20_000))
        times: NDArray[np.float64] = arrivals - rng.exponential(1.0, len(arrivals))
        late = windows.assign(times, EventClock(), arrivals.__getitem__).late
        newest = np.maximum.accumulate(np.concatenate(([0.0], times[:-1])))
        strict = windows.end_ms(times) <= (newest - 2.0) * 1000 // 10 * 10
        assert not (late & ~strict).any()


def test_a_partition_of_few_events_moves_its_watermark_once_it_has_enough() -> None:
    few = np.full(BLOCK_ROWS * BLOCKS - 1, 100.0, np.float64)
    clock = WINDOWS.assign(few, EventClock(), lambda _: 200.0).clock
    assert clock.watermark_ms == 0
    assert WINDOWS.assign(few[:1], clock, lambda _: 200.0).clock.watermark_ms == 90_000


def test_the_broker_is_asked_for_the_arrival_of_few_rows_only() -> None:
    rows: list[int] = []

    def arrival(positions: NDArray[np.int64]) -> float:
        rows.extend(positions.tolist())
        return 1e6

    WINDOWS.assign(np.arange(5_000, dtype=np.float64), EventClock(), arrival)
    assert len(rows) <= 5_000 / BLOCK_ROWS


def test_a_clock_that_stands_still_is_stuck_until_it_moves_again() -> None:
    rows, now = BLOCK_ROWS * (2 * BLOCKS), 1_000_000.0

    def after(clock: EventClock, time: float, events: int) -> EventClock:
        return WINDOWS.assign(np.full(events, time), clock, lambda _: now).clock

    for standing in (0.0, 500.0, now - 4_000.0):
        stuck = after(EventClock(), standing, rows)
        assert WINDOWS.is_stuck(stuck, now)
        assert not WINDOWS.is_stuck(after(stuck, now - 1.0, BLOCK_ROWS * BLOCKS), now)
    # times of a quarter of an hour stand still for a while, and are right
    assert not WINDOWS.is_stuck(after(EventClock(), now - 900.0, rows), now)
    # an old backlog moves
    moving = WINDOWS.assign(np.arange(rows, dtype=np.float64), EventClock(), lambda _: now).clock
    assert not WINDOWS.is_stuck(moving, now)
