"""Lateness depends on a partition's records and their arrival, never on how they were fetched."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from streaming.contracts.errors import ConfigurationError
from streaming.windowing.assignment import Windows
from streaming.windowing.event_clock import INITIAL_WATERMARK_MS, EventClock

WINDOWS = Windows.of(5.0, 2.0)
# No subnormal numbers: TensorFlow, which other tests load, makes the processor treat them as 0.
times = st.floats(-10, 100, allow_subnormal=False) | st.floats(-1e300, 1e9, allow_subnormal=False)
events = st.lists(st.tuples(times, st.floats(0, 200)), max_size=40)
"""Time and arrival of each event."""


def repeated(
    drawn: list[tuple[float, float]], times: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Enough events that windows close: each drawn one `times` times."""
    many = [event for event in drawn for _ in range(times)]
    moments = np.array([time for time, _ in many], np.float64)
    return moments, np.array([arrival for _, arrival in many], np.float64)


@given(events, st.integers(1, 20), st.lists(st.integers(0, 800), max_size=5))
def test_lateness_does_not_depend_on_how_events_are_split_into_fetches(
    drawn: list[tuple[float, float]], times: int, cuts: list[int]
) -> None:
    moments, arrivals = repeated(drawn, times)
    expected = WINDOWS.assign(moments, EventClock(), arrivals.__getitem__)
    late, clock, start = [], EventClock(), 0
    for cut in [*sorted(cut for cut in cuts if cut <= len(moments)), len(moments)]:
        part = WINDOWS.assign(moments[start:cut], clock, arrivals[start:cut].__getitem__)
        late += part.late.tolist()
        clock, start = part.clock, cut
    assert late == expected.late.tolist()
    assert clock == expected.clock


@given(events, st.integers(1, 20))
def test_an_event_that_is_not_late_belongs_to_an_open_window(
    drawn: list[tuple[float, float]], times: int
) -> None:
    moments, arrivals = repeated(drawn, times)
    assignment = WINDOWS.assign(moments, EventClock(), arrivals.__getitem__)
    for row, moment in enumerate(moments):
        end = int(assignment.ends[row])
        if not assignment.late[row]:
            assert end > assignment.watermarks[row]
            assert end - 5000 <= moment * 1000 < end
    assert (np.diff(assignment.watermarks) >= 0).all()
    assert (assignment.watermarks % 10 == 0).all()
    assert len(assignment.watermarks) == len(moments) + 1


@given(events, st.integers(1, 20))
def test_the_watermark_passes_neither_the_latest_event_nor_the_latest_arrival(
    drawn: list[tuple[float, float]], times: int
) -> None:
    moments, arrivals = repeated(drawn, times)
    clock = WINDOWS.assign(moments, EventClock(), arrivals.__getitem__).clock
    latest = min(max(moments, default=0.0), max(arrivals, default=0.0)) * 1000
    assert clock.watermark_ms <= max(INITIAL_WATERMARK_MS, latest - 2000)


@given(st.floats(0, 1e6), st.integers(0, 10**6), st.floats(0, 1e6))
def test_a_rejected_record_is_accounted_for_in_an_open_window(
    timestamp: float, watermark: int, now: float
) -> None:
    assert WINDOWS.accounting_window(timestamp, watermark, now) > watermark


def test_the_watermark_of_an_idle_partition_follows_the_clock_and_never_decreases() -> None:
    assert WINDOWS.idle_watermark(100.0, INITIAL_WATERMARK_MS) == 98_000
    assert WINDOWS.idle_watermark(100.0, 99_000) == 99_000


@pytest.mark.parametrize(
    ("size", "max_out_of_orderness"), [(0, 1), (-1, 1), (0.005, 1), (1, -1), (1.0001, 0)]
)
def test_impossible_windows_are_refused(size: float, max_out_of_orderness: float) -> None:
    with pytest.raises(ConfigurationError):
        Windows.of(size, max_out_of_orderness)
