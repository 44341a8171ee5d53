"""The events of many models, read in shards: fetches of thousands of records, summarised where
they are read.

A shard is a key, how far its partitions are (`positions`) is its state, and ticks make its steps
(`ticks`).
New partitions of a topic join while the job runs. Only partials of windows, a few kilobytes each,
leave a step, and dead or late records.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from streaming.contracts.codec import encode
from streaming.contracts.errors import ConfigurationError
from streaming.engines.kafka.shard_reader import ShardReader, belongs, reader
from streaming.job.polling import Asked, Rests
from streaming.job.settings import JobSettings, ModelJob
from streaming.windowing.assignment import NEVER_MS
from streaming.windowing.completeness import Arrival, crossed, packed
from streaming.windowing.event_reader import Fetch, Reading, Step
from streaming.windowing.positions import (
    Place,
    Position,
    Positions,
    Shard,
    read_positions,
    write_positions,
)

_WAIT_SECONDS = 0.02
"""A step waits this long for records at most: it rests between steps, where that costs no
worker."""

DEAD = "dead"
LATE = "late"

_POSITIONS = beam.DoFn.StateParam(ReadModifyWriteStateSpec("positions", BytesCoder()))


@dataclass(slots=True)
class Taken:
    """What one step took."""

    before: Mapping[Place, Position]
    now: dict[Place, Position]
    counts: Mapping[str, int]
    """Partitions of each topic."""
    steps: dict[str, Step] = field(default_factory=dict)
    """By topic; the windows and letters of all its partitions."""
    read: set[Place] = field(default_factory=set)
    more: bool = False
    """Whether the last fetch was full, so that there is more to read at once."""


@beam.typehints.with_input_types(tuple[int, int])
@beam.typehints.with_output_types(tuple[str, bytes])
class ReadEvents(beam.DoFn):  # type: ignore[misc]
    """Shards that are asked to read in; (model, arrival) out, and (model, letter) for dead and late
    events."""

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings

    def setup(self) -> None:
        self.models: dict[str, ModelJob] = {
            one.contract.events_topic: one for one in self.settings.models
        }
        self.reading = {topic: Reading(one.contract) for topic, one in self.models.items()}
        self.idle_since: dict[Place, float] = {}
        self.told: dict[tuple[Shard, str], int] = {}
        self.rests = Rests(self.settings.tick_seconds, self.settings.pause_seconds)

    def process(self, element: Asked, state: Any = _POSITIONS) -> Iterator[Any]:
        """One step of a shard, unless it rests."""
        number, asked_ms = element
        if self.rests.due(number, asked_ms):
            yield from self._read_on(int(number), state)

    # -------------------------------------------------------------------- parts

    def _read_on(self, number: int, state: Any) -> Iterator[Any]:
        positions = self._positions(state.read())
        shard, before = (number, positions.shards), positions.places()
        taken = self._step(shard, before)
        # those of a model that left the job stay where they are, should it come back
        after = Positions.of({**before, **taken.now}, shards=positions.shards)
        if after != positions:
            state.write(write_positions(after))
        yield from self._outputs(shard, taken)
        self.rests.ended(number, round(time.time() * 1000), more=taken.more)

    def _positions(self, kept: bytes | None) -> Positions:
        """Where the shard stands; at first it has read nothing and finds its partitions itself."""
        shards = self.settings.shards
        positions = read_positions(kept) if kept else Positions(shards=shards)
        if positions.shards != shards:
            raise ConfigurationError(
                f"The savepoint's job reads in {positions.shards} shards, the settings say "
                f"{shards}: set stream.shards: {positions.shards}, or submit the job afresh."
            )
        return positions

    def _step(self, shard: Shard, before: Mapping[Place, Position]) -> Taken:
        source = reader(self.settings.bootstrap, (self.settings.name, shard))
        counts = source.partitions(self.models, every=self.settings.discover_seconds)
        begun = {place: position for place, position in before.items() if place[0] in self.models}
        now = {**self._beginnings(shard, counts), **begun}
        taken = Taken(before=before, now=now, counts=counts)
        self._read(source, taken)
        for place in taken.now:
            self._note_idle(source, place, taken)
        return taken

    def _beginnings(self, shard: Shard, counts: Mapping[str, int]) -> dict[Place, Position]:
        """The shard's partitions, each at its start."""
        found = {}
        for topic, model in self.models.items():
            for number in range(counts.get(topic, 0)):
                if belongs((topic, number), shard):
                    known = number < len(model.from_offsets)
                    start = model.from_offsets[number] if known else 0
                    found[topic, number] = Position(start, NEVER_MS)
        return found

    def _read(self, source: ShardReader, taken: Taken) -> None:
        """Fetch after fetch, until there is no more or the step has lasted long enough."""
        most, began = self.settings.fetch_records, time.monotonic()
        while True:
            starts = {place: position.offset for place, position in taken.now.items()}
            runs = source.fetch(starts, most=most, wait_seconds=_WAIT_SECONDS)
            for place, messages in runs:
                self._take(place, messages, taken)
            taken.more = sum(len(messages) for _, messages in runs) >= most
            if not taken.more or time.monotonic() - began > self.settings.busy_seconds:
                return

    def _take(self, place: Place, messages: list[Any], taken: Taken) -> None:
        topic, partition = place
        whole = taken.steps.setdefault(topic, Step())
        step = Step(
            watermark_ms=taken.now[place].watermark_ms,
            windows=whole.windows,
            dead=whole.dead,
            late=whole.late,
        )
        self.reading[topic].take(step, as_fetch(partition, messages), now=time.time())
        taken.now[place] = Position(messages[-1].offset() + 1, step.watermark_ms)
        taken.read.add(place)

    def _note_idle(self, source: ShardReader, place: Place, taken: Taken) -> None:
        """A partition with nothing to read must not hold every window of its model open."""
        if place in taken.read:
            self.idle_since.pop(place, None)
            return
        patience, position = self.settings.idle_seconds, taken.now[place]
        since = self.idle_since.setdefault(place, time.monotonic())
        if time.monotonic() - since < patience:
            return
        if position.watermark_ms == NEVER_MS and not source.used(place[0], every=patience):
            self.idle_since.pop(place)  # an empty topic: its first events may be old ones
            return
        if source.read_up(place, position.offset):
            waited = self.reading[place[0]].windows.idle(time.time(), position.watermark_ms)
            taken.now[place] = Position(position.offset, waited)

    def _outputs(self, shard: Shard, taken: Taken) -> Iterator[Any]:
        for topic, watermarks in self._moved(taken).items():
            model, count = self.models[topic].contract.model, taken.counts.get(topic, 0)
            step = taken.steps.get(topic, Step())
            if not watermarks and not step.windows and self.told.get((shard, topic)) == count:
                continue
            self.told[shard, topic] = count
            partials = self.reading[topic].partials
            parts = {end: partials.to_bytes(part) for end, part in step.windows.items()}
            yield model, packed(Arrival(parts, watermarks, count))
            for letter in step.dead:
                yield beam.pvalue.TaggedOutput(DEAD, (model, encode(letter)))
            for letter in step.late:
                yield beam.pvalue.TaggedOutput(LATE, (model, encode(letter)))

    def _moved(self, taken: Taken) -> dict[str, dict[int, int]]:
        """For each topic the watermarks that the keyed step must hear of: those that passed the end
        of a window, those of new partitions, and with parts those of the partitions read."""
        found: dict[str, dict[int, int]] = {topic: {} for topic, _ in taken.now}
        for place, position in taken.now.items():
            topic, partition = place
            old = taken.before.get(place)
            size = self.reading[topic].windows.size_ms
            if (
                old is None
                or place in taken.read
                or crossed(old.watermark_ms, position.watermark_ms, size)
            ):
                found[topic][partition] = position.watermark_ms
        return found


def as_fetch(partition: int, messages: list[Any]) -> Fetch:
    """Kafka's messages as a fetch."""
    return Fetch(
        partition=partition,
        offsets=[message.offset() for message in messages],
        values=[message.value() for message in messages],
        arrived=lambda number: messages[number].timestamp()[1] / 1000,
    )
