"""A partition whose next record has a schema that is not there waits, and loses nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from streaming.contracts.errors import UnavailableError
from streaming.contracts.mapping import RecordMapping
from streaming.contracts.registered import RegisteredSchema
from streaming.windowing.event_reader import EventReader
from tests.schema_registry import wire
from tests.streaming.job.stream_in_memory import (
    TWO_PARTITIONS,
    WINDOW,
    StreamInMemory,
    event,
    sends,
)

RATE = 20
CONTRACT = replace(TWO_PARTITIONS, events=RecordMapping(format="json-schema"))


@dataclass
class Source:
    """A registry that has every schema but the missing ones."""

    missing: set[int] = field(default_factory=set)

    def schema(self, schema_id: int) -> RegisteredSchema:
        if schema_id in self.missing:
            raise UnavailableError(f"Schema {schema_id} cannot be had.")
        return RegisteredSchema(schema_id=schema_id, schema_type="JSON", text="{}")


@pytest.fixture(name="source")
def _source() -> Source:
    return Source({2})


@pytest.fixture(name="stream")
def _stream(monkeypatch: pytest.MonkeyPatch, source: Source) -> StreamInMemory:
    stream = StreamInMemory(CONTRACT, monkeypatch)
    stream.reading.readers = {CONTRACT.events_topic: EventReader(CONTRACT, source)}
    return stream


def test_its_windows_wait_and_are_complete_once_the_schema_is_there(
    stream: StreamInMemory, source: Source
) -> None:
    usable = sends(RATE, lambda at: wire(1, event(at)))
    newer = sends(RATE, lambda at: wire(2, event(at)))
    stream.run(WINDOW * 3, usable, usable)
    closed = len(stream.summaries)
    assert closed >= 1
    stream.run(WINDOW * 6, usable, newer)
    assert len(stream.summaries) <= closed + 1
    assert stream.dead_letters == 0
    source.missing.clear()
    stream.run(WINDOW * 3, usable, usable)
    assert len(stream.summaries) >= closed + 6
    totals = stream.totals()
    assert totals["dead"] == totals["late"] == 0
    full = [summary.accepted for summary in stream.summaries[1:-1]]
    assert full == [round(2 * RATE * WINDOW)] * len(full)


def test_records_before_the_missing_schema_are_read_and_refused_ones_let_it_go_on(
    stream: StreamInMemory,
) -> None:
    stream.send(0, wire(1, event(stream.now)))
    stream.send(0, wire(2, event(stream.now)))
    stream.send(0, wire(1, event(stream.now)))
    stream.step()
    assert stream.positions.data is not None
    assert stream.reading.waiting.keys() == {(CONTRACT.events_topic, 0)}
    refusing = replace(CONTRACT, events=replace(CONTRACT.events, refused_schemas=(2,)))
    stream.reading.readers = {CONTRACT.events_topic: EventReader(refusing, Source({2}))}
    stream.now += 2.0
    stream.step()
    assert stream.dead_letters == 1
    assert stream.reading.waiting == {}
