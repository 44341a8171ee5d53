"""The newest records of a kind, read from the end of their topic.

A topic of window summaries holds a month of them; who wants five need not read them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from msgspec.structs import replace

from deploy.history import read
from streaming.contracts import topics
from streaming.contracts.log import RecordLog
from streaming.contracts.records import OffsetRange, Record

R = TypeVar("R", bound=Record)

FIRST_CHUNK = 16


def newest(log: RecordLog, kind: type[R], model: str, most: int) -> list[R]:
    """The newest `most` records of a model, oldest first; a repeated id once, in its last form.

    Reads backwards in growing pieces until there are enough. Records of one kind and model lie in
    the order they were made.
    """
    found: dict[str, R] = {}
    for span in log.spans(topics.TOPIC_OF[kind].name):
        for piece in _backwards(span):
            for record in reversed([*read(log, piece, kind, model)]):
                found.setdefault(record.record_id, record)
            if len(found) >= most:
                break
    return sorted(found.values(), key=lambda record: record.at)[-most:]


def _backwards(span: OffsetRange) -> Iterator[OffsetRange]:
    stop, size = span.stop, FIRST_CHUNK
    while stop > span.start:
        start = max(span.start, stop - size)
        yield replace(span, start=start, stop=stop)
        stop, size = start, size * 4
