"""Parses and formats the units of `driftline.yaml`: durations, times, rates, runs rules.

Pure: each parser raises `ValueError` with a sentence that says what was expected.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)"
DURATION = rf"\s*{_PART}(?:\s*{_PART})*\s*"
"""Pattern of a duration, for the JSON Schema as well."""
RATE = rf"\s*\d+(?:\.\d+)?\s+per\s+{DURATION}"
"""Pattern of a rate."""
RUNS_RULE = r"\s*\d+\s*(?:of|/)\s*\d+\s*"
"""Pattern of a runs rule."""
POINTS = r"\s*\+?\d+(?:\.\d+)?\s*pp\s*"
"""Pattern of a number of percentage points."""
MAX_DURATION = 1000 * 365 * 86400.0
"""Longest duration in seconds: 1,000 years."""
SIZE = r"\s*\d+(?:\.\d+)?\s*(?:MB|GB|MiB|GiB)\s*"
"""Pattern of a size in memory."""
_BYTES = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
PERCENT = r"\s*\d+(?:\.\d+)?\s*%\s*"
"""Pattern of a share in percent."""


class Rate(NamedTuple):
    """A rate limit: `times` events per `seconds`."""

    times: float
    seconds: float


class RunsRule(NamedTuple):
    """At least `hits` of the last `of` windows."""

    hits: int
    of: int


def parse_duration(text: str | float) -> float:
    """A duration in seconds. Only 0 may be written without a unit.

    >>> parse_duration("1.5m"), parse_duration("200ms"), parse_duration("1m 30s"), parse_duration(0)
    (90.0, 0.2, 90.0, 0.0)
    """
    if text == 0 and not isinstance(text, bool):
        return 0.0
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise ValueError(f"{text} has no unit; write {text}s or {text}ms.")
    if not isinstance(text, str) or not re.fullmatch(DURATION, text):
        raise ValueError(f"{text!r} is not a duration; write for example 200ms, 30s, 5m or 2h.")
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not seconds <= MAX_DURATION:
        raise ValueError(f"{_shortened(text)} is longer than 1,000 years.")
    return seconds


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:20]}…{text[-10:]}")


def parse_time(text: str, now: float) -> float:
    """A point in time in seconds since 1970.

    Parameters
    ----------
    text:
        A date (UTC unless it has a zone), seconds since 1970, or a duration before `now`.

    >>> parse_time("1970-01-02", 0.0), parse_time("1970-01-02T02:00+02:00", 0.0)
    (86400.0, 86400.0)
    >>> parse_time("2h", 9_000.0), parse_time("1764162000", 0.0)
    (1800.0, 1764162000.0)
    """
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    with suppress(ValueError):
        return now - parse_duration(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time; write for example 2026-11-20T08:00, 1764162000 or 2h."
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def parse_rate(text: str) -> Rate:
    """A number of events per period.

    >>> parse_rate("1 per 30d")
    Rate(times=1.0, seconds=2592000.0)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s+per\s+(.+)", str(text))
    if not match or float(match[1]) <= 0:
        raise ValueError(f"{text!r} is not a rate; write for example 1 per 30d.")
    if math.isinf(float(match[1])):
        raise ValueError(
            f"{_shortened(str(text))} is too large a rate; write for example 1 per 30d."
        )
    seconds = parse_duration(match[2])
    if seconds <= 0:
        raise ValueError(f"{text!r} has no period; write for example 1 per 30d.")
    return Rate(float(match[1]), seconds)


def parse_runs_rule(text: str) -> RunsRule:
    """A k-of-m rule.

    >>> parse_runs_rule("3 of 5"), parse_runs_rule("2/4")
    (RunsRule(hits=3, of=5), RunsRule(hits=2, of=4))
    """
    match = re.fullmatch(r"\s*(\d+)\s*(?:of|/)\s*(\d+)\s*", str(text))
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"{text!r} is not a k-of-m rule; write for example 3 of 5.")
    return RunsRule(int(match[1]), int(match[2]))


def parse_schedule(text: str | float) -> float | str:
    """A period in seconds, or a cron expression as it is written.

    >>> parse_schedule("7d"), parse_schedule(" 0 3 * * 1 ")
    (604800.0, '0 3 * * 1')
    """
    from retrain.schedule import cron_problem

    if not isinstance(text, str) or re.fullmatch(DURATION, text):
        return parse_duration(text)
    if problem := cron_problem(text):
        raise ValueError(f"{problem} A period is written like 7d.")
    return text.strip()


def format_schedule(schedule: float | str) -> str:
    """A schedule that `parse_schedule` reads back."""
    return schedule if isinstance(schedule, str) else format_duration(schedule)


def parse_points(text: str | float) -> float:
    """Percentage points as a ratio. A bare number is a ratio already.

    >>> parse_points("+0.5pp"), parse_points(0.005)
    (0.005, 0.005)
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    match = re.fullmatch(POINTS, str(text))
    if not match:
        raise ValueError(
            f"{text!r} is not a number of percentage points; write for example +0.5pp."
        )
    return float(str(text).strip().lstrip("+").removesuffix("pp")) / 100


def parse_size(text: str) -> int:
    """A size in bytes.

    >>> parse_size("1.5GB"), parse_size("512 MiB")
    (1500000000, 536870912)
    """
    if not isinstance(text, str) or not re.fullmatch(SIZE, text):
        raise ValueError(f"{text!r} is not a size; write for example 800MB, 4GB or 4GiB.")
    number, unit = re.findall(r"([\d.]+)\s*([A-Za-z]+)", text)[0]
    return round(float(number) * _BYTES[unit])


def format_size(size: int) -> str:
    """A size that `parse_size` reads back to the byte.

    >>> format_size(1_500_000_000), format_size(536_870_912), format_size(1)
    ('1.5GB', '512MiB', '0.000001MB')
    """
    for unit in ("GiB", "MiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    unit = "GB" if size >= _BYTES["GB"] else "MB"
    digits = f"{Decimal(size) / _BYTES[unit]:f}"
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}{unit}"


def format_megabytes(size: int) -> str:
    """A size for people, with three digits.

    >>> format_megabytes(1_234_567_890), format_megabytes(2_345_678), format_megabytes(999)
    ('1.23 GB', '2.35 MB', '0.001 MB')
    """
    unit, bytes_of_unit = ("GB", _BYTES["GB"]) if size >= _BYTES["GB"] else ("MB", _BYTES["MB"])
    number = size / bytes_of_unit
    return (
        f"{number:.3g} {unit}" if number >= 0.01 or not size else f"{max(number, 0.001):.3f} {unit}"
    )


def parse_percent(text: str | float) -> float:
    """A share in percent as a ratio. A bare number is a ratio already.

    >>> parse_percent("0.5%"), parse_percent(0.005)
    (0.005, 0.005)
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    if not re.fullmatch(PERCENT, str(text)):
        raise ValueError(f"{text!r} is not a share; write for example 0.1%.")
    return float(str(text).strip().removesuffix("%")) / 100


def format_percent(ratio: float) -> str:
    """A ratio in percent.

    >>> format_percent(0.001)
    '0.1%'
    """
    return f"{ratio * 100:g}%"


def format_duration(value: float) -> str:
    """A duration as it is written in the file; `parse_duration` reads it back.

    >>> format_duration(90.0), format_duration(0.2), format_duration(7200), format_duration(0)
    ('1m 30s', '200ms', '2h', '0s')
    """
    milliseconds = round(value * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def format_rate(rate: Rate) -> str:
    """A rate as it is written in the file.

    >>> format_rate(Rate(1, 2_592_000))
    '1 per 30d'
    """
    return f"{rate.times:g} per {format_duration(rate.seconds)}"


def format_runs_rule(rule: RunsRule) -> str:
    """A runs rule as it is written in the file.

    >>> format_runs_rule(RunsRule(3, 5))
    '3 of 5'
    """
    return f"{rule.hits} of {rule.of}"


def format_points(ratio: float) -> str:
    """A ratio as percentage points.

    >>> format_points(0.005)
    '+0.5pp'
    """
    return f"+{ratio * 100:g}pp"


def format_time(at: float) -> str:
    """A point in time as every command prints it; the number where no calendar has the time.

    >>> format_time(1_767_322_984.6), format_time(1.7e12)
    ('2026-01-02 03:03:04 UTC', '1700000000000.0')
    """
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(at)
