"""Counts by value: exact up to a bound, the heavy hitters with a known error beyond it.

Hostile or careless data may hold a million distinct values. A part of a summary keeps at most
`MAX_PARTIAL_VALUES` of them by the rule of Misra & Gries (1982) in its mergeable form (Agarwal et
al. 2013): when there are more, the count of the first that has no room is taken off every count,
and what is left of no value goes. So no value is counted too often, and none is missed by more
than the `error`, which is at most rows / (bound + 1) however parts were made and merged. A value
that is spread thinly over many parts is found all the same; cutting each part's tail would lose it.

A finished summary lists `MAX_VALUES` and at most `MAX_VALUE_BYTES` of text; the error grows by
the first count that is left out. Rows that are counted for no value are added up as the tail. Up to
the first bound the finished summary does not depend on the order in which parts were merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from streaming.contracts.records import Categories
from streaming.grid import Integers

MAX_VALUES = 1_000
MAX_PARTIAL_VALUES = 4 * MAX_VALUES
MAX_VALUE_BYTES = 128 * 1024


def add_values(
    many: Iterable[Mapping[str, int]], *, most: int = MAX_PARTIAL_VALUES
) -> tuple[dict[str, int], int, int]:
    """Counts of at most `most` values, the rows that they lack, and how much a value may lack.

    >>> add_values([{"cash": 2, "card": 1}, {"card": 3, "app": 1}], most=2)
    ({'cash': 1, 'card': 3}, 3, 1)
    >>> add_values([{"cash": 2, "card": 1}, {"card": 3, "app": 1}], most=3)
    ({'cash': 2, 'card': 4, 'app': 1}, 0, 0)
    """
    total: dict[str, int] = {}
    for counts in many:
        if total:
            for value, count in counts.items():
                total[value] = total.get(value, 0) + count
        else:
            total = dict(counts)
    if len(total) <= most:
        return total, 0, 0
    error = taken_off(np.fromiter(total.values(), np.int64, len(total)), most)
    kept = {value: count - error for value, count in total.items() if count > error}
    return kept, sum(total.values()) - sum(kept.values()), error


def taken_off(counts: Integers, most: int) -> int:
    """What every one of more than `most` counts has to give so that `most` are left at most.

    >>> taken_off(np.array([5, 1, 3, 2]), 2)
    2
    """
    return int(np.partition(counts, len(counts) - most - 1)[len(counts) - most - 1])


def rank(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Values by count descending, then by value: the one order everywhere."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def bounded(counts: Mapping[str, int], tail_rows: int, error: int = 0) -> Categories:
    """The record of these counts, cut to what a record may hold.

    >>> bounded({"card": 1, "cash": 5}, 2)
    Categories(values=('cash', 'card'), counts=(5, 1), tail_rows=2, error=0)
    """
    kept: list[tuple[str, int]] = []
    room = MAX_VALUE_BYTES
    ranked = rank(counts)
    for value, count in ranked[:MAX_VALUES]:
        room -= len(value.encode())
        if room < 0:
            break
        kept.append((value, count))
    return Categories(
        values=tuple(value for value, _ in kept),
        counts=tuple(count for _, count in kept),
        tail_rows=tail_rows + sum(count for _, count in ranked[len(kept) :]),
        error=error + (ranked[len(kept)][1] if len(kept) < len(ranked) else 0),
    )
