"""Counts of the slices of predictions, for the gates of a canary in each slice.

Slices are small, so their buckets are eight times as wide as those of all
predictions: at most 13 % of the logit instead of 1.6 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from streaming.contracts.quality_records import SliceCounts
from streaming.grid import Integers
from streaming.quality.counts import Counts

BUCKETS = 8
"""Buckets of the universal grid that count as one in a slice."""
COMPARED = "loss"
"""The histogram that the quality gate compares; a slice has no other."""


def wide_buckets(ids: npt.ArrayLike) -> Integers:
    """The id that stands for each bucket's wide one: near its middle. Zero stays apart.

    >>> wide_buckets([-9, -1, 0, 1, 7, 8]).tolist()
    [-12, -4, 0, 4, 4, 12]
    """
    exact = np.asarray(ids, np.int64)
    wide: Integers = np.where(exact == 0, 0, exact // BUCKETS * BUCKETS + BUCKETS // 2)
    return wide


def in_wide_buckets(counts: Counts) -> Counts:
    """The counts of a slice: in wide buckets, with the histogram that is compared only."""
    buckets, position = np.unique(wide_buckets(counts.buckets), return_inverse=True)

    def total(column: Integers) -> Integers:
        return np.bincount(position, column, len(buckets)).astype(np.int64)

    histograms = {}
    if COMPARED in counts.histograms:
        ids, exact = counts.histograms[COMPARED]
        wide, place = np.unique(wide_buckets(ids), return_inverse=True)
        histograms[COMPARED] = wide, np.bincount(place, exact, len(wide)).astype(np.int64)
    return Counts(
        buckets=buckets,
        served=total(counts.served),
        positives=total(counts.positives),
        negatives=total(counts.negatives),
        histograms=histograms,
    )


def slice_records(counts: Mapping[int, Counts], values: Sequence[str]) -> tuple[SliceCounts, ...]:
    """The counts of each slice as parts of a record, by the order of the values."""
    return tuple(
        SliceCounts(name=values[number], counts=in_wide_buckets(part).record())
        for number, part in sorted(counts.items())
    )
