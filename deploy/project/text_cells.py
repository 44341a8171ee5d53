"""What a text cell of a file may be: missing, a number, a truth value, a date, or text. Pure.

A form is a way to write values. A cell may fit several forms (``1,234`` is a number with a decimal
comma, or one with a separator of thousands), so a column decides which form it has.
"""

from __future__ import annotations

import re
from typing import Literal

NumberForm = Literal["integer", "point", "comma", "point_grouped", "comma_grouped"]

MISSING_WORDS = frozenset(
    ("", "-", "--", "?", ".", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "\\n", "missing")
)
"""Spellings of a missing value, in lower case."""

TRUTH: tuple[tuple[str, str], ...] = (
    ("true", "false"),
    ("t", "f"),
    ("yes", "no"),
    ("y", "n"),
    ("ja", "nein"),
    ("j", "n"),
    ("oui", "non"),
    ("si", "no"),
    ("sí", "no"),
    ("on", "off"),
    ("wahr", "falsch"),
)
"""Pairs of spellings, in lower case: true, then false."""

_NUMBERS: dict[NumberForm, re.Pattern[str]] = {
    "integer": re.compile(r"[+-]?\d{1,18}"),
    "point": re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d{1,3})?"),
    "comma": re.compile(r"[+-]?(\d+,\d*|,\d+|\d+)([eE][+-]?\d{1,3})?"),
    "point_grouped": re.compile(r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?"),
    "comma_grouped": re.compile(r"[+-]?\d{1,3}([. ]\d{3})*(,\d+)?"),
}
_REMOVED: dict[NumberForm, str] = {"point_grouped": ",", "comma_grouped": ". "}
NUMBER_FORMS: tuple[NumberForm, ...] = tuple(_NUMBERS)


def is_missing(cell: str | None) -> bool:
    """Whether a cell holds no value.

    >>> [is_missing(cell) for cell in (None, " N/A ", "NaN", "0", "no")]
    [True, True, True, False, False]
    """
    return cell is None or cell.strip().lower() in MISSING_WORDS


def number_forms(cell: str) -> frozenset[NumberForm]:
    """The forms in which a cell is a number.

    >>> [sorted(number_forms(cell)) for cell in ("1,234", "12.5", "abc")]
    [['comma', 'comma_grouped', 'point_grouped'], ['point', 'point_grouped'], []]
    """
    text = cell.strip()
    return frozenset(form for form, pattern in _NUMBERS.items() if pattern.fullmatch(text))


def to_number(cell: str, form: NumberForm) -> float | int | None:
    """The number in a cell; None when it is none in this form.

    >>> to_number("1.234,5", "comma_grouped"), to_number("7", "integer"), to_number("x", "point")
    (1234.5, 7, None)
    """
    text = cell.strip()
    if not _NUMBERS[form].fullmatch(text):
        return None
    if form == "integer":
        return int(text)
    for character in _REMOVED.get(form, ""):
        text = text.replace(character, "")
    number = float(text.replace(",", "."))
    return number if abs(number) < float("inf") else None


def truth_pair(values: frozenset[str]) -> tuple[str, str] | None:
    """The pair of spellings to which all values belong, in any case; None when there is none.

    Both spellings must occur.

    >>> truth_pair(frozenset({"Yes", "no", "YES"})), truth_pair(frozenset({"yes", "maybe"}))
    (('yes', 'no'), None)
    """
    spellings = {value.strip().lower() for value in values}
    return next((pair for pair in TRUTH if spellings == set(pair)), None)


def to_truth(cell: str, pair: tuple[str, str]) -> int | None:
    """1 or 0; None when the cell is neither spelling.

    >>> to_truth("JA", ("ja", "nein")), to_truth("nein", ("ja", "nein")), to_truth("?", ("j", "n"))
    (1, 0, None)
    """
    spelling = cell.strip().lower()
    return {pair[0]: 1, pair[1]: 0}.get(spelling)
