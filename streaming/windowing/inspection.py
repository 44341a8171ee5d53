"""Chooses which records of a fetch are inspected for fields that the contract does not have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_GOLDEN = 0.6180339887498949
"""Multiples of it modulo 1 are evenly distributed and do not align with a period of the events."""
_MAX_COUNTED, _MAX_COLONS = 1_000, 1_000
_MIN_INSPECTED, _INSPECTED_SHARE = 4, 100
"""Records of a fetch that are inspected for unknown fields: four, and one more for each hundred
whose colons are counted."""


@lru_cache(maxsize=64)
def spread(records: int) -> NDArray[np.intp]:
    """Positions of half of the records, and at most 1,000, evenly distributed; ascending, because
    memory is read faster in order.

    >>> spread(4).tolist()
    [0, 2]
    """
    counted = min(_MAX_COUNTED, (records + 1) // 2)
    positions: NDArray[np.intp] = (np.arange(counted) * _GOLDEN % 1.0 * records).astype(np.intp)
    positions.sort()
    positions.flags.writeable = False
    return positions


def colons(records: Sequence[bytes]) -> NDArray[np.intp]:
    """Number of colons in each record: one for each of its fields, and those in its text.

    >>> colons([b'{"fare":1}', b'{"fare":1,"at":"10:30"}']).tolist()
    [1, 3]
    """
    ends = np.cumsum(np.fromiter(map(len, records), np.int64, len(records)))
    offsets = np.flatnonzero(np.frombuffer(b"".join(records), np.uint8) == ord(":"))
    return np.diff(np.searchsorted(offsets, ends), prepend=0)


def picked(counts: NDArray[np.intp], limit: int | None = None) -> list[int]:
    """Positions of the records to inspect, by the number of fields of each.

    `limit` is their greatest number; None = four, and one more for each hundred.

    Up to three quarters of them are one record of each count, rare counts first; the others lie
    at equal distances.

    >>> picked(np.array([7, 7, 7, 9, 7, 7, 8, 9]), 4)
    [0, 3, 6]
    """
    if not len(counts):
        return []
    limit = _MIN_INSPECTED + len(counts) // _INSPECTED_SHARE if limit is None else limit
    clipped = np.minimum(counts, _MAX_COLONS)
    sizes = np.bincount(clipped)
    first = np.zeros(len(sizes), np.intp)
    first[clipped[::-1]] = np.arange(len(clipped) - 1, -1, -1)
    present = np.flatnonzero(sizes)
    by_rarity = first[present[np.argsort(sizes[present], kind="stable")]]
    rare = by_rarity[: limit * 3 // 4].tolist()
    step = max(1, len(counts) // max(1, limit - len(rare)))
    return sorted({*rare, *range(0, len(counts), step)})
