"""Which rows are set aside before training: those that break the schema by themselves. Pure.

A row is set aside when a required column has no value, or a number lies outside its domain. A new
value of a text is none of these: it is change, which the new version has to learn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streaming.contracts.tolerance import Breach

Violation = tuple[str, str]
"""Column, and TFDV's name of the anomaly that the value would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """What a schema requires of one column in every row."""

    name: str
    required: bool = False
    """Whether every row must have a value."""
    low: float = float("-inf")
    """Smallest value of a number."""
    high: float = float("inf")
    """Largest value of a number."""
    integer: bool = False
    """Whether the column holds integers; it determines TFDV's names."""

    @property
    def codes(self) -> tuple[str, str]:
        """TFDV's names for a value below and above the domain."""
        if self.integer:
            return "INT_TYPE_SMALL_INT", "INT_TYPE_BIG_INT"
        return "FLOAT_TYPE_SMALL_FLOAT", "FLOAT_TYPE_BIG_FLOAT"


def violation(
    values: Mapping[str, int | float | str | None], rules: Sequence[ColumnRule]
) -> Violation | None:
    """The first rule that a row breaks; None when it keeps all.

    >>> rules = [ColumnRule(name="fare", required=True, low=0.0)]
    >>> violation({"fare": 2.5}, rules), violation({"fare": -1.0}, rules)
    (None, ('fare', 'FLOAT_TYPE_SMALL_FLOAT'))
    >>> violation({"fare": None}, rules)
    ('fare', 'FEATURE_TYPE_LOW_FRACTION_PRESENT')
    """
    for rule in rules:
        value = values[rule.name]
        if value is None:
            if rule.required:
                return rule.name, "FEATURE_TYPE_LOW_FRACTION_PRESENT"
        elif not isinstance(value, str):
            if value < rule.low:
                return rule.name, rule.codes[0]
            if value > rule.high:
                return rule.name, rule.codes[1]
    return None


def breaches_by_column(violations: Iterable[Violation], *, of_rows: int) -> tuple[Breach, ...]:
    """How many of `of_rows` rows were set aside, by column and code."""
    counts = Counter(violations)
    return tuple(
        Breach(feature=name, code=code, rows=rows, of_rows=of_rows)
        for (name, code), rows in sorted(counts.items())
    )


def describe_rows(breaches: Iterable[Breach]) -> str:
    """Rows that were set aside, in words; empty when there are none.

    >>> describe_rows([Breach(feature="fare", code="INT_TYPE_BIG_INT", rows=2, of_rows=9)])
    '2 set aside (2 fare INT_TYPE_BIG_INT)'
    """
    listed = list(breaches)
    if not listed:
        return ""
    parts = ", ".join(f"{b.rows} {b.feature} {b.code}" for b in listed)
    return f"{sum(b.rows for b in listed)} set aside ({parts})"
