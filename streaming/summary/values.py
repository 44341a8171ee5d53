"""Counts by value: exact up to a bound, and heavy hitters with a known error beyond it.

Data may hold a million distinct values, by accident or on purpose. A partial summary keeps at most
`MAX_PARTIAL_VALUES` of them by the algorithm of Misra & Gries (1982) in its mergeable form
(Agarwal et al. 2013): when there are more, the count of the first value that has no room is
subtracted from every count, and values whose count is not positive are dropped. So no value is
counted too often, and no count is too low by more than the `error`, which is at most rows / (bound
+ 1) however partial summaries were made and merged. A value that is spread thinly over many parts
is still found, while cutting the tail of each part would lose it.

A finished summary lists at most `MAX_VALUES` values and `MAX_VALUE_BYTES` of text; the error grows
by the first count that is left out. Rows that are counted for no value are added up as the tail. Up
to the first bound the finished summary does not depend on the order of merging.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

import numpy as np

from streaming.contracts.records import Categories
from streaming.grid import Integers

MAX_VALUES = 1_000
"""Largest number of values in a finished summary."""
MAX_PARTIAL_VALUES = 4 * MAX_VALUES
"""Largest number of values in a partial summary."""
MAX_VALUE_BYTES = 128 * 1024
"""Largest number of bytes of the values in a finished summary."""


def add_values(
    parts: Iterable[Mapping[str, int]], *, max_values: int = MAX_PARTIAL_VALUES
) -> tuple[dict[str, int], int, int]:
    """Adds counts by value and keeps at most `max_values` values.

    Returns the counts, the number of rows that they no longer include, and the error: how much a
    single count may be too low.

    >>> add_values([{"cash": 2, "card": 1}, {"card": 3, "app": 1}], max_values=2)
    ({'cash': 1, 'card': 3}, 3, 1)
    >>> add_values([{"cash": 2, "card": 1}, {"card": 3, "app": 1}], max_values=3)
    ({'cash': 2, 'card': 4, 'app': 1}, 0, 0)
    """
    total: dict[str, int] = {}
    for counts in parts:
        if total:
            for value, count in counts.items():
                total[value] = total.get(value, 0) + count
        else:
            total = dict(counts)
    if len(total) <= max_values:
        return total, 0, 0
    error = required_reduction(np.fromiter(total.values(), np.int64, len(total)), max_values)
    kept = {value: count - error for value, count in total.items() if count > error}
    return kept, sum(total.values()) - sum(kept.values()), error


def required_reduction(counts: Integers, max_values: int) -> int:
    """The amount to subtract from each of more than `max_values` counts so that at most
    `max_values` stay positive.

    >>> required_reduction(np.array([5, 1, 3, 2]), 2)
    2
    """
    first_without_room = len(counts) - max_values - 1
    return int(np.partition(counts, first_without_room)[first_without_room])


def rank(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Values by count descending, then by value; every list of values uses this order."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def bounded_categories(counts: Mapping[str, int], tail_rows: int, error: int = 0) -> Categories:
    """The record of these counts, cut to the bounds of a finished summary.

    >>> bounded_categories({"card": 1, "cash": 5}, 2)
    Categories(values=('cash', 'card'), counts=(5, 1), tail_rows=2, error=0)
    """
    ranked = rank(counts)
    kept = ranked[:MAX_VALUES]
    if len("".join([value for value, _ in kept]).encode()) > MAX_VALUE_BYTES:
        sizes = accumulate(len(value.encode()) for value, _ in kept)
        kept = kept[: sum(size <= MAX_VALUE_BYTES for size in sizes)]
    return Categories(
        values=tuple(value for value, _ in kept),
        counts=tuple(count for _, count in kept),
        tail_rows=tail_rows + sum(count for _, count in ranked[len(kept) :]),
        error=error + (ranked[len(kept)][1] if len(kept) < len(ranked) else 0),
    )
