"""Lateness follows a partition's order alone, never the way it was fetched."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from streaming.contracts.errors import ConfigurationError
from streaming.windowing.assignment import NEVER_MS, Windows

WINDOWS = Windows.of(5.0, 2.0)
# Without subnormal numbers: TensorFlow, loaded by other tests, lets the processor take them for 0.
times = st.lists(
    st.floats(-10, 100, allow_subnormal=False) | st.floats(-1e300, 1e9, allow_subnormal=False),
    max_size=40,
)


@given(times, st.lists(st.integers(0, 40), max_size=5))
def test_any_cut_into_fetches_decides_the_same(moments: list[float], cuts: list[int]) -> None:
    whole = WINDOWS.settle(np.array(moments), NEVER_MS)
    late, watermark, at = [], NEVER_MS, 0
    for cut in [*sorted(cut for cut in cuts if cut <= len(moments)), len(moments)]:
        part = WINDOWS.settle(np.array(moments[at:cut]), watermark)
        late += part.late.tolist()
        watermark, at = part.watermark_ms, cut
    assert late == whole.late.tolist()
    assert watermark == whole.watermark_ms


@given(times)
def test_nothing_counted_lies_in_a_closed_window(moments: list[float]) -> None:
    settled = WINDOWS.settle(np.array(moments), NEVER_MS)
    for row, moment in enumerate(moments):
        end = int(settled.ends[row])
        if not settled.late[row]:
            assert end > settled.running[row]
            assert end - 5000 <= moment * 1000 < end
    assert (np.diff(settled.running) >= 0).all()
    assert (settled.running % 10 == 0).all()


@given(st.floats(0, 1e6), st.integers(0, 10**6), st.floats(0, 1e6))
def test_what_cannot_be_counted_is_accounted_for_in_an_open_window(
    arrived: float, watermark: int, now: float
) -> None:
    assert WINDOWS.end_of_arrival(arrived, watermark, now) > watermark


def test_an_idle_partition_follows_the_clock_and_never_goes_back() -> None:
    assert WINDOWS.idle(100.0, NEVER_MS) == 98_000
    assert WINDOWS.idle(100.0, 99_000) == 99_000


@pytest.mark.parametrize(("size", "disorder"), [(0, 1), (-1, 1), (0.005, 1), (1, -1), (1.0001, 0)])
def test_impossible_windows_refuse_to_start(size: float, disorder: float) -> None:
    with pytest.raises(ConfigurationError):
        Windows.of(size, disorder)
