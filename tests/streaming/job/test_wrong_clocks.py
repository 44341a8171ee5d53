"""Producers with wrong clocks cost nobody else a row, and every offset is accounted for."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.streaming.job.stream_in_memory import APPENDED, CREATED, StreamInMemory, sends
from tests.streaming.statistics_data import contract, number

START, WINDOW, RATE = 1_700_000_000.0, 60.0, 20
CONTRACT = contract(
    number("fare", required=True),
    key="id",
    time="at",
    partitions=2,
    window_seconds=WINDOW,
    max_out_of_orderness_seconds=10.0,
)


def stamped(share: float, offset: float, seed: int) -> Callable[[float], bytes]:
    """Makes events of which this share is stamped by a wrong clock; some are unreadable."""
    rng = random.Random(seed)

    def make(at: float) -> bytes:
        if rng.random() < 0.002:
            return b"{"
        wrong = rng.random() < share
        time = at - min(rng.expovariate(0.5), 9.0) + (offset if wrong else 0.0)
        return b'{"id":"%s","at":%.3f,"fare":1.5}' % (b"wrong" if wrong else b"right", time)

    return make


@pytest.mark.parametrize("timestamps", [APPENDED, CREATED], ids=["broker-time", "producer-time"])
@pytest.mark.parametrize(
    ("share", "offset"),
    [
        (0.001, 120.0),
        (0.01, 60.0),
        (0.05, 120.0),
        (0.2, 299.0),
        (0.2, 3_600.0),
        (0.01, -60.0),
        (0.2, -600.0),
        (0.2, -86_400.0),
    ],
)
def test_windows_keep_the_rows_of_right_clocks(
    share: float, offset: float, timestamps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = StreamInMemory(CONTRACT, monkeypatch, now=START, timestamps=timestamps)
    stream.run(480, *(sends(RATE, stamped(share, offset, seed)) for seed in (1, 2)))
    assert stream.now - stream.summaries[-1].window_end < 2 * WINDOW
    settled = [s for s in stream.summaries if START + WINDOW <= s.window_start < START + 420]
    assert len(settled) >= 5
    for summary in settled:
        # those of wrong clocks lie in other windows, at most as many as left this one
        sent = 2 * RATE * WINDOW
        assert 0.9 * (1 - share) * sent < summary.accepted < (1 + 0.5 * share + 0.1) * sent
        assert summary.late <= share * sent * 1.3
    stream.run(60)
    stream.now += 600.0  # windows of fast clocks
    stream.run(30)
    totals = stream.totals()
    assert totals["accepted"] + totals["dead"] + totals["late"] == stream.written
    assert stream.dead_letters == totals["dead"] + totals["late"]
