"""Counts one Arrow column in one pass, without a Python loop over rows.

Python loops run only over the distinct text values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streaming.contracts.errors import PermanentError
from streaming.contracts.model import FeatureSpec
from streaming.grid import MAX_FRACTION_BITS, Floats, Integers, count_ids
from streaming.resolution import GridCounts, count_numbers
from streaming.summary.moments import NO_MOMENTS, Moments, counted_moments, moments


def _no_ids() -> Integers:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeaturePart:
    """Counts of one feature in a partial summary."""

    missing: int = 0
    non_finite: int = 0
    ids: Integers = field(default_factory=_no_ids)
    """Grid buckets, or the values of an integer category; ascending."""
    counts: Integers = field(default_factory=_no_ids)
    """Rows per id, parallel to `ids`."""
    fraction_bits: int = MAX_FRACTION_BITS
    """Bits of the grid buckets; of no meaning for an integer category."""
    values: Mapping[str, int] = field(default_factory=dict)
    """Rows per value, of text and of categories of other numbers."""
    tail_rows: int = 0
    """Rows that are counted for no value, because of the bound on distinct values."""
    error: int = 0
    """How many of those rows a single value may lack at most."""
    moments: Moments = NO_MOMENTS
    """Moments of a number. They include the rows of the tail."""

    @property
    def grid(self) -> GridCounts:
        """The counts of a number on the grid."""
        return GridCounts(self.ids, self.counts, self.fraction_bits)


def count_column(spec: FeatureSpec, column: pa.Array[Any], max_text_bytes: int) -> FeaturePart:
    """The counts of one feature's column.

    Raises
    ------
    PermanentError
        When the column cannot be read as the contract's kind.
    """
    try:
        if spec.kind == "text":
            return _texts(column, max_text_bytes)
        if not spec.categorical:
            return _numbers(column)
        return _integers(column) if spec.kind == "integer" else _number_values(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise PermanentError(
            f"Column {spec.name} has type {column.type}; the contract says {spec.kind}. "
            f"Decode by the contract first ({error})."
        ) from error


def _numbers(column: pa.Array[Any]) -> FeaturePart:
    values, missing, non_finite = _finite(column)
    counted = count_numbers(values)
    return FeaturePart(
        missing=missing,
        non_finite=non_finite,
        ids=counted.ids,
        counts=counted.counts,
        fraction_bits=counted.fraction_bits,
        moments=moments(values),
    )


def _number_values(column: pa.Array[Any]) -> FeaturePart:
    values, missing, non_finite = _finite(column)
    distinct, counts = np.unique(values, return_counts=True)
    by_value: dict[str, int] = {}
    for value, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        name = repr(value + 0.0)
        by_value[name] = by_value.get(name, 0) + count
    return FeaturePart(
        missing=missing,
        non_finite=non_finite,
        values=by_value,
        moments=counted_moments(distinct, counts.astype(np.int64)),
    )


def _finite(column: pa.Array[Any]) -> tuple[Floats, int, int]:
    """The finite values, the number of missing values, and the number of NaN or infinite ones."""
    missing = column.null_count
    dense = column.drop_null() if missing else column
    if not pa.types.is_float64(dense.type):
        dense = dense.cast(pa.float64(), safe=False)
    values: Floats = dense.to_numpy(zero_copy_only=False)
    rows = len(values)
    # the sum of the ends is finite only if all values are, and mostly if they are
    if rows and not isfinite(float(values.min()) + float(values.max())):
        values = values[np.isfinite(values)]
    return values, missing, rows - len(values)


def _integers(column: pa.Array[Any]) -> FeaturePart:
    missing = column.null_count
    dense = (column.drop_null() if missing else column).cast(pa.int64())
    ids, counts = count_ids(dense.to_numpy(zero_copy_only=False))
    numbers = ids.astype(np.float64)
    return FeaturePart(
        missing=missing, ids=ids, counts=counts, moments=counted_moments(numbers, counts)
    )


def _texts(column: pa.Array[Any], max_bytes: int) -> FeaturePart:
    missing = column.null_count
    dense = column.drop_null() if missing else column
    if not (pa.types.is_string(dense.type) or pa.types.is_large_string(dense.type)):
        dense = dense.cast(pa.string())
    counted = pc.value_counts(dense)
    raw = counted.field("values").cast(
        pa.large_binary() if pa.types.is_large_string(dense.type) else pa.binary()
    )
    values: dict[str, int] = {}
    counts = counted.field("counts").to_numpy().tolist()
    for data, count in zip(raw.to_pylist(), counts, strict=True):
        name = truncate_text(data or b"", max_bytes)
        values[name] = values.get(name, 0) + count
    return FeaturePart(missing=missing, values=values)


def truncate_text(data: bytes, max_bytes: int) -> str:
    """The text in `data`, cut to at most `max_bytes` at a character boundary.

    >>> truncate_text("für".encode(), 2)
    'f'
    """
    if len(data) > max_bytes:
        return data[:max_bytes].decode("utf-8", "ignore")
    return data.decode("utf-8", "replace")
