"""Rows of a partition that is added late: each counts once, late ones have letters."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.clock import ManualClock
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import DeadLetter, OffsetRange
from streaming.drift import DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.close_windows import ModelSteps
from streaming.job.late_events import letters
from streaming.job.settings import ModelJob
from streaming.windowing.accumulator import WindowPartial
from streaming.windowing.completeness import Arrival, Progress, Stray
from streaming.windowing.event_reader import Step, fetches
from tests.streaming.statistics_data import contract, number

NOW = 1_000.0
CLOSED = 40_000
CONTRACT = contract(number("fare"), key="id", time="at", max_out_of_orderness_seconds=1.0)
STEPS = ModelSteps(ModelJob(contract=CONTRACT, rules=DriftRules()), ArtifactStore(Path("unused")))
READING = STEPS.reading


def event(at: float) -> bytes:
    return b'{"id":"a","at":%.2f,"fare":1.5}' % at


def log_of(values: list[bytes]) -> MemoryLog:
    log = MemoryLog(ManualClock(NOW - 900))
    log.append_raw("e", [(None, value) for value in values])
    return log


class Joining:
    """Partition 0, read step by step as new while windows up to `CLOSED` have closed without it."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.progress = Progress().after(Arrival({}, {1: CLOSED}, 1))
        self.watermark_ms = 0
        self.parts: list[WindowPartial] = []
        self.letters: list[DeadLetter] = []
        self.strays: list[Stray] = []

    def step(self, start: int, stop: int) -> None:
        step = Step(watermark_ms=self.watermark_ms)
        span = OffsetRange(topic="e", partition=0, start=start, stop=stop)
        for fetch in fetches(self.log.read(span)):
            READING.take(step, fetch, now=NOW)
        self.watermark_ms = step.watermark_ms
        self.letters += [*step.dead, *step.late]
        parts = {end: READING.partials.to_bytes(part) for end, part in step.windows.items()}
        arrival = Arrival(parts, {0: step.watermark_ms}, 2)
        settled, stray = STEPS.settled(arrival, self.progress.closed_ms)
        assert min(settled, default=CLOSED + 1) > CLOSED
        self.progress = self.progress.after(arrival)
        self.parts += map(READING.partials.from_bytes, settled.values())
        if stray is not None:
            self.strays.append(stray)
            self.letters += letters(self.log, READING, stray, now=NOW)


@given(
    st.lists(st.one_of(st.floats(0.0, 60.0).map(event), st.just(b"{")), min_size=1, max_size=40),
    st.lists(st.integers(1, 39), max_size=4),
)
def test_every_row_that_is_late_for_the_model_has_a_letter(
    values: list[bytes], cuts: list[int]
) -> None:
    new = Joining(log_of(values))
    borders = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    for start, stop in itertools.pairwise(borders):
        new.step(start, stop)
    whole = READING.partials.merge(new.parts)
    assert whole.accepted + whole.dead + whole.late == len(values)
    by_id = {one.record_id: one for one in new.letters}
    assert all(by_id[one.record_id] == one for one in new.letters)
    assert sum(one.reason == "late" for one in by_id.values()) == whole.late
    assert sum(one.reason != "late" for one in by_id.values()) == whole.dead
    assert all(values[one.offset] == one.payload for one in by_id.values())


def test_a_stray_row_has_the_letter_of_any_late_row() -> None:
    new = Joining(log_of([event(12.0), b"{", event(50.0), event(13.0)]))
    new.step(0, 2)
    new.step(2, 4)
    assert new.strays == [Stray((15_000,), {0: (0, 1)}, 1)]
    late = {one.offset: one for one in new.letters if one.reason == "late"}
    assert sorted(late) == [0, 3]
    assert (late[0].detail, late[0].payload) == (late[3].detail, event(12.0))


def test_rows_that_the_log_no_longer_holds_have_none() -> None:
    gone = Stray((15_000,), {0: (7, 9), 3: (0, 5)}, 7)
    assert not list(letters(log_of([event(12.0)]), READING, gone, now=NOW))
