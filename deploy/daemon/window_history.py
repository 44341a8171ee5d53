"""Reads one model's windows of a period from a log that holds the windows of many.

A window is written after it has ended, so everything that a period needs lies behind its beginning.
A message's key is its model, and only times are decoded of a window that may be outside the period.
So a read costs what the model's own windows of the period cost, and for those of other models only
their transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from streaming.contracts.codec import record_in
from streaming.contracts.errors import TemporaryError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import WindowSummary
from streaming.contracts.topics import WINDOW_STATISTICS

CLOCK_SLACK_SECONDS = 3_600.0
"""How far the clock of the writer may lag behind that of the events."""


class _Times(msgspec.Struct):
    """The part of a window summary that says whether it is in a period."""

    model: str
    window_start: float
    window_end: float
    accepted: int


_TIMES = msgspec.json.Decoder(_Times)


class SupersededError(TemporaryError):
    """The caller has no use for the result any more."""


def windows_between(
    log: RecordLog,
    model: str,
    first: float,
    until: float,
    *,
    superseded: Callable[[], bool] = lambda: False,
) -> Iterator[WindowSummary]:
    """The model's windows with accepted rows that lie wholly in a period, in the log's order.

    A window that was written twice comes twice.

    Parameters
    ----------
    first, until:
        Start and end of the period, seconds since 1970.
    superseded:
        Asked between two messages; True ends the read.

    Raises
    ------
    SupersededError
        When `superseded` says so.
    """
    key = model.encode()
    for span in log.spans(WINDOW_STATISTICS.name, since=max(0.0, first - CLOCK_SLACK_SECONDS)):
        for message in log.read(span):
            if superseded():
                raise SupersededError(f"The windows of {model} are no longer needed.")
            if message.key != key or not _inside(message.value, model, first, until):
                continue
            record = record_in(message.value)
            if isinstance(record, WindowSummary):
                yield record


def _inside(value: bytes | None, model: str, first: float, until: float) -> bool:
    try:
        times = _TIMES.decode(value or b"")
    except msgspec.MsgspecError:
        return False
    return (
        times.model == model
        and times.accepted > 0
        and first <= times.window_start
        and times.window_end <= until
    )
