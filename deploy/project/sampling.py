"""Takes a sample of a file's rows while it streams by.

Rule: a row is in the sample when the hash of its number is below a bound. All rows are, until there
are more than twice the limit; then the bound is halved, and so on. So the sample has about the
limit to twice of it, keeps the file's order, and the same file gives the same sample. A fixed
stride would see one half only of rows that alternate.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SAMPLE_ROWS = 20_000
"""The sample of a larger file has this number of rows to twice of it."""


class Sample:
    """Rows of a stream of blocks.

    >>> sample = Sample(limit=4)
    >>> sample.add(pa.RecordBatch.from_pydict({"a": [str(number) for number in range(8)]}))
    >>> sample.rows, sample.columns()
    (8, {'a': ['0', '1', '2', '3', '4', '5', '6', '7']})
    """

    def __init__(self, limit: int = SAMPLE_ROWS) -> None:
        self.rows = 0
        """Rows that were seen."""
        self._limit = limit
        self._bound = 2**63
        """Rows with a smaller hash, of 63 bits, are in the sample."""
        self._hashes: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._table: pa.Table | None = None

    def add(self, block: pa.RecordBatch) -> None:
        """Take the block's share."""
        hashes = _hash(np.arange(self.rows, self.rows + block.num_rows, dtype=np.uint64))
        self.rows += block.num_rows
        kept = hashes < self._bound
        table = pa.Table.from_batches([block.filter(pa.array(kept))])
        self._table = table if self._table is None else pa.concat_tables([self._table, table])
        self._hashes = np.concatenate([self._hashes, hashes[kept]])
        while len(self._hashes) > 2 * self._limit:
            self._bound //= 2
            kept = self._hashes < self._bound
            self._hashes = self._hashes[kept]
            self._table = self._table.filter(pa.array(kept))

    def columns(self) -> dict[str, list[str]]:
        """The sample's cells, by column."""
        if self._table is None:
            return {}
        table = self._table
        return {
            name: [cell or "" for cell in table[name].to_pylist()] for name in table.column_names
        }


def sample_of(blocks: Iterable[pa.RecordBatch], limit: int = SAMPLE_ROWS) -> Sample:
    """The sample of all blocks."""
    sample = Sample(limit)
    for block in blocks:
        sample.add(block)
    return sample


def _hash(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """63 bits of SplitMix64's output function (Steele, Lea and Flood, 2014)."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)
