"""What a column of text cells looks like: counts of the forms its cells have. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

import numpy as np

from deploy.project.dates import COMPACT, date_form, epoch_form, to_epoch
from deploy.project.number_cells import (
    DECIMAL_MARKS,
    GROUPED,
    NUMBER_FORMS,
    NumberForm,
    number_forms,
    signs_of,
    thousands,
    to_number,
)
from deploy.project.text_cells import is_missing

NUMBER_SHARE = 0.98
"""A column is one of numbers when at least this share of its values are numbers in one form."""
WORDS_SHARE, WORDS = 0.8, 2
"""It is one of numbers as well when the others are one or two words, such as `unknown`, and at
least this share are numbers."""
LEVELS = 100
"""This many numbers that 32 bits tell apart are enough, however many there are."""
EXACT = 2.0**53
"""From here on whole numbers may be rounded as soon as they are read."""
_DATE_CHECKED = 500
"""Values of a column that are tried as dates before all of them are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """Counts of one column of a sample."""

    name: str
    original: str
    """Name as the file writes it."""
    rows: int
    missing: int
    values: Counter[str] = field(repr=False)
    """Value, without white space around it → rows."""
    number_form: NumberForm | None
    """The form in which most values are numbers; None when they are no numbers."""
    number_share: float
    """Share of the values that are numbers in that form, or in their best one."""
    number_certain: bool
    """False where the mark of decimals could be one of thousands."""
    signs: frozenset[str]
    """Signs of currencies and of percent that its numbers have."""
    whole: bool
    """Whether every number is a whole one."""
    leading_zeros: bool
    """Whether a number begins with a zero that carries meaning, as in a postcode."""
    ascending: bool
    """Whether no number is smaller than the one before it, or no time in a column of times."""
    low: float
    high: float
    """Extremes of the numbers; 0 when there are none."""
    told_apart: bool = True
    """Whether enough different numbers stay different in 32 bits, in which they are learnt."""
    time_form: str | None
    """The form in which the values are times."""
    time_certain: bool
    """False where day and month could be the other way round."""
    latest: float
    """The latest of the times, in seconds since 1970; 0 when there are none."""
    words: float
    """Mean number of words."""
    longest: int
    """Characters of the longest value."""

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        """Number of different values."""
        return len(self.values)

    @property
    def missing_share(self) -> float:
        """Share of the rows without a value."""
        return self.missing / self.rows if self.rows else 1.0

    @property
    def distinct_share(self) -> float:
        """Different values for each present one."""
        return self.distinct / self.present if self.present else 0.0

    def extremes(self) -> str:
        """Its smallest and its largest number; whole numbers with all digits that fit."""
        digits = ".9g" if self.whole else "g"
        return f"{self.low:{digits}} to {self.high:{digits}}"

    def examples(self, count: int = 3) -> str:
        """Its most frequent values, cut to be read in a table."""
        return ", ".join(value[:20] for value, _ in self.values.most_common(count))


def profile_column(
    name: str, original: str, cells: Sequence[str | None], *, decimal: str = "."
) -> ColumnProfile:
    """Count the forms of a column's cells, which are in the order of the file.

    `decimal` is the usual mark of decimals in such a file; it decides where the column does not.
    """
    present = [cell.strip() for cell in cells if cell is not None and not is_missing(cell)]
    values = Counter(present)
    form, share, certain = _number_form(values, decimal)
    usable = form if form is not None and _is_numeric(values, form, share) else None
    signs = frozenset[str]() if usable is None else signs_of(values)
    usable = usable if len(signs) < 2 else None
    numbers: list[float] = []
    if usable is not None:
        parsed = {value: to_number(value, usable) for value in values}
        numbers = [number for cell in present if (number := parsed[cell]) is not None]
    time_form, time_certain = _time_form(present, values, numbers)
    times = _epochs(present, time_form)
    return ColumnProfile(
        name=name,
        original=original,
        rows=len(cells),
        missing=len(cells) - len(present),
        values=values,
        number_form=usable,
        number_share=share,
        number_certain=certain,
        signs=signs,
        whole=all(float(number).is_integer() for number in numbers),
        leading_zeros=_has_leading_zeros(values),
        ascending=_ascends(numbers or times),
        low=min(numbers, default=0.0),
        high=max(numbers, default=0.0),
        told_apart=_told_apart(numbers, len(values)),
        time_form=time_form,
        time_certain=time_certain,
        latest=max(times, default=0.0),
        words=fmean([len(value.split()) for value in values] or [0]),
        longest=max(map(len, values), default=0),
    )


def _number_form(values: Counter[str], decimal: str) -> tuple[NumberForm | None, float, bool]:
    """The form in which the largest number of cells are numbers, their share, and whether it is
    certain; of several such forms the first one, unless its mark separates thousands."""
    counts: Counter[NumberForm] = Counter()
    for value, rows in values.items():
        for form in number_forms(value):
            counts[form] += rows
    if not counts:
        return None, 0.0, True
    best = max(counts.values())
    form = next(form for form in NUMBER_FORMS if counts[form] == best)
    share = best / values.total()
    if form not in GROUPED or counts[GROUPED[form]] < best:
        return form, share, True
    grouped = thousands(values, form)
    if grouped is None:
        return (form if DECIMAL_MARKS[form] == decimal else GROUPED[form]), share, False
    return (GROUPED[form] if grouped else form), share, True


def _is_numeric(values: Counter[str], form: NumberForm, share: float) -> bool:
    """Whether a column with this share of numbers is one of numbers.

    A few numbers beside words are not: they may be codes, such as the sizes 38, 40 and XL.
    """
    if share >= NUMBER_SHARE or share < WORDS_SHARE:
        return share >= NUMBER_SHARE
    others = [value for value in values if form not in number_forms(value)]
    return len(others) <= WORDS and len(values) > 10 * WORDS


def _time_form(
    present: list[str], values: Counter[str], numbers: list[float]
) -> tuple[str | None, bool]:
    if numbers and date_form(present[:_DATE_CHECKED], forms=(COMPACT,)) is None:
        return epoch_form(numbers), True
    head = present[:_DATE_CHECKED]
    if date_form(head) is None:
        return None, True
    form = date_form(list(values))
    return form if form is not None else (None, True)


def _epochs(present: list[str], time_form: str | None) -> list[float]:
    """The times of a column of times."""
    if time_form is None:
        return []
    parsed = {cell: to_epoch(cell, time_form) for cell in set(present)}
    return [time for cell in present if (time := parsed[cell]) is not None]


def _ascends(numbers: list[float]) -> bool:
    return len(numbers) > 1 and all(second >= first for first, second in pairwise(numbers))


def _told_apart(numbers: list[float], distinct: int) -> bool:
    """Whether 32 bits tell apart enough numbers of a column with `distinct` different cells."""
    different = set(numbers)
    with np.errstate(over="ignore"):
        learnt = np.unique(np.array([float(number) for number in different], dtype=np.float32))
    beyond = any(abs(number) >= EXACT for number in different)  # equal, though their digits differ
    if len(learnt) >= LEVELS:
        return True
    return 2 * len(learnt) >= (distinct if beyond else len(different))


def _has_leading_zeros(values: Counter[str]) -> bool:
    return any(len(value) > 1 and value[0] == "0" and value.isdigit() for value in values)
