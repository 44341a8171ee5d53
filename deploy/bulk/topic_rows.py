"""Rows of the events in a range of a topic, read as the stream job reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from deploy.bulk.rows import Chunk, Column
from streaming.contracts.errors import DecodeError, NotFoundError
from streaming.contracts.events import Event, decode_event
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import OffsetRange
from streaming.contracts.registered import SchemaSource


class TopicRows:
    """The events of offset ranges, in chunks; partition after partition.

    Parameters
    ----------
    log:
        Where the events are.
    contract:
        How they are read.
    spans:
        The offsets.
    rows:
        Events in a chunk.
    now:
        Time of the first run, by which an event's own time is judged.

    Raises
    ------
    NotFoundError
        When the ranges have no event.
    """

    def __init__(
        self,
        log: RecordLog,
        contract: ModelContract,
        spans: Sequence[OffsetRange],
        rows: int,
        *,
        now: float,
        schemas: SchemaSource | None = None,
    ) -> None:
        self._log, self._contract, self._rows, self._now = log, contract, rows, now
        self.spans = tuple(span for span in spans if span.stop > span.start)
        self._schemas = schemas
        if not self.spans:
            raise NotFoundError(
                "The topic has no event in this range; `driftline predict` with an earlier --since"
                " or without it reads more."
            )

    def identity(self) -> str:
        """A digest of the offsets."""
        return hashlib.sha256(msgspec.json.encode(self.spans)).hexdigest()

    def __call__(self, first: int) -> Iterator[Chunk]:
        """The chunks from number `first` on; the messages before them are read and left out."""
        messages = (message for span in self.spans for message in self._log.read(span))
        for _ in islice(messages, first * self._rows):
            pass
        while chunk := list(islice(messages, self._rows)):
            yield self._chunk(chunk)

    def _chunk(self, messages: Sequence[Message]) -> Chunk:
        events: list[Event | None] = []
        problems = {}
        for row, message in enumerate(messages):
            try:
                event = decode_event(message, self._contract, now=self._now, schemas=self._schemas)
            except DecodeError as error:
                problems[row] = str(error)[:300]
                events.append(None)
                continue
            events.append(event)
        names = [spec.name for spec in self._contract.features]
        values = {
            name: [None if e is None else e.values.get(name) for e in events] for name in names
        }
        shown: dict[str, Column] = {
            "event_partition": [message.partition for message in messages],
            "event_offset": [message.offset for message in messages],
            "event_key": [None if e is None else e.key for e in events],
            "event_time": [None if e is None else e.time for e in events],
        }
        return Chunk(
            shown=shown | values,
            values=values,
            problems=problems,
            rows=len(messages),
        )
