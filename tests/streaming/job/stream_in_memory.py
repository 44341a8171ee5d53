"""The stream job's reading and window closing on a manual clock, without Beam, Flink and Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pytest

from streaming.contracts.model import ModelContract
from streaming.contracts.records import WindowSummary
from streaming.drift import DriftRules
from streaming.engines.kafka.shard_reader import Runs
from streaming.job import read_events
from streaming.job.read_events import ReadEvents
from streaming.job.settings import JobSettings, ModelJob
from streaming.windowing.completeness import (
    ShardUpdate,
    WindowProgress,
    complete_windows,
    decode_update,
    state_entry,
)
from streaming.windowing.event_reader import EventReader
from streaming.windowing.open_windows import split_late
from streaming.windowing.positions import TopicPartition
from tests.streaming import statistics_data

STEP_SECONDS = 0.5
CREATED, APPENDED = 1, 2
"""Kafka's kinds of timestamps: the producer's and the broker's."""
START, WINDOW = 1_700_000_000.0, 10.0
TWO_PARTITIONS = statistics_data.contract(
    statistics_data.number("fare", required=True),
    key="id",
    time="at",
    partitions=2,
    window_seconds=WINDOW,
    max_out_of_orderness_seconds=1.0,
)
"""A model whose events come on two partitions."""


def event(at: float) -> bytes:
    """An event of that model."""
    return b'{"id":"a","at":%.3f,"fare":1.5}' % at


@dataclass(frozen=True, slots=True)
class Message:
    """A message as Kafka's consumer gives it."""

    _offset: int
    _value: bytes | None
    _timestamp: tuple[int, int]

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return self._timestamp

    def key(self) -> bytes | None:
        return None

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return None


@dataclass(slots=True)
class Topic:
    """The partitions of one topic, as a `ShardReader` offers them."""

    name: str
    logs: list[list[Message]]
    answers: bool = True
    """Whether its broker does."""

    def broker_answers(self, partition: TopicPartition, *, every: float) -> bool:
        return self.answers

    def partitions(self, topics: object, *, every: float) -> Mapping[str, int]:
        return {self.name: len(self.logs)}

    def fetch(
        self, starts: Mapping[TopicPartition, int], *, max_records: int, wait_seconds: float
    ) -> Runs:
        runs: Runs = []
        if not self.answers:
            return runs
        for (name, number), start in starts.items():
            if messages := self.logs[number][start : start + max_records]:
                runs.append(((name, number), messages))
                max_records -= len(messages)
        return runs

    def end_offset(self, partition: TopicPartition) -> int:
        return len(self.logs[partition[1]])

    def at_end(self, partition: TopicPartition, offset: int) -> bool:
        return offset == self.end_offset(partition)

    def was_written(self, topic: str, *, every: float) -> bool:
        return any(self.logs)


@dataclass(slots=True)
class Cell:
    """A state cell."""

    data: bytes | None = None

    def read(self) -> bytes | None:
        return self.data

    def write(self, data: bytes) -> None:
        self.data = data


@dataclass
class StreamInMemory:
    """One model's events, read in one shard."""

    contract: ModelContract
    patch: pytest.MonkeyPatch
    now: float = 1_700_000_000.0
    timestamps: int = APPENDED
    summaries: list[WindowSummary] = field(default_factory=list)
    dead_letters: int = 0
    fetch_records: int = 5_000
    max_step: float = 0.5
    """A negative number ends a step after one fetch."""

    def __post_init__(self) -> None:
        self.patch.setattr(read_events, "time", self)
        logs: list[list[Message]] = [[] for _ in range(self.contract.partitions)]
        self.topic = Topic(self.contract.events_topic, logs)
        self.patch.setattr(read_events, "shared_reader", lambda *_: self.topic)
        job = ModelJob(contract=self.contract, rules=DriftRules())
        self.reading = ReadEvents(
            JobSettings(
                models=(job,),
                bootstrap="",
                artifact_root="",
                shards=1,
                fetch_records=self.fetch_records,
                max_step_seconds=self.max_step,
            )
        )
        self.reading.setup()
        self.reader = EventReader(self.contract)
        self.positions, self.progress = Cell(), WindowProgress()
        self.entries: list[bytes] = []

    # the module `time` as the reader sees it
    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def send(self, partition: int, value: bytes | None) -> None:
        """Write a record, stamped by the broker or by a producer with the right time."""
        log = self.topic.logs[partition]
        log.append(Message(len(log), value, (self.timestamps, round(self.now * 1000))))

    def run(self, seconds: float, *producers: Callable[[float], Iterator[bytes | None]]) -> None:
        """Let each partition's producer send what it yields at each step, and read."""
        for _ in range(round(seconds / STEP_SECONDS)):
            self.now += STEP_SECONDS
            for partition, produce in enumerate(producers):
                for value in produce(self.now):
                    self.send(partition, value)
            self.step()

    def step(self) -> None:
        """Read what there is, and close the windows that are complete."""
        for output in self.reading._run_step(0, self.positions):
            if isinstance(output, beam.pvalue.TaggedOutput):
                self.dead_letters += 1
                continue
            update = decode_update(output[1])
            assert update is not None
            self._update(update)

    def _update(self, update: ShardUpdate) -> None:
        accumulators, _ = split_late(self.reader, update, self.progress.closed_ms)
        self.entries += [state_entry(end, data) for end, data in accumulators.items()]
        self.progress = self.progress.after(update)
        closed, self.entries = complete_windows(self.entries, self.progress.closed_ms)
        combiner = self.reader.combiner
        for end, encoded in closed:
            merged = combiner.merge(map(combiner.from_bytes, encoded))
            self.summaries.append(combiner.extract(merged, end, statistics=None, anomalies=()))

    def totals(self) -> dict[str, int]:
        """Accepted, dead and late records of the closed windows."""
        totals: dict[str, int] = defaultdict(int)
        for summary in self.summaries:
            totals["accepted"] += summary.accepted
            totals["dead"] += summary.dead_letters
            totals["late"] += summary.late
        return totals

    @property
    def written(self) -> int:
        """Number of records of all partitions."""
        return sum(map(len, self.topic.logs))


def sends(rate: float, make: Callable[[float], bytes | None]) -> Any:
    """A producer of `rate` records per second, each made of its time."""

    def produce(now: float) -> Iterator[bytes | None]:
        number = round(rate * STEP_SECONDS)
        return (make(now - (number - at) / rate) for at in range(number))

    return produce
