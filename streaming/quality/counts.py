"""Predictions and outcomes as counts per bucket: small, mergeable, and enough for every measure.

What a task counts beside its predictions and outcomes (`streaming.quality.tasks`) is in histograms.
A score's bucket is that of its logit on the universal grid. So the resolution is fine everywhere
between 0 and 1 (a bucket is at most 1.6 % of the logit wide), and all windows and versions share
their bucket edges. Scores inside one bucket count as equal. The error of that is far below the
sampling error of a window of any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from streaming.contracts.quality_records import Histogram, ScoreCounts
from streaming.grid import Floats, Ids, Integers, add_counts, bucket_middle, bucket_of

Histograms = Mapping[str, tuple[Integers, Integers]]
"""Ascending distinct ids and their counts, by the name of the quantity."""

_MIN_DISTANCE = 1e-7
"""Scores nearer to 0 or 1 than this are treated as this near."""


def _no_integers() -> Integers:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """Predictions and outcomes per score bucket, as parallel arrays by ascending bucket."""

    buckets: Integers = field(default_factory=_no_integers)
    served: Integers = field(default_factory=_no_integers)
    positives: Integers = field(default_factory=_no_integers)
    negatives: Integers = field(default_factory=_no_integers)
    histograms: Histograms = field(default_factory=dict)

    @property
    def predictions(self) -> int:
        """Number of predictions."""
        return int(self.served.sum())

    @property
    def labelled(self) -> int:
        """Number of predictions with an outcome."""
        return int(self.positives.sum() + self.negatives.sum())

    @property
    def scores(self) -> Floats:
        """A score inside each bucket."""
        return score_of(self.buckets)

    def record(self) -> ScoreCounts:
        """The counts as a part of a record."""
        return ScoreCounts(
            buckets=tuple(self.buckets.tolist()),
            served=tuple(self.served.tolist()),
            positives=tuple(self.positives.tolist()),
            negatives=tuple(self.negatives.tolist()),
            histograms=tuple(
                Histogram(name=name, ids=tuple(ids.tolist()), counts=tuple(counts.tolist()))
                for name, (ids, counts) in self.histograms.items()
            ),
        )

    def histogram(self, name: str) -> tuple[Integers, Integers]:
        """Ids and counts of a quantity; empty where nothing was counted."""
        return self.histograms.get(name, (_no_integers(), _no_integers()))


def score_buckets(scores: npt.ArrayLike) -> Ids:
    """The bucket of each score between 0 and 1.

    >>> score_buckets([0.5]).tolist(), bool(np.diff(score_buckets([0.1, 0.9]))[0] > 0)
    ([0], True)
    """
    inside = np.clip(np.asarray(scores, np.float64), _MIN_DISTANCE, 1.0 - _MIN_DISTANCE)
    return bucket_of(special.logit(inside))


def score_of(buckets: npt.ArrayLike) -> Floats:
    """A score inside each bucket.

    >>> score_of(score_buckets([0.5, 0.25])).round(2).tolist()
    [0.5, 0.25]
    """
    scores: Floats = special.expit(bucket_middle(buckets))
    return scores


def count_rows(buckets: npt.ArrayLike, outcomes: npt.ArrayLike) -> Counts:
    """Counts of rows; an outcome is 1, 0, or -1 where there is no label."""
    distinct, position = np.unique(np.asarray(buckets, np.int64), return_inverse=True)
    labels = np.asarray(outcomes)
    size = len(distinct)
    return Counts(
        buckets=distinct,
        served=np.bincount(position, minlength=size).astype(np.int64),
        positives=np.bincount(position[labels == 1], minlength=size).astype(np.int64),
        negatives=np.bincount(position[labels == 0], minlength=size).astype(np.int64),
    )


def add(parts: Iterable[Counts]) -> Counts:
    """The sum of several counts; their order does not matter."""
    filled = [part for part in parts if len(part.buckets)]
    if len(filled) <= 1:
        return filled[0] if filled else Counts()
    distinct, position = np.unique(np.concatenate([p.buckets for p in filled]), return_inverse=True)

    def total(columns: list[Integers]) -> Integers:
        return np.bincount(position, np.concatenate(columns), len(distinct)).astype(np.int64)

    return Counts(
        buckets=distinct,
        served=total([p.served for p in filled]),
        positives=total([p.positives for p in filled]),
        negatives=total([p.negatives for p in filled]),
        histograms={
            name: add_counts([part.histogram(name) for part in filled])
            for name in dict.fromkeys(name for part in filled for name in part.histograms)
        },
    )


def counts_of(record: ScoreCounts) -> Counts:
    """The counts of a record."""
    return Counts(
        buckets=np.array(record.buckets, np.int64),
        served=np.array(record.served, np.int64),
        positives=np.array(record.positives, np.int64),
        negatives=np.array(record.negatives, np.int64),
        histograms={
            histogram.name: (
                np.array(histogram.ids, np.int64),
                np.array(histogram.counts, np.int64),
            )
            for histogram in record.histograms
        },
    )
