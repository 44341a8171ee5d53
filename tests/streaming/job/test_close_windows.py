"""The keyed step with its state in memory: the order of what it reads changes no verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import apache_beam as beam
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.contracts.codec import decode_as, encode
from streaming.contracts.records import DriftVerdict, Promotion, SchemaVersion, WindowSummary
from streaming.drift import DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.close_windows import SUMMARIES, CloseAndJudge
from streaming.job.control_input import ControlProgress, ControlRecord, encode_control
from streaming.job.read_records import KeepRecords, control_partitions
from streaming.job.settings import JobSettings, ModelJob
from streaming.windowing.completeness import ShardUpdate, encode_update
from streaming.windowing.event_reader import EventReader, Fetch, ReadResult
from tests.promotions import first_promotion
from tests.streaming import statistics_data

START, WINDOW, WINDOWS, ROWS = 1_700_000_000.0, 10.0, 7, 150
CONTRACT = statistics_data.contract(
    statistics_data.number("fare", required=True),
    key="id",
    time="at",
    window_seconds=WINDOW,
    max_out_of_orderness_seconds=0.0,
)


@dataclass(slots=True)
class Cell:
    """A state cell of any kind."""

    entries: list[bytes] = field(default_factory=list)

    def read(self) -> bytes | None:
        return self.entries[0] if self.entries else None

    def write(self, data: bytes) -> None:
        self.entries = [data]


@dataclass(slots=True)
class Bag:
    """A bag of state entries."""

    entries: list[bytes] = field(default_factory=list)

    def read(self) -> Iterable[bytes]:
        return list(self.entries)

    def add(self, entry: bytes) -> None:
        self.entries.append(entry)

    def clear(self) -> None:
        self.entries.clear()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def closed(store: ArtifactStore, inputs: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The verdicts and the summaries that come of these inputs."""
    step = CloseAndJudge(
        JobSettings(
            models=(ModelJob(contract=CONTRACT, rules=DriftRules()),),
            bootstrap="",
            artifact_root=str(store.root),
            shards=1,
        )
    )
    step.setup()
    cells = (Bag(), *(Cell() for _ in range(5)))
    verdicts, summaries = [], []
    for data in inputs:
        for output in step.process((CONTRACT.model, data), *cells):
            if isinstance(output, beam.pvalue.TaggedOutput):
                summaries += [output.value[1]] if output.tag == SUMMARIES else []
            else:
                verdicts.append(output[1])
    return verdicts, summaries


def updates() -> list[bytes]:
    """One update for each window, and one that closes the last of them."""
    reader = EventReader(CONTRACT)
    encoded, offset, clock = [], 0, ReadResult().clock
    for number in range(WINDOWS + 1):
        times = [START + WINDOW * (number + index / ROWS) for index in range(ROWS)]
        values = [b'{"id":"a","at":%.3f,"fare":%.1f}' % (at, at % 7) for at in times]
        offsets = list(range(offset, offset + len(values)))
        result = ReadResult(clock=clock)
        fetch = Fetch(
            partition=0,
            offsets=offsets,
            values=values,
            timestamp=times.__getitem__,
            broker_time=True,
        )
        reader.add(result, fetch, now=times[-1])
        offset, clock = offset + len(values), result.clock
        windows = {end: reader.combiner.to_bytes(part) for end, part in result.windows.items()}
        encoded.append(encode_update(ShardUpdate(windows, {0: clock.watermark_ms}, 1)))
    return encoded


def appended(record: Promotion | SchemaVersion, at: float) -> bytes:
    return encode_control(ControlRecord(round(at * 1000), encode(record)))


def read_until(at: float) -> list[bytes]:
    return [
        encode_control(ControlProgress(name, round(at * 1000))) for name in control_partitions()
    ]


@pytest.fixture(scope="module")
def expected(store: ArtifactStore, control: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Verdicts and summaries of a job that reads promotions at once."""
    return closed(store, [*control, *updates()])


@pytest.fixture(scope="module")
def control(store: ArtifactStore) -> list[bytes]:
    """Two promotions; the second was decided four windows before the broker appended it."""
    _, summaries = closed(store, [*read_until(START + 1_000), *updates()])
    windows = [decode_as(data, WindowSummary) for data in summaries[:3]]
    first = first_promotion(store, windows, record_id="first", at=START)
    second = msgspec.structs.replace(first, record_id="second", version=2, at=START + WINDOW)
    messages = [appended(first, START), *read_until(START + 0.5 * WINDOW)]
    messages += read_until(START + 3.5 * WINDOW)
    messages += [appended(second, START + 5 * WINDOW), *read_until(START + 5.5 * WINDOW)]
    return [*messages, *read_until(START + 1_000)]


def promotions_of(verdicts: Sequence[bytes]) -> list[str]:
    """Id of the promotion that each verdict names among its causes."""
    causes = [decode_as(data, DriftVerdict).caused_by for data in verdicts]
    return [next(name for name in names if name in ("first", "second")) for names in causes]


def test_a_promotion_holds_from_when_the_broker_had_it(
    expected: tuple[list[bytes], list[bytes]],
) -> None:
    verdicts, _ = expected
    runs = [(promotion, len(list(run))) for promotion, run in groupby(promotions_of(verdicts))]
    assert runs == [("first", 5), ("second", WINDOWS - 5)]


def test_windows_stay_open_until_the_control_topics_are_read(
    store: ArtifactStore, control: list[bytes], expected: tuple[list[bytes], list[bytes]]
) -> None:
    assert closed(store, updates()) == ([], [])
    assert len(closed(store, [*updates(), *read_until(START + 2 * WINDOW)])[0]) == 3
    assert closed(store, [*updates(), *control]) == expected


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events_first=st.lists(st.booleans(), min_size=40, max_size=40))
def test_the_order_of_reading_changes_no_byte(
    store: ArtifactStore,
    control: list[bytes],
    expected: tuple[list[bytes], list[bytes]],
    events_first: list[bool],
) -> None:
    """A job that goes on from a checkpoint meets events and promotions in another order."""
    waiting, messages, inputs = updates(), list(control), []
    for choice in events_first:
        source = waiting if (choice and waiting) or not messages else messages
        inputs += [source.pop(0)] if source else []
    inputs += messages + waiting
    assert closed(store, inputs) == expected


def test_a_model_hears_of_the_progress_four_times_in_a_window() -> None:
    keep = KeepRecords(Promotion, {"short": 4.0, "long": 400.0})
    heard = [
        model
        for second in range(100, 200)
        for model, _ in keep.process(encode_control(ControlProgress("promotions/0", second * 1000)))
    ]
    assert heard.count("short") == 100
    assert heard.count("long") == 1


def test_a_record_of_another_model_and_a_damaged_one_are_left_out(
    control: list[bytes],
) -> None:
    assert list(KeepRecords(Promotion, {"other": 5.0}).process(control[0])) == []
    damaged = encode_control(ControlRecord(0, b'{"kind":"promotion"'))
    assert list(KeepRecords(Promotion, {CONTRACT.model: 5.0}).process(damaged)) == []
    assert len(list(KeepRecords(Promotion, {CONTRACT.model: 5.0}).process(control[0]))) == 1
