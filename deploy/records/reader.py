"""Reads records from the log: all of a kind, one by one, or the newest ones from the end.

Everything that a command shows comes from the log itself, so every reader sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from streaming.contracts import topics
from streaming.contracts.codec import record_in
from streaming.contracts.log import RecordLog
from streaming.contracts.records import OffsetRange, Record

R = TypeVar("R", bound=Record)

FIRST_CHUNK = 16
"""Messages that a read from the end takes first; each further chunk is four times as large."""


def records(log: RecordLog, kind: type[R], model: str | None = None) -> list[R]:
    """All records of a kind, oldest first; a repeated id counts once, in its last version."""
    by_id = {record.record_id: record for record in stream(log, kind, model)}
    return sorted(by_id.values(), key=lambda record: record.at)


def stream(log: RecordLog, kind: type[R], model: str | None = None) -> Iterator[R]:
    """All records of a kind, one by one in the log's order, repeated ids included.

    For topics that are too large to be held in memory.
    """
    for span in log.spans(topics.TOPIC_OF[kind].name):
        yield from read(log, span, kind, model)


def read(log: RecordLog, span: OffsetRange, kind: type[R], model: str | None = None) -> Iterator[R]:
    """The records of a kind in a part of one partition."""
    for message in log.read(span):
        record = record_in(message.value)
        if isinstance(record, kind) and model in (None, record.model):
            yield record


def newest(
    log: RecordLog,
    kind: type[R],
    model: str | None,
    count: int,
    *,
    where: Callable[[R], bool] = lambda record: True,
) -> list[R]:
    """The newest `count` records that match, oldest first; a repeated id counts once.

    Reads each partition backwards in growing chunks until it has enough. Records of one kind and
    model lie in the log in the order in which they were made.
    """
    by_id: dict[str, R] = {}
    for span in log.spans(topics.TOPIC_OF[kind].name):
        in_partition: set[str] = set()
        for chunk in backwards(span):
            for record in reversed([*read(log, chunk, kind, model)]):
                if where(record):
                    by_id.setdefault(record.record_id, record)
                    in_partition.add(record.record_id)
            if len(in_partition) >= count:
                break
    return sorted(by_id.values(), key=lambda record: record.at)[-count:]


def backwards(span: OffsetRange) -> Iterator[OffsetRange]:
    """A range in chunks from its end to its start; each is four times as large as the one before.

    >>> span = OffsetRange(topic="t", partition=0, start=0, stop=100)
    >>> [(chunk.start, chunk.stop) for chunk in backwards(span)]
    [(84, 100), (20, 84), (0, 20)]
    """
    stop, size = span.stop, FIRST_CHUNK
    while stop > span.start:
        start = max(span.start, stop - size)
        yield replace(span, start=start, stop=stop)
        stop, size = start, size * 4
