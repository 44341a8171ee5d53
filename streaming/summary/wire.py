"""The byte format of partial summaries: msgpack with raw little-endian arrays, never pickle.

Ids are stored as differences and counts in the narrowest width that holds them, so the partial
summary of 16 features takes some kilobytes. A CRC-32 of the rest comes first: no damage of a single
byte changes a count without being noticed, and of other damage one in four billion does.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left

import msgspec
import numpy as np

from streaming.contracts.errors import DecodeError
from streaming.contracts.model import FeatureSpec
from streaming.grid import Integers
from streaming.summary.columns import FeaturePart
from streaming.summary.moments import NO_MOMENTS, Moments
from streaming.summary.partial import Partial, encoded_sample
from streaming.summary.sample import NO_LIMIT, SampledRows, pack, unpack

_WIDTHS = ("<i1", "<i2", "<i4", "<i8")
_LARGEST = (2**7 - 1, 2**15 - 1, 2**31 - 1, 2**63 - 1)
"""Largest number of each width."""
_CHECKSUM_BYTES = 4


class _Moments(msgspec.Struct, array_like=True, frozen=True):
    n: int
    zeros: int
    low: float
    high: float
    sums: bytes


class _Part(msgspec.Struct, array_like=True, frozen=True):
    missing: int
    non_finite: int
    ids: bytes
    counts: bytes
    values: dict[str, int]
    tail_rows: int
    error: int
    moments: _Moments | None
    fraction_bits: int


class _Wire(msgspec.Struct, array_like=True, frozen=True):
    features: tuple[FeatureSpec, ...]
    max_text_bytes: int
    rows: int
    parts: tuple[_Part, ...]
    sampled: int = 0
    below: int = NO_LIMIT
    sample: bytes = b""


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(_Wire)


def to_bytes(partial: Partial) -> bytes:
    """The partial summary as bytes; equal partial summaries give equal bytes."""
    sample = encoded_sample(partial)
    payload = _ENCODER.encode(
        _Wire(
            partial.features,
            partial.max_text_bytes,
            partial.rows,
            tuple(
                _Part(
                    part.missing,
                    part.non_finite,
                    _pack(_differences(part.ids)),
                    _pack(part.counts),
                    dict(part.values),
                    part.tail_rows,
                    part.error,
                    _pack_moments(part.moments),
                    part.fraction_bits,
                )
                for part in partial.parts
            ),
            len(sample.keys),
            sample.below,
            pack(sample) if len(sample.keys) else b"",
        )
    )
    return _checksum(payload) + payload


def from_bytes(data: bytes) -> Partial:
    """The partial summary that `to_bytes` wrote.

    Raises
    ------
    DecodeError
        When the bytes are damaged, or were not written by `to_bytes`.
    """
    payload = data[_CHECKSUM_BYTES:]
    if data[:_CHECKSUM_BYTES] != _checksum(payload):
        raise DecodeError("These bytes are no partial summary: the checksum is wrong.")
    try:
        wire = _DECODER.decode(payload)
        parts = tuple(_part(part) for part in wire.parts)
        sample = _sample(wire)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, IndexError) as error:
        raise DecodeError(f"These bytes are no partial summary: {error}.") from error
    if len(parts) != len(wire.features):
        raise DecodeError(
            f"These bytes are no partial summary: counts of {len(parts)} features for "
            f"{len(wire.features)}."
        )
    return Partial(
        features=wire.features,
        max_text_bytes=wire.max_text_bytes,
        rows=wire.rows,
        parts=parts,
        sample=sample,
    )


def _checksum(payload: bytes) -> bytes:
    return zlib.crc32(payload).to_bytes(_CHECKSUM_BYTES, "little")


def _sample(wire: _Wire) -> SampledRows:
    empty = SampledRows.empty([spec for spec in wire.features if spec.judged])
    if not wire.sampled:
        return empty
    return unpack(
        wire.sample, rows=wire.sampled, fraction_bits=empty.fraction_bits, below=wire.below
    )


def _part(part: _Part) -> FeaturePart:
    ids, counts = np.cumsum(_unpack(part.ids)), _unpack(part.counts)
    if len(ids) != len(counts):
        raise ValueError(f"{len(ids)} ids with {len(counts)} counts")
    return FeaturePart(
        missing=part.missing,
        non_finite=part.non_finite,
        ids=ids,
        counts=counts,
        values=part.values,
        tail_rows=part.tail_rows,
        error=part.error,
        moments=_unpack_moments(part.moments) if part.moments else NO_MOMENTS,
        fraction_bits=part.fraction_bits,
    )


def _pack_moments(moments: Moments) -> _Moments | None:
    if not moments.n:
        return None
    return _Moments(
        moments.n, moments.zeros, moments.low, moments.high, _pack(moments.sums.ravel())
    )


def _unpack_moments(packed: _Moments) -> Moments:
    return Moments(
        n=packed.n,
        zeros=packed.zeros,
        low=packed.low,
        high=packed.high,
        sums=_unpack(packed.sums).reshape(3, -1),
    )


def _differences(ids: Integers) -> Integers:
    """The first id, and the difference of every other id to the one before it."""
    differences = ids.copy()
    differences[1:] -= ids[:-1]
    return differences


def _pack(numbers: Integers) -> bytes:
    """One byte for the width, then the numbers.

    >>> _pack(np.array([1, -2])).hex()
    '0001fe'
    """
    if not len(numbers):
        return b"\0"
    # -128 fits one byte as 127 does
    needed = max(int(np.maximum.reduce(numbers)), -1 - int(np.minimum.reduce(numbers)))
    code = bisect_left(_LARGEST, needed)
    return bytes((code,)) + numbers.astype(_WIDTHS[code]).tobytes()


def _unpack(data: bytes) -> Integers:
    return np.frombuffer(data, _WIDTHS[data[0]], offset=1).astype(np.int64)
