"""Reads the events of many models in shards: fetches of thousands of records, summarised where they
are read.

A shard is a Beam key. Its state is how far its partitions have been read (`positions`), and
triggers start its steps (`polling`). Partitions that are added to a topic join while the job runs.
A step emits only accumulators of windows, a few kilobytes each, and dead or late records.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import structlog
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from streaming.contracts.codec import encode
from streaming.contracts.errors import ConfigurationError
from streaming.engines.kafka.shard_reader import ShardReader, belongs, shared_reader
from streaming.engines.registry import schema_source
from streaming.job.polling import PollSchedule, ReadTrigger
from streaming.job.settings import JobSettings, ModelJob
from streaming.windowing.completeness import ShardUpdate, encode_update, passed_window_end
from streaming.windowing.event_clock import INITIAL_WATERMARK_MS
from streaming.windowing.event_reader import EventReader, Fetch, ReadResult
from streaming.windowing.idleness import IdlePartitions, caught_up
from streaming.windowing.positions import (
    Position,
    Positions,
    Shard,
    TopicPartition,
    read_positions,
    write_positions,
)

_WAIT_SECONDS = 0.02
"""A step waits for records at most this long. Waiting between steps occupies no worker."""
_SCHEMA_SECONDS = 1.0
"""A partition whose next record has a schema that the registry does not give waits this long."""
_BROKER_SECONDS = 1.0
"""Idle partitions are believed to be so for this long after an answer of the broker."""

log = structlog.get_logger(__name__)

DEAD = "dead"
LATE = "late"

_POSITIONS = beam.DoFn.StateParam(ReadModifyWriteStateSpec("positions", BytesCoder()))


@dataclass(slots=True)
class ShardStep:
    """Progress and results of one step of a shard."""

    before: Mapping[TopicPartition, Position]
    positions: dict[TopicPartition, Position]
    """Positions so far; changed by the step."""
    counts: Mapping[str, int]
    """Number of partitions of each topic."""
    results: dict[str, ReadResult] = field(default_factory=dict)
    """Topic -> windows and dead letters of all its partitions."""
    read: set[TopicPartition] = field(default_factory=set)
    """Partitions that brought records."""
    usable: set[TopicPartition] = field(default_factory=set)
    """Partitions that brought events which tell their time."""
    more: bool = False
    """Whether the last fetch was full, so that there is more to read."""


@beam.typehints.with_input_types(tuple[int, int])
@beam.typehints.with_output_types(tuple[str, bytes])
class ReadEvents(beam.DoFn):  # type: ignore[misc]
    """Triggers for shards in; (model, update) out, and (model, dead letter) for dead and late
    events."""

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings

    def setup(self) -> None:
        self.models: dict[str, ModelJob] = {
            model.contract.events_topic: model for model in self.settings.models
        }
        self.readers = {
            topic: EventReader(model.contract, schema_source(self.settings.registry))
            for topic, model in self.models.items()
        }
        self.idle = IdlePartitions(self.settings.idle_timeout_seconds)
        self.waiting: dict[TopicPartition, float] = {}
        """Partition → until when it waits for a schema."""
        self.reported_counts: dict[tuple[Shard, str], int] = {}
        self.schedule = PollSchedule(
            self.settings.poll_interval_seconds, self.settings.poll_pause_seconds
        )

    def process(self, element: ReadTrigger, state: Any = _POSITIONS) -> Iterator[Any]:
        """One step of a shard, if one is due."""
        number, triggered_ms = element
        if self.schedule.due(number, triggered_ms):
            yield from self._run_step(int(number), state)

    # -------------------------------------------------------------------- steps

    def _run_step(self, number: int, state: Any) -> Iterator[Any]:
        positions = restored_positions(state.read(), self.settings.shards)
        shard, before = (number, positions.shards), positions.by_partition()
        step = self._read_shard(shard, before)
        # positions of a model that has left the job are kept, in case it joins again
        after = Positions.of({**before, **step.positions}, shards=positions.shards)
        if after != positions:
            state.write(write_positions(after))
        yield from self._outputs(shard, step)
        self.schedule.step_ended(number, round(time.time() * 1000), more=step.more)

    def _read_shard(self, shard: Shard, before: Mapping[TopicPartition, Position]) -> ShardStep:
        source = shared_reader(self.settings.bootstrap, (self.settings.name, shard))
        counts = source.partitions(self.models, every=self.settings.discovery_seconds)
        begun = {
            partition: position
            for partition, position in before.items()
            if partition[0] in self.models
        }
        positions = {**self._first_positions(shard, counts), **begun}
        step = ShardStep(before=before, positions=positions, counts=counts)
        self._read(source, step)
        for partition in step.positions:
            self._update_idle(source, partition, step)
        return step

    def _first_positions(
        self, shard: Shard, counts: Mapping[str, int]
    ) -> dict[TopicPartition, Position]:
        """The shard's partitions, each at its first offset."""
        positions = {}
        for topic, model in self.models.items():
            for number in range(counts.get(topic, 0)):
                if belongs((topic, number), shard):
                    configured = number < len(model.from_offsets)
                    start = model.from_offsets[number] if configured else 0
                    positions[topic, number] = Position(start)
        return positions

    def _read(self, source: ShardReader, step: ShardStep) -> None:
        """Read fetch after fetch, until there is no more or the step has lasted long enough."""
        max_records, began = self.settings.fetch_records, time.monotonic()
        while True:
            starts = {
                partition: position.offset
                for partition, position in step.positions.items()
                if not self._waits(partition)
            }
            runs = source.fetch(starts, max_records=max_records, wait_seconds=_WAIT_SECONDS)
            for partition, messages in runs:
                self._add(partition, messages, step)
            step.more = sum(len(messages) for _, messages in runs) >= max_records
            if not step.more or time.monotonic() - began > self.settings.max_step_seconds:
                return

    def _add(self, partition: TopicPartition, messages: list[Any], step: ShardStep) -> None:
        topic, number = partition
        messages = self._readable(partition, messages)
        if not messages:
            return
        of_topic = step.results.setdefault(topic, ReadResult())
        # the clock is the partition's own, the windows and dead letters are the topic's
        result = ReadResult(
            clock=step.positions[partition].clock,
            windows=of_topic.windows,
            dead=of_topic.dead,
            late=of_topic.late,
        )
        reader, now = self.readers[topic], time.time()
        reader.add(result, to_fetch(number, messages), now=now)
        step.positions[partition] = Position(messages[-1].offset() + 1, result.clock)
        step.read.add(partition)
        if result.usable and not reader.windows.is_stuck(result.clock, now):
            step.usable.add(partition)

    def _waits(self, partition: TopicPartition) -> bool:
        return time.monotonic() < self.waiting.get(partition, 0.0)

    def _readable(self, partition: TopicPartition, messages: list[Any]) -> list[Any]:
        """The first messages whose schemas are known; the partition waits for the next one's."""
        values = [message.value() for message in messages]
        count, cause = self.readers[partition[0]].resolvable(values)
        if count == len(messages):
            self.waiting.pop(partition, None)
            return messages
        topic, number = partition
        log.warning(
            "events.schema_unavailable",
            topic=topic,
            partition=number,
            offset=messages[count].offset(),
            cause=cause,
        )
        self.waiting[partition] = time.monotonic() + _SCHEMA_SECONDS
        return messages[:count]

    def _update_idle(self, source: ShardReader, partition: TopicPartition, step: ShardStep) -> None:
        """Advance the watermark of an idle partition, so that it does not hold windows open."""
        if partition in self.waiting:
            self.idle.restart(partition)  # its records have yet to be read
            return
        usable = partition in step.usable
        if not self.idle.is_idle(partition, usable=usable, now=time.monotonic()):
            return
        if not source.broker_answers(partition, every=_BROKER_SECONDS):
            self.idle.restart_all()  # what was written meanwhile is fetched once it is back
            return
        position, timeout = step.positions[partition], self.settings.idle_timeout_seconds
        never_read = position.clock.watermark_ms == INITIAL_WATERMARK_MS
        if never_read and not source.was_written(partition[0], every=timeout):
            self.idle.restart(partition)  # an empty topic: its first events may be old ones
            return
        near_end = caught_up(
            position.offset,
            source.end_offset(partition),
            brought_records=partition in step.read,
            max_records=self.settings.fetch_records,
        )
        if near_end or source.at_end(partition, position.offset):
            windows, clock = self.readers[partition[0]].windows, position.clock
            watermark = windows.idle_watermark(time.time(), clock.watermark_ms)
            step.positions[partition] = Position(position.offset, clock.at_least(watermark))

    # ------------------------------------------------------------------ outputs

    def _outputs(self, shard: Shard, step: ShardStep) -> Iterator[Any]:
        for topic, watermarks in self._advanced(step).items():
            model, count = self.models[topic].contract.model, step.counts.get(topic, 0)
            result = step.results.get(topic, ReadResult())
            count_known = self.reported_counts.get((shard, topic)) == count
            if not watermarks and not result.windows and count_known:
                continue
            self.reported_counts[shard, topic] = count
            combiner = self.readers[topic].combiner
            encoded = {end: combiner.to_bytes(window) for end, window in result.windows.items()}
            yield model, encode_update(ShardUpdate(encoded, watermarks, count))
            for record in result.dead:
                yield beam.pvalue.TaggedOutput(DEAD, (model, encode(record)))
            for record in result.late:
                yield beam.pvalue.TaggedOutput(LATE, (model, encode(record)))

    def _advanced(self, step: ShardStep) -> dict[str, dict[int, int]]:
        """For each topic the watermarks that the keyed step needs.

        These are watermarks that passed the end of a window, those of new partitions, and those of
        partitions that brought records.
        """
        watermarks: dict[str, dict[int, int]] = {topic: {} for topic, _ in step.positions}
        for partition, position in step.positions.items():
            topic, number = partition
            old = step.before.get(partition)
            size = self.readers[topic].windows.size_ms
            if (
                old is None
                or partition in step.read
                or passed_window_end(old.clock.watermark_ms, position.clock.watermark_ms, size)
            ):
                watermarks[topic][number] = position.clock.watermark_ms
        return watermarks


def restored_positions(state: bytes | None, shards: int) -> Positions:
    """The positions in a shard's state; none at first, and then the shard finds its partitions.

    Raises
    ------
    ConfigurationError
        When the state is of a job with another number of shards.
    """
    positions = read_positions(state) if state else Positions(shards=shards)
    if positions.shards != shards:
        raise ConfigurationError(
            f"The savepoint's job reads in {positions.shards} shards, but the settings have "
            f"{shards}: set stream.shards: {positions.shards}, or submit the job afresh."
        )
    return positions


def to_fetch(partition: int, messages: list[Any]) -> Fetch:
    """Kafka's messages as a fetch."""
    return Fetch(
        partition=partition,
        offsets=[message.offset() for message in messages],
        values=[message.value() for message in messages],
        timestamp=lambda index: messages[index].timestamp()[1] / 1000,
        key=lambda index: messages[index].key(),
        headers=lambda index: tuple(messages[index].headers() or ()),
        broker_time=messages[0].timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME,
    )
