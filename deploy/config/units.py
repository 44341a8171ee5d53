"""Human words for durations, rates and rules in `driftline.yaml`, and back.

Pure parsing: each function raises `ValueError` with a sentence that says what was expected.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Budget(NamedTuple):
    """So many in so long."""

    times: float
    seconds: float


class Sustained(NamedTuple):
    """`hits` of the last `of` windows."""

    hits: int
    of: int


def seconds(text: str | float) -> float:
    """A duration in seconds.

    >>> seconds("1.5m"), seconds("200ms"), seconds(3)
    (90.0, 0.2, 3.0)
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is no duration; write for example 30s, 5m or 2h.")
    if isinstance(text, int | float):
        return float(text)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", text)
    if not found:
        raise ValueError(f"{text!r} is no duration; write for example 200ms, 30s, 5m, 2h or 30d.")
    return float(found[1]) * _SECONDS[found[2]]


def moment(text: str, now: float) -> float:
    """A point in time, seconds since 1970: a date (UTC unless it says), such seconds, or a duration
    before `now`.

    >>> moment("1970-01-02", 0.0), moment("1970-01-02T02:00+02:00", 0.0), moment("2h", 9_000.0)
    (86400.0, 86400.0, 1800.0)
    >>> moment("1764162000", 0.0)
    1764162000.0
    """
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    with suppress(ValueError):
        return now - seconds(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; write for example 2026-11-20T08:00, 1764162000 or 2h."
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def budget(text: str) -> Budget:
    """A number of events in a period.

    >>> budget("1 per 30d")
    Budget(times=1.0, seconds=2592000.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s+per\s+(\S+)\s*", str(text))
    if not found or float(found[1]) <= 0:
        raise ValueError(f"{text!r} is no budget; write for example 1 per 30d.")
    return Budget(float(found[1]), seconds(found[2]))


def sustained(text: str) -> Sustained:
    """A k-of-m rule.

    >>> sustained("3 of 5"), sustained("2/4")
    (Sustained(hits=3, of=5), Sustained(hits=2, of=4))
    """
    found = re.fullmatch(r"\s*(\d+)\s*(?:of|/)\s*(\d+)\s*", str(text))
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"{text!r} is no rule; write for example 3 of 5.")
    return Sustained(int(found[1]), int(found[2]))


def points(text: str | float) -> float:
    """Percentage points as a ratio.

    >>> points("+0.5pp")
    0.005
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    found = re.fullmatch(r"\s*\+?(\d+(?:\.\d+)?)\s*pp\s*", str(text))
    if not found:
        raise ValueError(f"{text!r} is no number of percentage points; write for example +0.5pp.")
    return float(found[1]) / 100


def spoken(value: float) -> str:
    """A duration as people say it.

    >>> spoken(90.0), spoken(0.2), spoken(7200)
    ('1m 30s', '200ms', '2h')
    """
    if value < 1:
        return f"{value * 1000:.0f}ms"
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if value >= size:
            parts.append(f"{int(value // size)}{name}")
            value %= size
    if value >= 1 or not parts:
        parts.append(f"{value:.0f}s")
    return " ".join(parts)
