"""The universal grid: a number's bucket depends on the number alone.

All summaries share the same edges, so they merge exactly, and a window is compared with a
reference bucket by bucket. The edges come from the bits of a double: its sign, its exponent and
the first six bits of its fraction. Buckets are 0.8 to 1.6 % wide relative to their values. Finding
one costs about a nanosecond and needs no logarithm.

Bucket 0 holds zero and every value nearer to zero than the smallest normal double (2.2e-308). Ids
rise with the values from -`MAX_BUCKET` to `MAX_BUCKET`. Values far from zero with a small range
share few buckets: subtract a pivot first (`FeatureSpec.pivot`). Non-finite values have no bucket.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]

FRACTION_BITS = 6
RELATIVE_WIDTH = 2.0**-FRACTION_BITS
"""Largest width of a bucket, relative to its lower edge: 1.5625 %."""

_SHIFT = 52 - FRACTION_BITS
_MAGNITUDE = np.int64(2**63 - 1)
_BELOW_NORMAL = 2**FRACTION_BITS - 1
MAX_BUCKET = 2047 * 2**FRACTION_BITS - 1 - _BELOW_NORMAL
"""Id of the last positive bucket, 130,944, which holds the largest finite double."""


def bucket_of(values: npt.ArrayLike) -> Ids:
    """Bucket id of each finite value.

    >>> bucket_of([-1.0, -0.0, 0.0, 1.0, 1.01, 1.02]).tolist()
    [-65409, 0, 0, 65409, 65409, 65410]
    """
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    ids = ((bits & _MAGNITUDE) >> _SHIFT) - _BELOW_NORMAL
    np.clip(ids, 0, MAX_BUCKET, out=ids)
    np.negative(ids, out=ids, where=bits < 0)
    buckets: Ids = ids.astype(np.int32)
    return buckets


def lower(ids: npt.ArrayLike) -> Floats:
    """Lower edge of each bucket; it belongs to a positive bucket, not to a negative one."""
    return _edges(np.asarray(ids, dtype=np.int64), outer_side=-1)


def upper(ids: npt.ArrayLike) -> Floats:
    """Upper edge of each bucket; it belongs to a negative bucket, not to a positive one."""
    return _edges(np.asarray(ids, dtype=np.int64), outer_side=1)


def bucket_middle(ids: npt.ArrayLike) -> Floats:
    """The middle of each bucket, half way between its edges.

    >>> bucket_middle(bucket_of([0.0, 100.0, -100.0])).tolist()
    [0.0, 100.5, -100.5]
    """
    ids = np.asarray(ids, dtype=np.int64)
    return lower(ids) / 2 + upper(ids) / 2


def _edges(ids: Integers, *, outer_side: int) -> Floats:
    """The edge towards zero, or the outer edge where the sign of the id is `outer_side`."""
    steps = np.abs(ids) + (np.sign(ids) == outer_side) + _BELOW_NORMAL
    sizes = np.minimum(steps << _SHIFT, np.int64(0x7FEFFFFFFFFFFFFF)).view(np.float64)
    return np.where(ids == 0, 0.0, np.sign(ids) * sizes)


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
    ordered = np.sort(ids)
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    counts = np.diff(np.concatenate((first, [len(ordered)])))
    return ordered[first].astype(np.int64), counts.astype(np.int64)
