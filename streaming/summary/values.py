"""Counts by value, with a bound.

Hostile or careless data may hold a million distinct values. A part of a summary keeps the
`MOST_PARTIAL_VALUES` most frequent, a finished summary `MOST_VALUES` and at most
`MOST_VALUE_BYTES` of text; the rows of all others are added up as the tail. Up to the first
bound the finished summary does not depend on the order in which parts were merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streaming.contracts.records import Categories

MOST_VALUES = 1_000
MOST_PARTIAL_VALUES = 4 * MOST_VALUES
MOST_VALUE_BYTES = 128 * 1024


def add_values(
    many: Iterable[Mapping[str, int]], *, most: int = MOST_PARTIAL_VALUES
) -> tuple[dict[str, int], int]:
    """Counts added up, cut to the `most` frequent values, and the rows that were cut off.

    >>> add_values([{"cash": 2, "card": 1}, {"card": 3, "app": 1}], most=2)
    ({'card': 4, 'cash': 2}, 1)
    """
    total: dict[str, int] = {}
    for counts in many:
        if total:
            for value, count in counts.items():
                total[value] = total.get(value, 0) + count
        else:
            total = dict(counts)
    if len(total) <= most:
        return total, 0
    ranked = rank(total)
    return dict(ranked[:most]), sum(count for _, count in ranked[most:])


def rank(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Values by count descending, then by value: the one order everywhere."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def bounded(counts: Mapping[str, int], tail_rows: int) -> Categories:
    """The record of these counts, cut to what a record may hold.

    >>> bounded({"card": 1, "cash": 5}, 2)
    Categories(values=('cash', 'card'), counts=(5, 1), tail_rows=2)
    """
    kept: list[tuple[str, int]] = []
    room = MOST_VALUE_BYTES
    ranked = rank(counts)
    for value, count in ranked[:MOST_VALUES]:
        room -= len(value.encode())
        if room < 0:
            break
        kept.append((value, count))
    return Categories(
        values=tuple(value for value, _ in kept),
        counts=tuple(count for _, count in kept),
        tail_rows=tail_rows + sum(count for _, count in ranked[len(kept) :]),
    )
