"""Numbers as files write them. Pure.

A form is a way to write numbers. A cell may fit several forms (``1,234`` is a number with a decimal
comma, or one with a separator of thousands), so a column decides which form it has.

A currency's or percent's sign, and an accountant's brackets for a negative number, are understood
in every form; the sign says nothing about the value: ``12.5 %`` is 12.5.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Literal

NumberForm = Literal["integer", "point", "comma", "point_grouped", "comma_grouped"]

LARGEST = 3.4e38
"""Numbers are learnt and stored in 32 bits; larger ones do not fit."""

_NUMBERS: dict[NumberForm, re.Pattern[str]] = {
    "integer": re.compile(r"[+-]?\d{1,18}"),
    "point": re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d{1,3})?"),
    "comma": re.compile(r"[+-]?(\d+,\d*|,\d+|\d+)([eE][+-]?\d{1,3})?"),
    "point_grouped": re.compile(
        r"[+-]?(?:\d{1,3}(?:([,' ])\d{3}(?:\1\d{3})*)?|\d{1,2}(?:,\d{2})+,\d{3})(\.\d+)?"
    ),  # the second form, 12,34,567, is that of India
    "comma_grouped": re.compile(r"[+-]?\d{1,3}(?:([.' ])\d{3}(?:\1\d{3})*)?(,\d+)?"),
}
_REMOVED: dict[NumberForm, str] = {"point_grouped": ",' ", "comma_grouped": ".' "}
NUMBER_FORMS: tuple[NumberForm, ...] = tuple(_NUMBERS)
DECIMAL_MARKS: dict[NumberForm, str] = {"point": ".", "comma": ","}
"""Forms without groups → the mark before their decimals."""
GROUPED: dict[NumberForm, NumberForm] = {"point": "comma_grouped", "comma": "point_grouped"}
"""Form → the one in which the same mark separates thousands."""

_SIGN = r"[$€£¥₹%]|USD|EUR|GBP|CHF|JPY"
_WRITTEN = re.compile(
    rf"(?P<open>\()?(?P<minus>[+-])?(?P<before>{_SIGN})?(?P<number>[^()]*?)(?P<after>{_SIGN})?\)?"
)
_ONE_DIGIT = str.maketrans("0123456789", "0000000000")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2212": "-"})


def number_forms(cell: str) -> frozenset[NumberForm]:
    """The forms in which a cell is a number.

    >>> [sorted(number_forms(cell)) for cell in ("1,234", "12.5", "abc")]
    [['comma', 'comma_grouped', 'point_grouped'], ['point', 'point_grouped'], []]
    """
    return _forms_of(cell.strip().translate(_ONE_DIGIT))


@lru_cache(maxsize=10_000)
def _forms_of(shape: str) -> frozenset[NumberForm]:
    """The forms of all cells that differ in their digits only, which no form looks at."""
    text = _bare(shape)[0]
    return frozenset(form for form, pattern in _NUMBERS.items() if pattern.fullmatch(text))


def to_number(cell: str, form: NumberForm) -> float | int | None:
    """The number in a cell; None when it is none in this form.

    >>> to_number("1.234,5", "comma_grouped"), to_number("7", "integer"), to_number("x", "point")
    (1234.5, 7, None)
    >>> to_number("$1,234.50", "point_grouped"), to_number("(12)", "integer")
    (1234.5, -12)
    >>> to_number("12,34,567.5", "point_grouped")
    1234567.5
    """
    text = _bare(cell)[0]
    if not _NUMBERS[form].fullmatch(text):
        return None
    if form == "integer":
        return int(text)
    for character in _REMOVED.get(form, ""):
        text = text.replace(character, "")
    number = float(text.replace(",", "."))
    return number if abs(number) < float("inf") else None


def signs_of(cells: Iterable[str]) -> frozenset[str]:
    """The signs of currencies and of percent that cells have.

    >>> sorted(signs_of(["$5", "-€ 3", "7", "12 %"]))
    ['$', '%', '€']
    """
    return frozenset(
        sign for cell in cells if (sign := _sign_of(cell.strip().translate(_ONE_DIGIT)))
    )


@lru_cache(maxsize=10_000)
def _sign_of(shape: str) -> str:
    return _bare(shape)[1]


def thousands(cells: Collection[str], form: NumberForm) -> bool | None:
    """Whether the mark of `form` separates thousands in whole numbers, instead of decimals.

    It does when three digits follow every mark and the numbers without one are below 1000; it does
    not when any cell contradicts that. None when all numbers have the mark, which tells nothing.

    >>> thousands(["1,234", "999"], "comma"), thousands(["1,234", "1000"], "comma")
    (True, False)
    >>> thousands(["1.25", "1.234"], "point"), thousands(["1.234", "2.345"], "point")
    (False, None)
    """
    mark = DECIMAL_MARKS.get(form)
    if mark is None:
        return False
    texts = [text for cell in cells if _NUMBERS[form].fullmatch(text := _bare(cell)[0])]
    marked = [text for text in texts if mark in text]
    grouped = _NUMBERS[GROUPED[form]]
    if not marked or not all(map(grouped.fullmatch, marked)):
        return False
    if any(text.lstrip("+-").startswith("0") for text in marked):
        return False
    plain = [text for text in texts if mark not in text]
    if not plain:
        return None
    return all(re.fullmatch(r"[+-]?\d{1,3}", text) is not None for text in plain)


def _bare(cell: str) -> tuple[str, str]:
    """A cell as digits and marks, and the sign that it had."""
    text = cell.strip()
    if text.isascii() and text and text[-1] in "0123456789." and text[0] in "0123456789+-.":
        return text, ""
    match = _WRITTEN.fullmatch(text.translate(_SPACES))
    if match is None or text.count("(") != text.count(")"):
        return text, ""
    minus = "-" if match["open"] else match["minus"] or ""
    number = (match["number"] or "").strip()
    if minus and number[:1] in ("+", "-"):
        return text, ""
    return minus + number, match["before"] or match["after"] or ""
