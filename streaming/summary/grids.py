"""Counts on the grid as parts of records."""

from __future__ import annotations

import numpy as np

from streaming.contracts.records import NumericGrid
from streaming.resolution import GridCounts


def grid_counts(grid: NumericGrid) -> GridCounts:
    """The counts of a record."""
    return GridCounts(
        np.array(grid.buckets, np.int64), np.array(grid.counts, np.int64), grid.fraction_bits
    )


def grid_record(counted: GridCounts) -> NumericGrid:
    """The record of these counts."""
    return NumericGrid(
        fraction_bits=counted.fraction_bits,
        buckets=tuple(counted.ids.tolist()),
        counts=tuple(counted.counts.tolist()),
    )
