"""Reads the events of one model: fetches in, window accumulators and dead letters out.

The Beam source, the local job and the tests all read through `EventReader`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from streaming.contracts.dead_letters import MAX_UNUSABLE_BYTES, dead_letter
from streaming.contracts.events import Reason
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.raw_record import Headers, KafkaRecord
from streaming.contracts.records import DeadLetter
from streaming.contracts.registered import SchemaSource
from streaming.contracts.wire_format import resolvable
from streaming.windowing.accumulator import WindowAccumulator, WindowCombiner, count_rejected
from streaming.windowing.assignment import Assignment, Windows
from streaming.windowing.decode import Decoded, Decoder
from streaming.windowing.event_clock import EventClock

_OF_A_VALUE = frozenset({Reason.WRONG_TYPE.value, Reason.MISSING_FIELD.value, Reason.NO_TIME.value})
"""Reasons that concern what a field of the contract holds. The others concern a producer's clock,
or a record that is no JSON, whose field may have any name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Consecutive records of one partition (compaction may leave gaps)."""

    partition: int
    offsets: Sequence[int]
    values: Sequence[bytes | None]
    timestamp: Callable[[int], float]
    """Kafka's timestamp of the record at a position of the fetch, seconds since 1970."""
    key: Callable[[int], bytes | None] = lambda index: None
    """Kafka's key of the record at a position."""
    headers: Callable[[int], Headers] = lambda index: ()
    """The headers of the record at a position."""
    broker_time: bool = False
    """Whether these timestamps are those of the broker (``LogAppendTime``). Those of producers tell
    nothing about when a record arrived."""

    def record(self, index: int) -> KafkaRecord:
        """The whole record at a position of the fetch."""
        return KafkaRecord(
            value=self.values[index],
            key=self.key(index),
            headers=self.headers(index),
            time=self.timestamp(index),
        )

    def arrivals(self, index: NDArray[np.int64], now: float) -> NDArray[np.float64] | float:
        """When the records at these positions arrived: by the broker, or `now` as it is fetched."""
        if not self.broker_time:
            return now
        return np.minimum([self.timestamp(at) for at in index.tolist()], now)


@dataclass(slots=True)
class ReadResult:
    """What a reading step has read so far."""

    clock: EventClock = field(default_factory=EventClock)
    """The partition's clock."""
    windows: dict[int, WindowAccumulator] = field(default_factory=dict)
    """Window end (milliseconds) -> accumulator."""
    dead: list[DeadLetter] = field(default_factory=list)
    late: list[DeadLetter] = field(default_factory=list)
    read: int = 0
    """Number of records."""
    usable: int = 0
    """Number of records with usable content, late ones included."""


@dataclass(frozen=True)
class EventReader:
    """Decodes the events of one model and assigns them to windows."""

    contract: ModelContract
    schemas: SchemaSource | None = None
    """The schemas of the registry, for formats that need them."""

    @cached_property
    def windows(self) -> Windows:
        """The contract's windows."""
        return Windows.of(self.contract.window_seconds, self.contract.max_out_of_orderness_seconds)

    @cached_property
    def combiner(self) -> WindowCombiner:
        """Combines the accumulators of the model."""
        return WindowCombiner(self.contract)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.contract, schemas=self.schemas)

    def resolvable(self, values: Sequence[bytes | None]) -> tuple[int, str]:
        """How many of the first records can be read now, and why the next one has to wait."""
        contract = self.contract
        return resolvable(values, contract.events, self.schemas, contract.largest_event_bytes)

    def add(self, result: ReadResult, fetch: Fetch, *, now: float) -> None:
        """Add a fetch to the result.

        Raises
        ------
        TemporaryError
            When a schema cannot be had from the registry now; the result is as it was.
        """
        decoded = self._decoder.decode(fetch.values, now=now, record_at=fetch.record)
        assignment = self.windows.assign(
            decoded.times,
            result.clock,
            lambda rows: fetch.arrivals(decoded.index[rows], now),
        )
        self.combiner.add(
            result.windows,
            decoded,
            assignment,
            partition=fetch.partition,
            offsets=fetch.offsets,
        )
        self._record_rejected(result, fetch, decoded=decoded, assignment=assignment, now=now)
        result.read += len(fetch.values)
        result.usable += len(decoded.times)
        result.clock = assignment.clock

    def late_in(
        self, fetch: Fetch, window_ends_ms: Collection[int], *, now: float
    ) -> Iterator[DeadLetter]:
        """Dead letters for the fetch's rows in windows that had closed after the rows were read.

        They equal the dead letters that `add` creates for late rows.
        """
        decoded = self._decoder.decode(fetch.values, now=now, record_at=fetch.record)
        closed = np.isin(self.windows.end_ms(decoded.times), list(window_ends_ms))
        return (self._late_letter(fetch, index) for index in decoded.index[closed].tolist())

    def _record_rejected(
        self,
        result: ReadResult,
        fetch: Fetch,
        *,
        decoded: Decoded,
        assignment: Assignment,
        now: float,
    ) -> None:
        """Count late and dead records in their accounting windows, and create dead letters."""

        def accounting(index: int) -> WindowAccumulator:
            watermark = int(assignment.watermarks[np.searchsorted(decoded.index, index)])
            end = self.windows.accounting_window(fetch.timestamp(index), watermark, now)
            return self.combiner.window(result.windows, end)

        for index in decoded.index[assignment.late].tolist():
            accounting(index).late += 1
            result.late.append(self._late_letter(fetch, index))
        for dead in decoded.dead:
            accumulator = accounting(dead.index)
            accumulator.dead += 1
            if dead.reason in _OF_A_VALUE:
                count_rejected(accumulator.rejected_fields, dead.field, dead.value_kind)
            letter = self._letter(
                fetch, dead.index, reason=dead.reason, detail=dead.detail, field=dead.field
            )
            result.dead.append(letter)

    def _late_letter(self, fetch: Fetch, index: int) -> DeadLetter:
        return self._letter(
            fetch,
            index,
            reason="late",
            detail="Its window had closed.",
            field=self.contract.time,
            max_bytes=self.contract.largest_event_bytes,
        )

    def _letter(
        self,
        fetch: Fetch,
        index: int,
        *,
        reason: str,
        detail: str,
        field: str,
        max_bytes: int = MAX_UNUSABLE_BYTES,
    ) -> DeadLetter:
        return dead_letter(
            self.contract,
            (self.contract.events_topic, fetch.partition, fetch.offsets[index]),
            fetch.record(index),
            at=fetch.timestamp(index),
            reason=reason,
            detail=detail,
            field=field,
            max_bytes=max_bytes,
        )


def fetches(messages: Iterable[Message], *, max_records: int = 5000) -> Iterator[Fetch]:
    """Messages of any `RecordLog` as fetches, partition by partition as they come."""
    for partition, run in groupby(messages, key=lambda message: message.partition):
        while chunk := list(islice(run, max_records)):
            yield _fetch(partition, chunk)


def _fetch(partition: int, chunk: list[Message]) -> Fetch:
    return Fetch(
        partition=partition,
        offsets=[message.offset for message in chunk],
        values=[message.value for message in chunk],
        timestamp=lambda index: chunk[index].time,
        key=lambda index: chunk[index].key,
        headers=lambda index: chunk[index].headers,
    )
