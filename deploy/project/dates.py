"""Dates and times as files write them. Pure.

A column has one form. Where day and month cannot be told apart (``03/04/2026``), the column decides
by a value above 12; when it has none, the month comes first and the guess says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone

_CLOCK = (
    r"(?:[T ,]+(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?P<f>[.,]\d{1,9})?)?"
    r"(?:\s?(?P<half>[AP])\.?M\.?)?)?"
)
_OFFSET = r"\s*(?P<z>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<b>" + "|".join(_MONTHS) + r")[a-z]*\.?"
_SHORT = r"(?P<y>\d{4}|(?<=\d\d.\d\d.)\d{2}|(?<=\d/)\d{2})"
"""A year of two digits needs a slash, or a day and a month of two: ``1.2.10`` is a version."""
COMPACT = "yearmonthday"
_PATTERNS: dict[str, str] = {
    "year-month-day": r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})",
    "day.month.year": rf"(?P<d>\d{{1,2}})\.(?P<m>\d{{1,2}})\.{_SHORT}",
    "day/month/year": rf"(?P<d>\d{{1,2}})[/-](?P<m>\d{{1,2}})[/-]{_SHORT}",
    "month/day/year": rf"(?P<m>\d{{1,2}})[/-](?P<d>\d{{1,2}})[/-]{_SHORT}",
    "day month-name year": rf"(?P<d>\d{{1,2}})[ -]{_MONTH}[ -](?P<y>\d{{4}})",
    "month-name day year": rf"{_MONTH} (?P<d>\d{{1,2}}),? (?P<y>\d{{4}})",
    "year-month": r"(?P<y>(?:19|20)\d{2})-(?P<m>\d{2})",
    "month-name year": rf"{_MONTH}[ -](?P<y>\d{{4}}|(?<=-)\d{{2}})",
    COMPACT: r"(?P<y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})",
}
_COMPILED = {
    form: re.compile(_WEEKDAY + pattern + _CLOCK + _OFFSET, re.IGNORECASE)
    for form, pattern in _PATTERNS.items()
}
EPOCHS: dict[str, tuple[float, float]] = {
    "epoch seconds": (1e9, 2.2e9),
    "epoch milliseconds": (1e12, 2.2e12),
    "epoch microseconds": (1e15, 2.2e15),
    "epoch nanoseconds": (1e18, 2.2e18),
}
"""Form of a number → the range of the years 2001 to 2039."""
_EPOCH_UNITS = dict(zip(EPOCHS, (1.0, 1e3, 1e6, 1e9), strict=True))
SPREADSHEET = "days of a spreadsheet"
_SPREADSHEET_DAYS = (36_526.0, 51_501.0)
"""Days since 1899-12-30, of the years 2000 to 2040."""
_SPREADSHEET_1970 = 25_569
DATE_FORMS = tuple(_PATTERNS)


def to_epoch(cell: str, form: str) -> float | None:
    """Seconds since 1970; a time without an offset counts as UTC. None when the cell is no time.

    >>> to_epoch("2026-03-01T12:00:00+01:00", "year-month-day")
    1772362800.0
    >>> to_epoch("31.12.2025 08:30", "day.month.year"), to_epoch("31.02.2025", "day.month.year")
    (1767169800.0, None)
    >>> to_epoch("1767169800000", "epoch milliseconds"), to_epoch("25570.5", SPREADSHEET)
    (1767169800.0, 129600.0)
    >>> to_epoch("12/31/25 08:30 AM", "month/day/year"), to_epoch("20251231", "yearmonthday")
    (1767169800.0, 1767139200.0)
    """
    text = cell.strip()
    if form == SPREADSHEET or form in EPOCHS:
        return _from_number(text, form)
    match = _COMPILED[form].fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    month = _MONTHS.index(parts["b"].lower()) + 1 if parts.get("b") else int(parts["m"])
    try:
        moment = datetime(
            _year(parts["y"]),
            month,
            int(parts.get("d") or 1),
            _hour(parts["H"] or "0", parts["half"]),
            int(parts["M"] or 0),
            int(parts["S"] or 0),
            tzinfo=_zone(parts["z"]),
        )
    except ValueError:
        return None
    return moment.timestamp() + float((parts["f"] or "0").replace(",", "."))


def date_form(
    cells: Iterable[str], share: float = 0.99, *, forms: Sequence[str] = DATE_FORMS
) -> tuple[str, bool] | None:
    """The form in which at least `share` of the cells are dates, and whether it is certain.

    >>> date_form(["03/04/2026", "25/04/2026"]), date_form(["03/04/2026"])
    (('day/month/year', True), ('month/day/year', False))
    >>> date_form(["2026-01-01", "yes"]) is None
    True
    """
    values = list(cells)
    fitting = [
        form
        for form in forms
        if values
        and sum(to_epoch(cell, form) is not None for cell in values) >= share * len(values)
    ]
    if "day/month/year" in fitting and "month/day/year" in fitting:
        return "month/day/year", False
    return (fitting[0], True) if fitting else None


def epoch_form(numbers: Iterable[float]) -> str | None:
    """The unit in which all numbers are times of this century; None when there is none.

    Many other numbers could be days of a spreadsheet: ask the column's name as well.

    >>> epoch_form([1767169800, 1767169900]), epoch_form([3, 1767169900]), epoch_form([46082.5])
    ('epoch seconds', None, 'days of a spreadsheet')
    """
    values = list(numbers)
    for form, (low, high) in {**EPOCHS, SPREADSHEET: _SPREADSHEET_DAYS}.items():
        if values and low <= min(values) and max(values) <= high:
            return form
    return None


def _from_number(text: str, form: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if form == SPREADSHEET:
        return (number - _SPREADSHEET_1970) * 86_400
    seconds = number / _EPOCH_UNITS[form]
    return seconds if abs(seconds) < 1e11 else None


def _year(digits: str) -> int:
    """A year; two digits mean 1970 to 2069."""
    year = int(digits)
    return year if len(digits) > 2 else year + (1900 if year >= 70 else 2000)


def _hour(digits: str, half: str | None) -> int:
    """The hour of a day; with AM and PM, 12 is the first hour of its half.

    Raises
    ------
    ValueError
        When there is no such hour.
    """
    hour = int(digits)
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(digits)
    return hour % 12 + (12 if half.upper() == "P" else 0)


def _zone(offset: str | None) -> timezone:
    if not offset or offset.upper() in ("Z", "UTC", "GMT"):
        return UTC
    sign = -1 if offset[0] == "-" else 1
    minutes = int(offset[-2:]) if len(offset) > 3 else 0
    return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=minutes))
