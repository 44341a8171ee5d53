"""Count records of values for the tests of statistics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streaming.contracts.records import Categories, NumericGrid
from streaming.grid import MAX_FRACTION_BITS
from streaming.resolution import count_numbers
from streaming.summary.grids import grid_record


def grid(values: npt.ArrayLike, max_bits: int = MAX_FRACTION_BITS) -> NumericGrid:
    """The counts of numbers on the universal grid, at `max_bits` at most."""
    return grid_record(count_numbers(np.asarray(values, float)).at(max_bits))


def categories(tail: int = 0, **counts: int) -> Categories:
    """The counts of categories, with `tail` rows of values that are not named."""
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return Categories(
        values=tuple(value for value, _ in ranked),
        counts=tuple(count for _, count in ranked),
        tail_rows=tail,
    )
