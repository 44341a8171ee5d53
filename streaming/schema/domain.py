"""How many rows of a window lie outside a text's domain.

A window lists its frequent values only; all other rows are its tail. A value of the domain has at
most `error` rows in the tail, whether it is listed or not, so with K values in the domain at least

    listed rows outside + max(0, tail - K error)

rows lie outside. For a large domain that bound says little. The window's sample of whole rows then
gives an estimate: it holds a code of each value, and one of 2^24 codes seldom belongs to a value of
the domain by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.contracts.errors import DecodeError
from streaming.contracts.records import Categories, WindowSummary
from streaming.schema.columns import Column
from streaming.summary.sample import MISSING, NON_FINITE, code_of_value
from streaming.summary.sample_records import read_sample


@dataclass(frozen=True, slots=True)
class OutsideRows:
    """Rows outside a domain."""

    rows: int
    """Number of them, at least."""
    n: int
    """Number of rows that have a value."""
    values: tuple[str, ...]
    """The listed values outside, most frequent first."""
    exact: bool
    """Whether there are no more than `rows`."""
    sampled: bool = False
    """Whether both numbers are those of the sample."""


def count_outside(column: Column, categories: Categories, n: int) -> OutsideRows:
    """The rows of a window outside a column's domain, by the window's counts.

    >>> counted = Categories(values=("cash",), counts=(60,), tail_rows=40, error=1)
    >>> count_outside(Column(name="payment", values=("cash", "card")), counted, 100).rows
    38
    """
    known = frozenset(column.values)
    pairs = zip(categories.values, categories.counts, strict=True)
    outside = {value: count for value, count in pairs if value not in known}
    hidden = min(categories.tail_rows, categories.error * len(known))
    rows = sum(outside.values()) + categories.tail_rows - hidden
    return OutsideRows(rows, n, tuple(outside), exact=not hidden)


def sample_outside(column: Column, window: WindowSummary) -> OutsideRows | None:
    """The same by the window's sample of rows; None where it has none of this column."""
    sample = window.sample
    if sample is None or column.name not in sample.features:
        return None
    try:
        codes = read_sample(sample).codes[:, sample.features.index(column.name)]
    except DecodeError:
        return None
    codes = codes[(codes != MISSING) & (codes != NON_FINITE)]
    known = np.array([code_of_value(value) for value in column.values], codes.dtype)
    rows = int(np.count_nonzero(~np.isin(codes, known)))
    return OutsideRows(rows, len(codes), (), exact=False, sampled=True)
