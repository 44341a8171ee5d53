"""A bounded uniform sample of whole rows, for the correlations that counts per feature do not show.

A row's key is a hash of its topic, partition and offset. The sample keeps the rows with the
smallest keys, and the key below which all rows were kept (bottom-k, Cohen & Kaplan 2007; the theta
of Dasgupta et al. 2016). So the sample is the same however rows were fetched, merged or replayed.
A union of samples is cut at the smallest of their limits, so each row had the same probability,
also where windows differ in size. Only rows that are kept are encoded, each value as a small code.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streaming.contracts.model import FeatureSpec
from streaming.grid import Floats, bucket_of
from streaming.summary.columns import truncate_text

RowKeys = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint32]
Positions = npt.NDArray[np.int64]

MAX_ROWS = 512
"""Largest number of sampled rows of a partial summary or a window."""
MAX_REFERENCE_ROWS = 4_096
"""Largest number of sampled rows of a reference."""
MISSING, NON_FINITE = 0, 1
"""Codes of a missing and of a non-finite value."""
_MAX_UNCODED = 4 * MAX_ROWS
NO_LIMIT = 2**53
"""All keys are below this, so that every JSON reader represents them exactly."""
_CODE_OF_ZERO = 2**17
"""Code of grid bucket 0; it is larger than any negative bucket id."""
_HASHES = 2**24 - 2
"""Number of codes for category values, so that a code fits three bytes."""
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class SampledRows:
    """Sampled rows by ascending key."""

    keys: RowKeys
    codes: Codes
    """One row of codes per key, one column per judged feature."""
    below: int = NO_LIMIT
    """Every row with a smaller key is in the sample."""
    uncoded: tuple[tuple[RowKeys, pa.RecordBatch], ...] = ()
    """Keys and rows that may be kept and have no codes yet, see `encode_rows`."""

    @classmethod
    def empty(cls, features: int) -> SampledRows:
        """The sample of no rows."""
        return cls(np.empty(0, np.uint64), np.empty((0, features), np.uint32))


def row_keys(topic: str, partition: int, offsets: npt.ArrayLike) -> RowKeys:
    """The key of each row: a 64-bit hash (splitmix64, Steele et al. 2014), cut to 53 bits.

    >>> row_keys("rides", 0, [0, 1]).tolist() == row_keys("rides", 0, [0, 1]).tolist()
    True
    >>> len(set(row_keys("rides", 0, range(1000)).tolist()))
    1000
    """
    salt = np.uint64(zlib.crc32(f"{topic}/{partition}".encode()) << 31)
    z = (np.asarray(offsets, np.int64).astype(np.uint64) + salt) * _MIX
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    keys: RowKeys = z >> np.uint64(11)
    return keys


def add_rows(
    sample: SampledRows,
    specs: Sequence[FeatureSpec],
    batch: pa.RecordBatch,
    keys: RowKeys,
    *,
    max_text_bytes: int,
) -> SampledRows:
    """`sample` with the rows of `batch` added, whose keys are `keys`.

    New rows are stored without codes, because most are dropped before they would be encoded.

    Parameters
    ----------
    specs:
        The judged features, in the order of the columns of the codes.
    max_text_bytes:
        Length at which text values are cut.
    """
    small = np.flatnonzero(keys < np.uint64(sample.below))
    if len(small) > MAX_ROWS:
        small = small[np.argpartition(keys[small], MAX_ROWS)[: MAX_ROWS + 1]]
    if not len(small):
        return sample
    uncoded = (*sample.uncoded, (keys[small], batch.take(small)))
    all_keys = np.concatenate([sample.keys, *(batch_keys for batch_keys, _ in uncoded)])
    below = sample.below
    if len(all_keys) > MAX_ROWS:
        below = min(below, int(np.partition(all_keys, MAX_ROWS)[MAX_ROWS]))
    extended = replace(sample, below=below, uncoded=uncoded)
    if len(all_keys) > _MAX_UNCODED:
        return encode_rows(extended, specs, max_text_bytes=max_text_bytes)
    return extended


def encode_rows(
    sample: SampledRows, specs: Sequence[FeatureSpec], *, max_text_bytes: int
) -> SampledRows:
    """`sample` with all kept rows encoded, and no uncoded row left."""
    parts = [SampledRows(sample.keys, sample.codes, sample.below)]
    for keys, batch in _concatenate_batches(sample.uncoded):
        kept = np.flatnonzero(keys < np.uint64(sample.below))
        if len(kept):
            codes = _codes(specs, batch, kept, max_text_bytes)
            parts.append(SampledRows(keys[kept], codes, sample.below))
    return merge_samples(parts)


def _concatenate_batches(
    uncoded: Sequence[tuple[RowKeys, pa.RecordBatch]],
) -> Iterator[tuple[RowKeys, pa.RecordBatch]]:
    """Joins consecutive batches of one schema into one, because the cost is per call."""
    for _, group in groupby(uncoded, key=lambda entry: entry[1].schema):
        entries = list(group)
        table = pa.Table.from_batches([batch for _, batch in entries]).combine_chunks()
        yield np.concatenate([keys for keys, _ in entries]), table.to_batches()[0]


def merge_samples(samples: Iterable[SampledRows], *, max_rows: int = MAX_ROWS) -> SampledRows:
    """The union of encoded samples, cut to the `max_rows` smallest keys; order does not matter."""
    parts = list(samples)
    below = min(part.below for part in parts)
    keys, first = np.unique(np.concatenate([part.keys for part in parts]), return_index=True)
    kept = int(np.searchsorted(keys, np.uint64(below)))
    if kept > max_rows:
        below, kept = int(keys[max_rows]), max_rows
    codes = np.concatenate([part.codes for part in parts])[first[:kept]]
    return SampledRows(keys[:kept], codes, below)


def code_of_value(value: str) -> int:
    """The code of a category's value: a hash of three bytes.

    >>> code_of_value("cash") == code_of_value("cash") != code_of_value("card")
    True
    """
    return 2 + zlib.crc32(value.encode()) % _HASHES


def _codes(
    specs: Sequence[FeatureSpec], batch: pa.RecordBatch, kept: Positions, max_text_bytes: int
) -> Codes:
    codes = np.zeros((len(kept), len(specs)), np.uint32)
    positions = {name: at for at, name in enumerate(batch.schema.names)}
    numbers: dict[int, pa.Array[Any]] = {}
    for at, spec in enumerate(specs):
        if spec.name not in positions:
            continue
        column = batch.column(positions[spec.name])
        if spec.kind == "text" or spec.categorical:
            codes[:, at] = _value_codes(spec, column.take(kept), max_text_bytes)
        else:
            numbers[at] = column
    if numbers:
        pivots = np.array([specs[at].pivot for at in numbers])
        codes[:, list(numbers)] = _number_codes(list(numbers.values()), pivots, kept)
    return codes


def _number_codes(columns: Sequence[pa.Array[Any]], pivots: Floats, kept: Positions) -> Codes:
    """Codes of all number columns at once: for so few rows, calls cost more than the work."""
    values = np.empty((len(kept), len(columns)))
    missing = np.zeros(values.shape, bool)
    for at, column in enumerate(columns):
        if column.null_count:
            taken = column.take(kept)
            missing[:, at] = taken.is_null().to_numpy(zero_copy_only=False)
            values[:, at] = taken.fill_null(0.0 if pa.types.is_floating(taken.type) else 0)
        else:
            values[:, at] = column.to_numpy(zero_copy_only=False)[kept]
    finite = np.isfinite(values)
    with np.errstate(over="ignore"):
        ids = bucket_of(np.where(finite, values, 0.0) - pivots).reshape(values.shape)
    codes = np.where(finite, ids.astype(np.int64) + _CODE_OF_ZERO, NON_FINITE)
    return np.where(missing, MISSING, codes).astype(np.uint32)


def _value_codes(spec: FeatureSpec, column: pa.Array[Any], max_text_bytes: int) -> Codes:
    encoded: Any = column.dictionary_encode()
    is_text = spec.kind == "text"
    codes = [
        _code(value, max_text_bytes if is_text else 0) for value in encoded.dictionary.to_pylist()
    ]
    positions = encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
    column_codes: Codes = np.array([*codes, MISSING], np.uint32)[positions]
    return column_codes


@lru_cache(maxsize=16_384, typed=True)
def _code(value: object, max_text_bytes: int) -> int:
    """The code of a value by its name in `columns`; `max_text_bytes` is 0 where text is not cut."""
    if isinstance(value, float):
        return code_of_value(repr(value + 0.0)) if isfinite(value) else NON_FINITE
    if max_text_bytes:
        return code_of_value(truncate_text(str(value).encode("utf-8", "replace"), max_text_bytes))
    return code_of_value(str(value))


def pack(sample: SampledRows) -> bytes:
    """The sample as compressed bytes: key differences, then the codes by column and byte."""
    differences = np.diff(sample.keys, prepend=np.uint64(0))
    planes = np.ascontiguousarray(sample.codes.T).astype("<u4").view(np.uint8)
    planes = planes.reshape(sample.codes.shape[1], len(sample.keys), 4)[:, :, :3]
    wide = differences.astype("<u8").view(np.uint8).reshape(len(differences), 8)
    raw = wide.T.tobytes() + np.ascontiguousarray(planes.transpose(0, 2, 1)).tobytes()
    return zlib.compress(raw, 1)  # 3 % larger than level 6 in a third of the time


def unpack(data: bytes, *, rows: int, features: int, below: int) -> SampledRows:
    """The sample that `pack` wrote.

    Raises
    ------
    ValueError
        When the bytes hold no such sample.
    """
    if rows < 0 or not 0 <= below <= NO_LIMIT:
        raise ValueError(f"a sample of {rows} rows below {below}")
    size = rows * (8 + 3 * features)
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"a sample that cannot be unpacked ({error})") from error
    if len(raw) != size:
        raise ValueError(f"a sample of {len(raw)} bytes, not {size}")
    wide = np.frombuffer(raw, np.uint8, 8 * rows).reshape(8, rows)
    keys = np.cumsum(np.ascontiguousarray(wide.T).view("<u8").ravel(), dtype=np.uint64)
    planes = np.zeros((features, rows, 4), np.uint8)
    coded = np.frombuffer(raw, np.uint8, offset=8 * rows).reshape(features, 3, rows)
    planes[:, :, :3] = coded.transpose(0, 2, 1)
    codes = planes.reshape(features, rows * 4).view("<u4").T
    return SampledRows(keys, np.ascontiguousarray(codes).astype(np.uint32), below)
