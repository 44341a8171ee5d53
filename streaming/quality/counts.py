"""Scores and outcomes as counts per bucket: small, mergeable, and enough for every measure.

A score's bucket is that of its logit on the universal grid, so resolution is fine everywhere
between 0 and 1 (a bucket is at most 1.6 % of the logit wide) and all windows and versions share
their edges. Inside a bucket scores count as equal: the measures lose nothing that one window of
any size could show.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from streaming.contracts.quality import ScoreCounts
from streaming.grid import Floats, Ids, Integers, bucket_middle, bucket_of

_NEAREST = 1e-7
"""Scores nearer to 0 or 1 count as this near."""


def _none() -> Integers:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """Parallel counts by ascending bucket."""

    buckets: Integers = field(default_factory=_none)
    served: Integers = field(default_factory=_none)
    positives: Integers = field(default_factory=_none)
    negatives: Integers = field(default_factory=_none)

    @property
    def predictions(self) -> int:
        """How many predictions."""
        return int(self.served.sum())

    @property
    def labelled(self) -> int:
        """How many of them have an outcome."""
        return int(self.positives.sum() + self.negatives.sum())

    @property
    def scores(self) -> Floats:
        """A score inside each bucket."""
        return score_of(self.buckets)

    def record(self) -> ScoreCounts:
        """As part of a record."""
        return ScoreCounts(
            buckets=tuple(self.buckets.tolist()),
            served=tuple(self.served.tolist()),
            positives=tuple(self.positives.tolist()),
            negatives=tuple(self.negatives.tolist()),
        )


def score_buckets(scores: npt.ArrayLike) -> Ids:
    """The bucket of each score between 0 and 1.

    >>> score_buckets([0.5]).tolist(), bool(np.diff(score_buckets([0.1, 0.9]))[0] > 0)
    ([0], True)
    """
    inside = np.clip(np.asarray(scores, np.float64), _NEAREST, 1.0 - _NEAREST)
    return bucket_of(special.logit(inside))


def score_of(buckets: npt.ArrayLike) -> Floats:
    """A score inside each bucket.

    >>> score_of(score_buckets([0.5, 0.25])).round(2).tolist()
    [0.5, 0.25]
    """
    found: Floats = special.expit(bucket_middle(buckets))
    return found


def count_rows(buckets: npt.ArrayLike, outcomes: npt.ArrayLike) -> Counts:
    """Counts of rows; an outcome is 1, 0, or -1 where there is no label."""
    which, place = np.unique(np.asarray(buckets, np.int64), return_inverse=True)
    truth = np.asarray(outcomes)
    size = len(which)
    return Counts(
        buckets=which,
        served=np.bincount(place, minlength=size).astype(np.int64),
        positives=np.bincount(place[truth == 1], minlength=size).astype(np.int64),
        negatives=np.bincount(place[truth == 0], minlength=size).astype(np.int64),
    )


def add(parts: Iterable[Counts]) -> Counts:
    """Counts added up, in any order."""
    there = [part for part in parts if len(part.buckets)]
    if len(there) <= 1:
        return there[0] if there else Counts()
    which, place = np.unique(np.concatenate([p.buckets for p in there]), return_inverse=True)

    def total(columns: list[Integers]) -> Integers:
        return np.bincount(place, np.concatenate(columns), len(which)).astype(np.int64)

    return Counts(
        buckets=which,
        served=total([p.served for p in there]),
        positives=total([p.positives for p in there]),
        negatives=total([p.negatives for p in there]),
    )


def counts_of(record: ScoreCounts) -> Counts:
    """The counts of a record."""
    return Counts(
        buckets=np.array(record.buckets, np.int64),
        served=np.array(record.served, np.int64),
        positives=np.array(record.positives, np.int64),
        negatives=np.array(record.negatives, np.int64),
    )
