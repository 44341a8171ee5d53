"""A record as Kafka stores it: value, key, headers and time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

Headers = tuple[tuple[str, bytes | None], ...]
"""Names and values in the order of the record; a name may occur more than once."""


class RawRecord(Protocol):
    """What is read of a record; `streaming.contracts.log.Message` is such a record."""

    @property
    def value(self) -> bytes | None: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def time(self) -> float:
        """The time that Kafka stored with the record, seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaRecord:
    """A record without its place in a topic."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    time: float = math.nan


def header(record: RawRecord, name: str) -> bytes | None:
    """The last value of a header, as Kafka's own clients read it; None where there is none.

    >>> header(KafkaRecord(value=b"", headers=(("a", b"1"), ("a", b"2"))), "a")
    b'2'
    """
    return next((value for known, value in reversed(record.headers) if known == name), None)
