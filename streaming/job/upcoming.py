"""Promotions and schema versions that were read and hold for later windows.

A promotion holds for the windows that begin at or after the moment at which the broker appended it,
and so does a schema version. What holds for a window therefore follows from the log alone and not
from when it was read: a job that goes on from a checkpoint reads again at another moment, and must
judge the windows that it closes again as before. The time in the record would not do: a promotion
that was decided while the broker was away is appended later, when windows that began in between
have been judged without it.
"""

from __future__ import annotations

from typing import Self, TypeVar

import msgspec

from streaming.contracts.records import Promotion, SchemaVersion

_Record = TypeVar("_Record", bound=Promotion | SchemaVersion)
_Held = tuple[float, _Record]
"""Since when a record holds (seconds since 1970), and the record."""

REPLAY_SECONDS = 86_400.0
"""A window that ended this long before a record is one of an old stream that is replayed; the
record holds for it at once, because the stream's time may never reach that of the record."""
_MAX_WAITING = 64
"""The newest of each kind that are kept, on a stream whose windows do not close."""


class Upcoming(msgspec.Struct, frozen=True, kw_only=True):
    """What was read and holds for no window yet, oldest first."""

    promotions: tuple[tuple[float, Promotion], ...] = ()
    """Each with the time from which on it holds, seconds since 1970."""
    schemas: tuple[tuple[float, SchemaVersion], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.promotions or self.schemas)

    def with_promotion(self, promotion: Promotion, appended: float) -> Self:
        """With one promotion more, appended to the log then; the same one is kept once."""
        return msgspec.structs.replace(self, promotions=_with(self.promotions, promotion, appended))

    def with_schema(self, version: SchemaVersion, appended: float) -> Self:
        """With one schema version more, appended to the log then; the same one is kept once."""
        return msgspec.structs.replace(self, schemas=_with(self.schemas, version, appended))

    def promotions_until(
        self, start: float, end: float, *, first: bool
    ) -> tuple[tuple[Promotion, ...], Self]:
        """The promotions that hold for the window from `start` to `end`, and what is left.

        `first` says that no promotion holds so far: then the oldest one does at once, because
        before it there was no reference to judge by.
        """
        count = _holding(self.promotions, start, end)
        if first and not count:
            count = len(self.promotions[:1])
        left = msgspec.structs.replace(self, promotions=self.promotions[count:])
        return _records(self.promotions[:count]), left

    def schemas_until(self, start: float, end: float) -> tuple[tuple[SchemaVersion, ...], Self]:
        """The schema versions that hold for the window from `start` to `end`, and what is left."""
        count = _holding(self.schemas, start, end)
        left = msgspec.structs.replace(self, schemas=self.schemas[count:])
        return _records(self.schemas[:count]), left


def _with(
    waiting: tuple[_Held[_Record], ...], record: _Record, appended: float
) -> tuple[_Held[_Record], ...]:
    if any(other.record_id == record.record_id for _, other in waiting):
        return waiting
    held = (*waiting, (max(record.at, appended), record))
    ordered = sorted(held, key=lambda pair: pair[0])  # as read, at equal times
    return tuple(ordered[-_MAX_WAITING:])


def _records(held: tuple[_Held[_Record], ...]) -> tuple[_Record, ...]:
    return tuple(record for _, record in held)


def _holding(waiting: tuple[_Held[_Record], ...], start: float, end: float) -> int:
    """How many there are up to the last one that holds for the window."""
    holding = [since <= start or since - end > REPLAY_SECONDS for since, _ in waiting]
    return len(holding) - holding[::-1].index(True) if any(holding) else 0


def read_upcoming(data: bytes | None) -> Upcoming:
    """The decoded state; empty at first."""
    return msgspec.msgpack.decode(data, type=Upcoming) if data else Upcoming()
