"""Lateness depends on the order of a partition alone, never on how it was fetched."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from streaming.contracts.errors import ConfigurationError
from streaming.windowing.assignment import INITIAL_WATERMARK_MS, Windows

WINDOWS = Windows.of(5.0, 2.0)
# No subnormal numbers: TensorFlow, which other tests load, makes the processor treat them as 0.
times = st.lists(
    st.floats(-10, 100, allow_subnormal=False) | st.floats(-1e300, 1e9, allow_subnormal=False),
    max_size=40,
)


@given(times, st.lists(st.integers(0, 40), max_size=5))
def test_lateness_does_not_depend_on_how_events_are_split_into_fetches(
    moments: list[float], cuts: list[int]
) -> None:
    expected = WINDOWS.assign(np.array(moments), INITIAL_WATERMARK_MS)
    late, watermark, start = [], INITIAL_WATERMARK_MS, 0
    for cut in [*sorted(cut for cut in cuts if cut <= len(moments)), len(moments)]:
        part = WINDOWS.assign(np.array(moments[start:cut]), watermark)
        late += part.late.tolist()
        watermark, start = part.watermark_ms, cut
    assert late == expected.late.tolist()
    assert watermark == expected.watermark_ms


@given(times)
def test_an_event_that_is_not_late_belongs_to_an_open_window(moments: list[float]) -> None:
    assignment = WINDOWS.assign(np.array(moments), INITIAL_WATERMARK_MS)
    for row, moment in enumerate(moments):
        end = int(assignment.ends[row])
        if not assignment.late[row]:
            assert end > assignment.watermarks[row]
            assert end - 5000 <= moment * 1000 < end
    assert (np.diff(assignment.watermarks) >= 0).all()
    assert (assignment.watermarks % 10 == 0).all()


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
