"""The universal grid: a number's bucket depends on the number alone.

All summaries share the same edges, so they merge exactly, and a window is compared with a
reference bucket by bucket. The edges come from the bits of a double: its sign, its exponent and
the first bits of its fraction. With six of them buckets are 0.8 to 1.6 % wide relative to their
values. Finding one costs about a nanosecond and needs no logarithm.

Each further bit halves every bucket, so buckets nest, and the id at fewer bits follows from the id
at more (`coarsen`). Values far from zero with a small range need more bits; `resolution` says how
many are kept.

Bucket 0 holds zero and every value nearer to zero than the smallest normal double (2.2e-308). Ids
rise with the values from -`MAX_BUCKET` to `MAX_BUCKET` at six bits, and at b bits from
-2046 x 2^b to 2046 x 2^b. Non-finite values have no bucket.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]
Bits = TypeVar("Bits", int, Integers)

FRACTION_BITS = 6
"""Fewest bits of the fraction."""
MAX_FRACTION_BITS = 40
"""Most bits of the fraction: buckets are 1e-12 wide, and every id is exact in a JSON number."""
RELATIVE_WIDTH = 2.0**-FRACTION_BITS
"""Largest width of a bucket, relative to its lower edge: 1.5625 %."""

_DOUBLE_BITS = 52
_MAGNITUDE = np.int64(2**63 - 1)
_EXPONENTS = 2046
_DENSE = 4
"""Ids have a counter each if their range is less than their number times this."""
MAX_BUCKET = _EXPONENTS * 2**FRACTION_BITS
"""Id of the last positive bucket at six bits, 130,944, which holds the largest finite double."""


def bucket_of(values: npt.ArrayLike) -> Ids:
    """Bucket id of each finite value, at six bits.

    >>> bucket_of([-1.0, -0.0, 0.0, 1.0, 1.01, 1.02]).tolist()
    [-65409, 0, 0, 65409, 65409, 65410]
    """
    buckets: Ids = fine_bucket_of(values, FRACTION_BITS).astype(np.int32)
    return buckets


def fine_bucket_of(values: npt.ArrayLike, fraction_bits: int = MAX_FRACTION_BITS) -> Integers:
    """Bucket id of each finite value, at this many bits.

    >>> np.diff(fine_bucket_of([41.68, 41.8], 6)), np.diff(fine_bucket_of([41.68, 41.8], 12))
    (array([0]), array([15]))
    """
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    ids = ((bits & _MAGNITUDE) >> (_DOUBLE_BITS - fraction_bits)) - _below_normal(fraction_bits)
    np.maximum(ids, 0, out=ids)
    np.minimum(ids, _EXPONENTS << fraction_bits, out=ids)
    np.negative(ids, out=ids, where=bits < 0)
    return ids


def coarsen(ids: npt.ArrayLike, fraction_bits: int, to_bits: int) -> Integers:
    """The ids at `to_bits` of the buckets that hold these buckets; their order stays.

    >>> fine = fine_bucket_of([-3.3, 0.0, 41.68], 20)
    >>> coarsen(fine, 20, 6).tolist() == bucket_of([-3.3, 0.0, 41.68]).tolist()
    True
    """
    ids = np.asarray(ids, dtype=np.int64)
    return ids if to_bits == fraction_bits else coarsen_columns(ids, fraction_bits, to_bits)


def coarsen_columns(ids: Integers, fraction_bits: Bits, to_bits: Bits) -> Integers:
    """`coarsen` with bits for each column of `ids`; ids at 0 bits stay as they are."""
    sizes = np.abs(ids)
    sizes += _below_normal(fraction_bits)
    sizes >>= fraction_bits - to_bits
    sizes -= _below_normal(to_bits)  # 0 for bucket 0
    np.negative(sizes, out=sizes, where=ids < 0)
    return sizes


def lower(ids: npt.ArrayLike, fraction_bits: int = FRACTION_BITS) -> Floats:
    """Lower edge of each bucket; it belongs to a positive bucket, not to a negative one."""
    return _edges(np.asarray(ids, dtype=np.int64), fraction_bits, outer_side=-1)


def upper(ids: npt.ArrayLike, fraction_bits: int = FRACTION_BITS) -> Floats:
    """Upper edge of each bucket; it belongs to a negative bucket, not to a positive one."""
    return _edges(np.asarray(ids, dtype=np.int64), fraction_bits, outer_side=1)


def bucket_middle(ids: npt.ArrayLike, fraction_bits: int = FRACTION_BITS) -> Floats:
    """The middle of each bucket, half way between its edges.

    >>> bucket_middle(bucket_of([0.0, 100.0, -100.0])).tolist()
    [0.0, 100.5, -100.5]
    """
    ids = np.asarray(ids, dtype=np.int64)
    return lower(ids, fraction_bits) / 2 + upper(ids, fraction_bits) / 2


def _edges(ids: Integers, fraction_bits: int, *, outer_side: int) -> Floats:
    """The edge towards zero, or the outer edge where the sign of the id is `outer_side`."""
    negative = ids < 0
    steps = np.array(np.abs(ids))
    steps += negative if outer_side < 0 else ids > 0
    steps += _below_normal(fraction_bits)
    steps <<= _DOUBLE_BITS - fraction_bits
    np.minimum(steps, np.int64(0x7FEFFFFFFFFFFFFF), out=steps)
    edges: Floats = steps.view(np.float64)
    np.negative(edges, out=edges, where=negative)
    edges[ids == 0] = 0.0
    return edges


def _below_normal(fraction_bits: Bits) -> Bits:
    """Number of buckets below the first normal double, which bucket 0 takes in, less one."""
    return (1 << fraction_bits) - 1


def add_counts(parts: list[tuple[Integers, Integers]]) -> tuple[Integers, Integers]:
    """The sum of sparse counts: ascending distinct ids, and their counts.

    >>> ids, counts = add_counts([(np.array([1, 3]), np.array([2, 2])),
    ...                           (np.array([3, 4]), np.array([1, 1]))])
    >>> ids.tolist(), counts.tolist()
    ([1, 3, 4], [2, 3, 1])
    """
    parts = [part for part in parts if len(part[0])]
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if len(parts) == 1:
        return parts[0]
    ids = np.concatenate([part[0] for part in parts])
    counts = np.concatenate([part[1] for part in parts])
    order = np.argsort(ids, kind="stable")
    ids, counts = ids[order], counts[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    return ids[first], np.add.reduceat(counts, first)


def count_ids(ids: npt.NDArray[np.signedinteger]) -> tuple[Integers, Integers]:
    """Ascending distinct ids, and the number of occurrences of each."""
    if not len(ids):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    low, high = int(ids.min()), int(ids.max())
    if high - low < _DENSE * len(ids):  # faster than a sort
        dense = np.bincount(ids - low)
        occupied = dense.nonzero()[0]
        return occupied + low, dense[occupied]
    return count_ordered(np.sort(ids).astype(np.int64, copy=False))


def count_ordered(ids: Integers) -> tuple[Integers, Integers]:
    """`count_ids` of ascending ids."""
    borders = (ids[1:] != ids[:-1]).nonzero()[0] + 1
    first = np.zeros(len(borders) + (len(ids) > 0), np.int64)
    first[1:] = borders
    counts = np.empty_like(first)
    counts[:-1] = borders - first[:-1]
    counts[-1:] = len(ids) - first[-1:]
    return ids[first], counts
