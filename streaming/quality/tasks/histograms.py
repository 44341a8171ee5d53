"""Means and variances of quantities that are counted per bucket."""

from __future__ import annotations

import numpy as np

from streaming.grid import Floats, Integers, bucket_middle, bucket_of, count_ids
from streaming.quality.measures import Measure

Histogram = tuple[Integers, Integers]
"""Ascending distinct ids, and their counts."""


def count_values(values: Floats) -> Histogram:
    """Counts of values on the universal grid, in buckets at most 1.6 % wide."""
    return count_ids(bucket_of(values))


def values_of(histogram: Histogram) -> Floats:
    """A value inside each bucket."""
    return bucket_middle(histogram[0])


def mean_of(name: str, values: Floats, counts: Integers) -> Measure | None:
    """The mean of values that occur `counts` times, with its sampling variance; None of none.

    >>> measure = mean_of("m", np.array([0.0, 1.0]), np.array([50, 50]))
    >>> measure.value, measure.variance, measure.n
    (0.5, 0.0025, 100)
    """
    total = int(counts.sum())
    if not total:
        return None
    mean = float(counts @ values) / total
    variance = float(counts @ (values - mean) ** 2) / total
    return Measure(name=name, value=mean, variance=variance / total, n=total)


def quantile_of(histogram: Histogram, share: float) -> int:
    """Id of the bucket in which a quantile lies; the histogram may not be empty.

    >>> quantile_of((np.array([1, 5, 9]), np.array([2, 6, 2])), 0.5)
    5
    """
    ids, counts = histogram
    position = int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
    return int(ids[min(position, len(ids) - 1)])


def by_name(*measures: Measure | None) -> dict[str, Measure]:
    """The measures that exist, by name."""
    return {measure.name: measure for measure in measures if measure is not None}
