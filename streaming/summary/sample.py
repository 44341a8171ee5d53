"""A bounded uniform sample of whole rows: what counts per feature cannot tell, how features move
together.

A row's key is a hash of its topic, partition and offset; the rows with the smallest keys are kept,
and the key below which all were kept (bottom-k, Cohen & Kaplan 2007; the theta of Dasgupta et al.
2016). So the sample is the same however rows were fetched, merged or replayed, and a union of
samples is cut at the smallest of their limits: then each row had the same chance, also where
windows differ in size. Only rows that stay are looked at; a value is kept as a small code.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streaming.contracts.model import FeatureSpec
from streaming.grid import bucket_of
from streaming.summary.columns import cut

Keys = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint32]

MOST_ROWS = 512
"""Rows of a part or a window."""
MOST_REFERENCE_ROWS = 4_096
MISSING, NON_FINITE = 0, 1
NO_LIMIT = 2**53
"""Keys lie below this, so that any reader of JSON holds them exactly."""
_GRID_ZERO = 2**17
_HASHES = 2**24 - 2
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows by ascending key; `codes` has a column for each judged feature."""

    keys: Keys
    codes: Codes
    below: int = NO_LIMIT
    """Every row with a smaller key is here."""

    @classmethod
    def empty(cls, features: int) -> Sample:
        """Of no rows."""
        return cls(np.empty(0, np.uint64), np.empty((0, features), np.uint32))


def row_keys(topic: str, partition: int, offsets: npt.ArrayLike) -> Keys:
    """The key of each row: a mix of 64 bits (splitmix64, Steele et al. 2014), cut to 53.

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
    keys: Keys = z >> np.uint64(11)
    return keys


def add_rows(
    sample: Sample,
    specs: Sequence[FeatureSpec],
    batch: pa.RecordBatch,
    keys: Keys,
    *,
    most_text_bytes: int,
) -> Sample:
    """`sample` with the rows of `batch`, whose keys are `keys`.

    Parameters
    ----------
    specs:
        The judged features, as columns of the codes.
    """
    small = np.flatnonzero(keys < np.uint64(sample.below))
    below = sample.below
    if len(small) > MOST_ROWS:
        ordered = np.argpartition(keys[small], MOST_ROWS)
        below = int(keys[small[ordered[MOST_ROWS]]])
        small = small[ordered[:MOST_ROWS]]
    if not len(small):
        return sample
    place = {name: at for at, name in enumerate(batch.schema.names)}
    codes = np.zeros((len(small), len(specs)), np.uint32)
    for at, spec in enumerate(specs):
        if spec.name in place:
            column = batch.column(place[spec.name]).take(small)
            codes[:, at] = _codes(spec, column, most_text_bytes)
    return merge_samples([sample, Sample(keys[small], codes, below)])


def merge_samples(samples: Iterable[Sample], *, most: int = MOST_ROWS) -> Sample:
    """The union, cut to the `most` smallest keys; in any order the same."""
    together = list(samples)
    below = min(one.below for one in together)
    keys, first = np.unique(np.concatenate([one.keys for one in together]), return_index=True)
    kept = int(np.searchsorted(keys, np.uint64(below)))
    if kept > most:
        below, kept = int(keys[most]), most
    codes = np.concatenate([one.codes for one in together])[first[:kept]]
    return Sample(keys[:kept], codes, below)


def code_of_value(value: str) -> int:
    """The code of a category's value: a short hash.

    >>> code_of_value("cash") == code_of_value("cash") != code_of_value("card")
    True
    """
    return 2 + zlib.crc32(value.encode()) % _HASHES


def _codes(spec: FeatureSpec, column: pa.Array[Any], most_text_bytes: int) -> Codes:
    if spec.kind == "text" or spec.categorical:
        return _of_values(spec, column, most_text_bytes)
    gone = column.is_null().to_numpy(zero_copy_only=False)
    if not pa.types.is_float64(column.type):
        column = column.cast(pa.float64(), safe=False)
    values = column.fill_null(0.0).to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    with np.errstate(over="ignore"):
        ids = bucket_of(np.where(finite, values, 0.0) - spec.pivot)
    codes = np.where(finite, ids.astype(np.int64) + _GRID_ZERO, NON_FINITE)
    return np.where(gone, MISSING, codes).astype(np.uint32)


def _of_values(spec: FeatureSpec, column: pa.Array[Any], most_text_bytes: int) -> Codes:
    encoded: Any = column.dictionary_encode()
    codes = [_code(spec, value, most_text_bytes) for value in encoded.dictionary.to_pylist()]
    places = encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
    found: Codes = np.array([*codes, MISSING], np.uint32)[places]
    return found


def _code(spec: FeatureSpec, value: object, most_text_bytes: int) -> int:
    if isinstance(value, float):
        return code_of_value(repr(value + 0.0)) if np.isfinite(value) else NON_FINITE
    if spec.kind == "text":
        return code_of_value(cut(str(value).encode("utf-8", "replace"), most_text_bytes))
    return code_of_value(str(value))


def pack(sample: Sample) -> bytes:
    """Keys as differences, then the codes column by column, byte by byte, compressed."""
    steps = np.diff(sample.keys, prepend=np.uint64(0))
    planes = np.ascontiguousarray(sample.codes.T).astype("<u4").view(np.uint8)
    planes = planes.reshape(sample.codes.shape[1], len(sample.keys), 4)[:, :, :3]
    wide = steps.astype("<u8").view(np.uint8).reshape(len(steps), 8)
    raw = wide.T.tobytes() + np.ascontiguousarray(planes.transpose(0, 2, 1)).tobytes()
    return zlib.compress(raw, 6)


def unpack(data: bytes, *, rows: int, features: int, below: int) -> Sample:
    """What `pack` wrote.

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
    return Sample(keys, np.ascontiguousarray(codes).astype(np.uint32), below)
