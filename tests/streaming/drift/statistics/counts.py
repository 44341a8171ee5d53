"""Count records of values for the tests of statistics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streaming.contracts.records import Categories, NumericGrid
from streaming.grid import bucket_of, count_ids


def grid(values: npt.ArrayLike, pivot: float = 0.0) -> NumericGrid:
    """The counts of numbers on the universal grid."""
    ids, counts = count_ids(bucket_of(np.asarray(values, float) - pivot))
    return NumericGrid(pivot=pivot, buckets=tuple(ids.tolist()), counts=tuple(counts.tolist()))


def categories(tail: int = 0, **counts: int) -> Categories:
    """The counts of categories, with `tail` rows of values that are not named."""
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return Categories(
        values=tuple(value for value, _ in ranked),
        counts=tuple(count for _, count in ranked),
        tail_rows=tail,
    )
