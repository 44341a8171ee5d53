"""Keeps rows on disk, sorted into buckets by the hash of their key.

A replay has to drop duplicates, join labels and sort by the hash of the key. Rows with equal keys
are in the same bucket, and the buckets are in the order of the hash, so all three are done bucket
by bucket: memory holds the rows of one bucket, however many there are in all.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrain.engines.kafka.record_columns import KEY
from streaming.contracts.ids import number_of

BUCKET_ROWS = 50_000
"""Rows that a bucket has about."""

HASH = "\0hash"
"""Column of the key's hash, 64 bits."""

_MAX_BUCKETS = 256


def buckets_for(rows: int) -> int:
    """Number of buckets for `rows` rows, a power of two.

    >>> buckets_for(10), buckets_for(1_000_000)
    (1, 32)
    """
    needed = -(-rows // BUCKET_ROWS)
    return int(min(_MAX_BUCKETS, 1 << max(0, needed - 1).bit_length()))


class RowBuckets:
    """Rows with the columns of `schema` and their key's hash, in files below `folder`."""

    def __init__(self, folder: Path, schema: pa.Schema, buckets: int) -> None:
        folder.mkdir(parents=True)
        self._schema = schema.append(pa.field(HASH, pa.uint64()))
        self._files = [folder / f"{number:03d}.arrow" for number in range(buckets)]
        self._sinks: list[Any] = [pa.OSFile(str(file), "wb") for file in self._files]
        self._writers = [pa.ipc.new_file(sink, self._schema) for sink in self._sinks]
        self._shift = np.uint64(64 - (buckets.bit_length() - 1))

    def __len__(self) -> int:
        """Number of buckets."""
        return len(self._files)

    def add(self, batch: pa.RecordBatch) -> None:
        """Append rows; rows of one key keep their order."""
        keys: Any = batch.column(KEY)
        hashes = hashes_of(keys.to_pylist())
        arrays = [*batch.columns, pa.array(hashes)]
        hashed = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        if len(self._files) == 1:
            self._writers[0].write_batch(hashed)
            return
        buckets = hashes >> self._shift
        order = np.argsort(buckets, kind="stable")
        sorted_rows = hashed.take(order)
        ends = np.searchsorted(buckets[order], np.arange(len(self._files)), side="right")
        start = 0
        for writer, end in zip(self._writers, ends.tolist(), strict=True):
            if end > start:
                writer.write_batch(sorted_rows.slice(start, end - start))
            start = end

    def finish(self) -> None:
        """Write all rows to the files; nothing can be added after that."""
        for writer, sink in zip(self._writers, self._sinks, strict=True):
            writer.close()
            sink.close()

    def read(self, bucket: int) -> pa.Table:
        """The rows of a bucket, in the order in which they were added."""
        with pa.OSFile(str(self._files[bucket]), "rb") as file:
            return pa.ipc.open_file(file).read_all().combine_chunks()


def hashes_of(keys: Iterable[str]) -> NDArray[np.uint64]:
    """The hash of each key by which rows are sorted and split."""
    return np.array([number_of(key, size=8) for key in keys], np.uint64)
