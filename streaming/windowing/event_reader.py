"""One reading step of one partition: fetches in, partials of windows and letters out.

No Kafka and no Beam in here: the source of the job, the loop in one process and the tests all
read through it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from streaming.contracts.ids import record_id
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DeadLetter
from streaming.windowing.accumulator import Partials, WindowPartial, count
from streaming.windowing.assignment import NEVER_MS, Settled, Windows
from streaming.windowing.decode import Decoded, Decoder

_MAX_DEAD_BYTES = 2048
"""Bytes of a dead letter's payload that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Consecutive records of one partition (compaction may leave gaps)."""

    partition: int
    offsets: Sequence[int]
    values: Sequence[bytes | None]
    arrived: Callable[[int], float]
    """When the record at this place reached the log, seconds since 1970."""


@dataclass(slots=True)
class Step:
    """What a step found so far."""

    watermark_ms: int = NEVER_MS
    windows: dict[int, WindowPartial] = field(default_factory=dict)
    """By window end, milliseconds."""
    dead: list[DeadLetter] = field(default_factory=list)
    late: list[DeadLetter] = field(default_factory=list)
    read: int = 0


@dataclass(frozen=True)
class Reading:
    """Reads the events of one model."""

    contract: ModelContract

    @cached_property
    def windows(self) -> Windows:
        """The contract's windows."""
        return Windows.of(self.contract.window_seconds, self.contract.max_out_of_orderness_seconds)

    @cached_property
    def partials(self) -> Partials:
        """Makes partials."""
        return Partials(self.contract)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.contract)

    def take(self, step: Step, fetch: Fetch, *, now: float) -> None:
        """Add a fetch to the step."""
        decoded = self._decoder.decode(fetch.values, now=now)
        settled = self.windows.settle(decoded.times, step.watermark_ms)
        self.partials.fold(
            step.windows,
            decoded,
            settled,
            partition=fetch.partition,
            offsets=fetch.offsets,
        )
        self._set_aside(step, fetch, decoded, settled, now)
        step.read += len(fetch.values)
        step.watermark_ms = settled.watermark_ms

    def of_closed(self, fetch: Fetch, ends: Collection[int], *, now: float) -> Iterator[DeadLetter]:
        """Letters for the fetch's rows in the windows with these ends (milliseconds), which turned
        out to have closed after the rows had been read; the same that `take` makes of late ones."""
        decoded = self._decoder.decode(fetch.values, now=now)
        closed = np.isin(self.windows.end_ms(decoded.times), list(ends))
        return (self._late(fetch, number) for number in decoded.index[closed].tolist())

    def _set_aside(
        self, step: Step, fetch: Fetch, decoded: Decoded, settled: Settled, now: float
    ) -> None:
        """Letters for what does not count, and their place in the accounts."""
        for number in decoded.index[settled.late].tolist():
            part = self._account(step, fetch, number, decoded.index, settled, now)
            part.late += 1
            step.late.append(self._late(fetch, number))
        for dead in decoded.dead:
            part = self._account(step, fetch, dead.index, decoded.index, settled, now)
            part.dead += 1
            if dead.field:
                count(part.misfits, dead.field, dead.found)
            step.dead.append(
                self._letter(fetch, dead.index, dead.reason, dead.detail, _MAX_DEAD_BYTES)
            )

    def _account(
        self,
        step: Step,
        fetch: Fetch,
        number: int,
        index: NDArray[np.int64],
        settled: Settled,
        now: float,
    ) -> WindowPartial:
        before = int(settled.running[np.searchsorted(index, number)])
        end = self.windows.end_of_arrival(fetch.arrived(number), before, now)
        return self.partials.window(step.windows, end)

    def _late(self, fetch: Fetch, number: int) -> DeadLetter:
        most = self.contract.largest_event_bytes
        return self._letter(fetch, number, "late", "Its window had closed.", most)

    def _letter(
        self, fetch: Fetch, number: int, reason: str, detail: str, max_bytes: int
    ) -> DeadLetter:
        payload = fetch.values[number] or b""
        model, topic = self.contract.model, self.contract.events_topic
        offset = fetch.offsets[number]
        return DeadLetter(
            record_id=record_id("dead-letter", model, topic, fetch.partition, offset),
            model=model,
            at=fetch.arrived(number),
            topic=topic,
            partition=fetch.partition,
            offset=offset,
            reason=reason,
            detail=detail,
            payload=payload[:max_bytes],
            payload_bytes=len(payload),
        )


def fetches(messages: Iterable[Message], *, most: int = 5000) -> Iterator[Fetch]:
    """Messages of any `RecordLog` as fetches, partition by partition as they come."""
    for partition, run in groupby(messages, key=lambda message: message.partition):
        while chunk := list(islice(run, most)):
            yield _fetch(partition, chunk)


def _fetch(partition: int, chunk: list[Message]) -> Fetch:
    return Fetch(
        partition=partition,
        offsets=[message.offset for message in chunk],
        values=[message.value for message in chunk],
        arrived=lambda number: chunk[number].time,
    )
