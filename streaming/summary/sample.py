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
from streaming.summary.columns import cut

Keys = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint32]
InstallPaths = npt.NDArray[np.int64]

MAX_ROWS = 512
"""Rows of a part or a window."""
MAX_REFERENCE_ROWS = 4_096
MISSING, NON_FINITE = 0, 1
_MAX_WAITING = 4 * MAX_ROWS
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
    waiting: tuple[tuple[Keys, pa.RecordBatch], ...] = ()
    """Rows that may stay and have no codes yet: see `settle`."""

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
    max_text_bytes: int,
) -> Sample:
    """`sample` with the rows of `batch`, whose keys are `keys`.

    The rows wait as they are: most will have to go before they are ever coded.

    Parameters
    ----------
    specs:
        The judged features, as columns of the codes.
    """
    small = np.flatnonzero(keys < np.uint64(sample.below))
    if len(small) > MAX_ROWS:
        small = small[np.argpartition(keys[small], MAX_ROWS)[: MAX_ROWS + 1]]
    if not len(small):
        return sample
    waiting = (*sample.waiting, (keys[small], batch.take(small)))
    known = np.concatenate([sample.keys, *(one for one, _ in waiting)])
    below = sample.below
    if len(known) > MAX_ROWS:
        below = min(below, int(np.partition(known, MAX_ROWS)[MAX_ROWS]))
    grown = replace(sample, below=below, waiting=waiting)
    if len(known) > _MAX_WAITING:
        return settle(grown, specs, max_text_bytes=max_text_bytes)
    return grown


def settle(sample: Sample, specs: Sequence[FeatureSpec], *, max_text_bytes: int) -> Sample:
    """`sample` with every row that stays coded, and no row waiting."""
    parts = [Sample(sample.keys, sample.codes, sample.below)]
    for keys, batch in _joined(sample.waiting):
        stays = np.flatnonzero(keys < np.uint64(sample.below))
        if len(stays):
            codes = _codes(specs, batch, stays, max_text_bytes)
            parts.append(Sample(keys[stays], codes, sample.below))
    return merge_samples(parts)


def _joined(
    waiting: Sequence[tuple[Keys, pa.RecordBatch]],
) -> Iterator[tuple[Keys, pa.RecordBatch]]:
    """Runs of batches of one schema as one batch each: few calls are cheap calls."""
    for _, run in groupby(waiting, key=lambda one: one[1].schema):
        together = list(run)
        table = pa.Table.from_batches([batch for _, batch in together]).combine_chunks()
        yield np.concatenate([keys for keys, _ in together]), table.to_batches()[0]


def merge_samples(samples: Iterable[Sample], *, most: int = MAX_ROWS) -> Sample:
    """The union of settled samples, cut to the `most` smallest keys; in any order the same."""
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


def _codes(
    specs: Sequence[FeatureSpec], batch: pa.RecordBatch, chosen: InstallPaths, max_text_bytes: int
) -> Codes:
    codes = np.zeros((len(chosen), len(specs)), np.uint32)
    place = {name: at for at, name in enumerate(batch.schema.names)}
    numbers: dict[int, pa.Array[Any]] = {}
    for at, spec in enumerate(specs):
        if spec.name not in place:
            continue
        column = batch.column(place[spec.name])
        if spec.kind == "text" or spec.categorical:
            codes[:, at] = _of_values(spec, column.take(chosen), max_text_bytes)
        else:
            numbers[at] = column
    if numbers:
        pivots = np.array([specs[at].pivot for at in numbers])
        codes[:, list(numbers)] = _of_numbers(list(numbers.values()), pivots, chosen)
    return codes


def _of_numbers(columns: Sequence[pa.Array[Any]], pivots: Floats, chosen: InstallPaths) -> Codes:
    """All numbers at once: of so few rows the calls would cost more than the work."""
    values = np.empty((len(chosen), len(columns)))
    gone = np.zeros(values.shape, bool)
    for at, column in enumerate(columns):
        if column.null_count:
            taken = column.take(chosen)
            gone[:, at] = taken.is_null().to_numpy(zero_copy_only=False)
            values[:, at] = taken.fill_null(0.0 if pa.types.is_floating(taken.type) else 0)
        else:
            values[:, at] = column.to_numpy(zero_copy_only=False)[chosen]
    finite = np.isfinite(values)
    with np.errstate(over="ignore"):
        ids = bucket_of(np.where(finite, values, 0.0) - pivots).reshape(values.shape)
    found = np.where(finite, ids.astype(np.int64) + _GRID_ZERO, NON_FINITE)
    return np.where(gone, MISSING, found).astype(np.uint32)


def _of_values(spec: FeatureSpec, column: pa.Array[Any], max_text_bytes: int) -> Codes:
    encoded: Any = column.dictionary_encode()
    text = spec.kind == "text"
    codes = [
        _code(value, max_text_bytes if text else 0) for value in encoded.dictionary.to_pylist()
    ]
    places = encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
    found: Codes = np.array([*codes, MISSING], np.uint32)[places]
    return found


@lru_cache(maxsize=16_384, typed=True)
def _code(value: object, max_text_bytes: int) -> int:
    """Named as `columns` names values; only text has a length to cut."""
    if isinstance(value, float):
        return code_of_value(repr(value + 0.0)) if isfinite(value) else NON_FINITE
    if max_text_bytes:
        return code_of_value(cut(str(value).encode("utf-8", "replace"), max_text_bytes))
    return code_of_value(str(value))


def pack(sample: Sample) -> bytes:
    """Keys as differences, then the codes column by column, byte by byte, compressed."""
    steps = np.diff(sample.keys, prepend=np.uint64(0))
    planes = np.ascontiguousarray(sample.codes.T).astype("<u4").view(np.uint8)
    planes = planes.reshape(sample.codes.shape[1], len(sample.keys), 4)[:, :, :3]
    wide = steps.astype("<u8").view(np.uint8).reshape(len(steps), 8)
    raw = wide.T.tobytes() + np.ascontiguousarray(planes.transpose(0, 2, 1)).tobytes()
    return zlib.compress(raw, 1)  # 3 % larger than level 6 in a third of the time


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
