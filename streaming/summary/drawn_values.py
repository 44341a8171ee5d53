"""One value of each list, drawn by the row's key, in place of the list.

The drift tests assume that rows are independent and that each has one value. The values of one list
are not independent (tags that always come together would count as two findings), so a row counts
for one of its values. The draw is uniform and depends on the row's key and the feature only, so it
is the same however rows were fetched, merged or replayed. A value's share is the mean, over the
rows that have any, of 1 / length where the list has it and 0 where not.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streaming.contracts.listed import SEPARATOR
from streaming.contracts.model import FeatureSpec

_MIX = np.uint64(0x9E3779B97F4A7C15)


def with_drawn_values(
    batch: pa.RecordBatch, features: Iterable[FeatureSpec], keys: npt.NDArray[np.uint64] | None
) -> pa.RecordBatch:
    """The batch with one value in place of each list.

    Parameters
    ----------
    keys:
        `row_keys` of the rows; None = the rows' positions.
    """
    for spec in features:
        at = batch.schema.get_field_index(spec.name)
        if spec.multivalent and at >= 0:
            numbers = np.arange(batch.num_rows, dtype=np.uint64) if keys is None else keys
            batch = batch.set_column(at, spec.name, _drawn(batch.column(at), spec.name, numbers))
    return batch


def _drawn(column: pa.Array[Any], name: str, keys: npt.NDArray[np.uint64]) -> pa.Array[Any]:
    texts: Any = column.cast(pa.string())
    lists: Any = pc.split_pattern(texts, SEPARATOR)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.uint64)
    # Mixed with the feature's name, so that two lists of a row are drawn from independently.
    mixed = (keys ^ np.uint64(zlib.crc32(name.encode()))) * _MIX >> np.uint64(11)
    places = mixed % np.maximum(lengths, np.uint64(1))
    starts = np.cumsum(lengths) - lengths
    positions: Any = pa.array((starts + places).astype(np.int64), mask=lengths == 0)
    drawn: pa.Array[Any] = lists.flatten().take(positions)
    return drawn
