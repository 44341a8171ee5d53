"""What a column of text cells looks like: counts of the forms its cells have. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

from deploy.project.dates import date_form, epoch_form, to_epoch
from deploy.project.text_cells import NUMBER_FORMS, NumberForm, is_missing, number_forms, to_number

NUMBER_SHARE = 0.98
"""A column is one of numbers when at least this share of its values are numbers in one form."""
WORDS_SHARE, WORDS = 0.8, 2
"""It is one of numbers as well when the others are one or two words, such as `unknown`, and at
least this share are numbers."""
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
    whole: bool
    """Whether every number is a whole one."""
    leading_zeros: bool
    """Whether a number begins with a zero that carries meaning, as in a postcode."""
    ascending: bool
    """Whether no number is smaller than the one before it, or no time in a column of times."""
    low: float
    high: float
    """Extremes of the numbers; 0 when there are none."""
    time_form: str | None
    """The form in which the values are times."""
    time_certain: bool
    """False where day and month could be the other way round."""
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

    def examples(self, count: int = 3) -> str:
        """Its most frequent values, cut to be read in a table."""
        return ", ".join(value[:20] for value, _ in self.values.most_common(count))


def profile_column(name: str, original: str, cells: Sequence[str | None]) -> ColumnProfile:
    """Count the forms of a column's cells, which are in the order of the file."""
    present = [cell.strip() for cell in cells if cell is not None and not is_missing(cell)]
    values = Counter(present)
    form, share = _number_form(values)
    usable = form if form is not None and _is_numeric(values, form, share) else None
    numbers: list[float] = []
    if usable is not None:
        parsed = {value: to_number(value, usable) for value in values}
        numbers = [number for cell in present if (number := parsed[cell]) is not None]
    time_form, certain = _time_form(present, values, numbers)
    return ColumnProfile(
        name=name,
        original=original,
        rows=len(cells),
        missing=len(cells) - len(present),
        values=values,
        number_form=usable,
        number_share=share,
        whole=all(float(number).is_integer() for number in numbers),
        leading_zeros=_has_leading_zeros(values),
        ascending=_ascends(numbers or _epochs(present, time_form)),
        low=min(numbers, default=0.0),
        high=max(numbers, default=0.0),
        time_form=time_form,
        time_certain=certain,
        words=fmean([len(value.split()) for value in values] or [0]),
        longest=max(map(len, values), default=0),
    )


def _number_form(values: Counter[str]) -> tuple[NumberForm | None, float]:
    """The first form in which the largest number of cells are numbers, and their share."""
    total = values.total()
    if not total:
        return None, 0.0
    counts: Counter[NumberForm] = Counter()
    for value, rows in values.items():
        for form in number_forms(value):
            counts[form] += rows
    if not counts:
        return None, 0.0
    best = max(counts.values())
    form = next(form for form in NUMBER_FORMS if counts[form] == best)
    return form, best / total


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
    if numbers:
        return epoch_form(numbers), True
    head = present[:_DATE_CHECKED]
    if date_form(head) is None:
        return None, True
    form = date_form(list(values))
    return form if form is not None else (None, True)


def _epochs(present: list[str], time_form: str | None) -> list[float]:
    """The times of a column whose values are no numbers."""
    if time_form is None:
        return []
    return [time for cell in present if (time := to_epoch(cell, time_form)) is not None]


def _ascends(numbers: list[float]) -> bool:
    return len(numbers) > 1 and all(second >= first for first, second in pairwise(numbers))


def _has_leading_zeros(values: Counter[str]) -> bool:
    return any(len(value) > 1 and value[0] == "0" and value.isdigit() for value in values)
