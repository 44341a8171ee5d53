"""Reads times as events write them, and the hour and weekday of a time in a zone."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

PER_SECOND: dict[str, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds_of(value: Any, time_format: str) -> float | None:
    """A time in seconds since 1970; None where `value` is no such time.

    Parameters
    ----------
    value:
        A number of the format's unit, or RFC 3339 text with any offset. Digits beyond microseconds
        are cut off, and a leap second is no time.

    Examples
    --------
    >>> seconds_of("2026-01-01T02:00:00.5+02:00", "rfc3339"), seconds_of(1500, "ms")
    (1767225600.5, 1.5)
    >>> seconds_of("2026-01-01T00:00:00", "rfc3339"), seconds_of("1500", "ms")
    (None, None)
    """
    if time_format == "rfc3339":
        return _rfc3339(value) if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value) if isinstance(value, Decimal) else value
        seconds = number / PER_SECOND[time_format]
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def _rfc3339(text: str) -> float | None:
    if _RFC3339.fullmatch(text) is None:
        return None
    try:
        return (datetime.fromisoformat(text.upper()) - _EPOCH).total_seconds()
    except ValueError:  # a month of 13, a second of 60
        return None


@lru_cache(maxsize=100_000)
def _offset(minute: int, zone: str) -> int:
    """A zone's distance from UTC in seconds, at a minute since 1970."""
    offset = datetime.fromtimestamp(minute * 60, ZoneInfo(zone)).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def hour(seconds: float, zone: str) -> int:
    """The hour of a time in a zone, 0 to 23.

    >>> hour(1767225600.0, "UTC"), hour(1767225600.0, "America/Chicago")
    (0, 18)
    """
    return _local(seconds, zone) // 3600 % 24


def weekday(seconds: float, zone: str) -> int:
    """The weekday of a time in a zone; Monday is 0.

    >>> weekday(1767225600.0, "UTC"), weekday(1767225600.0, "America/Chicago")
    (3, 2)
    """
    return (_local(seconds, zone) // 86_400 + 3) % 7


def _local(seconds: float, zone: str) -> int:
    whole = math.floor(seconds)
    return whole + _offset(whole // 60, zone)


def has_calendar(seconds: float) -> bool:
    """Whether a time lies in the years 1 to 9998, which Python's calendar has in every zone."""
    return -62_135_500_000.0 < seconds < 253_370_000_000.0
