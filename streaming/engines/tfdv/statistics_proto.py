"""A window's counts as TFDV's statistics proto.

TFDV's own generators would process the rows a second time. That is more work than reading them,
and gives megabytes of state and quantiles with 1 to 5 % rank error. The summary has already counted
the rows, so the proto is written from it when a window closes. Shares, extremes, zeros, categories
and ranks are exact; mean and deviation are exact to 4e-6 of the largest value; quantiles and
histograms are exact to a grid bucket (1.6 % of the value). A test compares each field with TFDV's
own statistics of the same rows.

Non-finite numbers count as missing, because one infinity would determine minimum, maximum and the
outer buckets. If a category has more values than a summary keeps, the proto lists its heavy
hitters, with the count error that `summary.values` documents, and `unique` counts these. Extremes,
mean and deviation of an integer category are exact nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2

from streaming.contracts.model import FeatureSpec
from streaming.grid import Floats, lower, upper
from streaming.summary.columns import FeaturePart
from streaming.summary.moments import Moments, counted_moments
from streaming.summary.partial import Partial, is_counted_by_value
from streaming.summary.values import rank

_HISTOGRAM = 10
_TOP = 20
_RANKS = 1000
_KINDS = {
    "integer": statistics_pb2.FeatureNameStatistics.INT,
    "number": statistics_pb2.FeatureNameStatistics.FLOAT,
    "text": statistics_pb2.FeatureNameStatistics.STRING,
}
_TENTHS: Floats = np.linspace(0.0, 1.0, _HISTOGRAM + 1).astype(np.float64)
_HALF = np.array([0.5])


def statistics_proto(
    counted: Partial, categories: frozenset[str]
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of the rows in `counted`.

    Parameters
    ----------
    counted:
        A window's counts.
    categories:
        Integer features that are categorical in the schema; TFDV describes them by value.
    """
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = statistics.datasets.add(num_examples=counted.rows)
    for spec, part in zip(counted.features, counted.parts, strict=True):
        feature = dataset.features.add(type=_KINDS[spec.kind])
        feature.path.step.append(spec.name)
        by_value = spec.kind == "text" or (spec.name in categories and is_counted_by_value(spec))
        if by_value:
            _strings(feature.string_stats, spec, part, counted.rows)
        else:
            _numbers(feature.num_stats, spec, part, counted.rows)
    return statistics


# -------------------------------------------------------------------- categories


def _strings(to: Any, spec: FeatureSpec, part: FeaturePart, rows: int) -> None:
    counts = _by_name(part)
    present = sum(counts.values()) + part.tail_rows
    _common(to.common_stats, present, rows)
    if not present:
        return
    if part.tail_rows and spec.kind == "integer" and part.moments.n:
        for extreme in (part.moments.low, part.moments.high):  # each has one row at least
            counts.setdefault(str(int(extreme)), 1)
    ranked = rank(counts)
    to.unique = len(ranked)
    to.avg_length = sum(len(name.encode()) * n for name, n in ranked) / present
    for name, n in ranked[:_TOP]:
        to.top_values.add(value=name, frequency=n)
    for position, (name, n) in enumerate(ranked[:_RANKS]):
        to.rank_histogram.buckets.add(
            low_rank=position, high_rank=position, label=name, sample_count=n
        )


def _by_name(part: FeaturePart) -> dict[str, int]:
    names = map(str, part.ids.tolist())
    return {**part.values, **dict(zip(names, part.counts.tolist(), strict=True))}


def _common(to: Any, present: int, rows: int) -> None:
    to.num_non_missing = to.tot_num_values = present
    to.num_missing = rows - present
    if not present:
        return
    to.min_num_values = to.max_num_values = 1
    to.avg_num_values = 1.0
    to.num_values_histogram.type = statistics_pb2.Histogram.QUANTILES
    bucket = statistics_pb2.Histogram.Bucket(
        low_value=1, high_value=1, sample_count=present / _HISTOGRAM
    )
    to.num_values_histogram.buckets.extend([bucket] * _HISTOGRAM)


# ----------------------------------------------------------------------- numbers


def _numbers(to: Any, spec: FeatureSpec, part: FeaturePart, rows: int) -> None:
    lows, highs, counts, moments = masses(spec, part)
    _common(to.common_stats, int(counts.sum()) + part.tail_rows, rows)
    if not moments.n:
        return
    if not len(lows):  # every value was too rare to be kept
        lows, highs = np.array([moments.low]), np.array([moments.high])
        counts = np.array([part.tail_rows], np.float64)
    to.mean, to.std_dev, to.num_zeros = moments.mean, moments.deviation, moments.zeros
    to.min, to.max = moments.low, moments.high
    quantile = _quantiles(lows, highs, counts, whole=spec.kind == "integer")
    tenths = quantile(_TENTHS)
    to.median = float(quantile(_HALF)[0])
    edges = _equal_edges(moments.low, moments.high)
    standard = to.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    if np.isfinite(edges).all():
        below = _below(edges, lows, highs, counts)
        inside: Floats = np.diff(below)
        inside[0] += below[0]
        _fill(standard, edges, inside)
    equal = to.histograms.add(type=statistics_pb2.Histogram.QUANTILES)
    _fill(equal, tenths, np.full(_HISTOGRAM, moments.n / _HISTOGRAM))


def _equal_edges(low: float, high: float) -> Floats:
    """Edges of buckets of equal width; a single bucket where all values are equal."""
    with np.errstate(over="ignore", invalid="ignore"):  # the caller drops edges that overflow
        edges = np.linspace(low, high, 1 + (_HISTOGRAM if high > low else 1))
    return np.asarray(edges, np.float64)


def masses(spec: FeatureSpec, part: FeaturePart) -> tuple[Floats, Floats, Floats, Moments]:
    """Lower and upper edges of the buckets, ascending; their counts; the moments of the values."""
    counts = part.counts.astype(np.float64)
    if is_counted_by_value(spec):
        values = part.ids.astype(np.float64)
        if part.values:
            values = np.array([float(name) for name in part.values])
            counts = np.array(list(part.values.values()), np.float64)
        order = np.argsort(values, kind="stable")
        values, counts = values[order], counts[order]
        moments = part.moments
        if not moments.n:
            moments = counted_moments(values, counts.astype(np.int64))
        return values, values, counts, moments
    moments = part.moments
    lows = np.clip(lower(part.ids, part.fraction_bits), moments.low, moments.high)
    highs = np.clip(upper(part.ids, part.fraction_bits), moments.low, moments.high)
    return lows, highs, counts, moments


def rows_below(lows: Floats, highs: Floats, counts: Floats, bound: float) -> float:
    """Rows of these buckets below `bound`, if values are evenly spread within a bucket."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.clip((bound - lows) / (highs - lows), 0.0, 1.0)
    return float((counts * inside).sum())


def _quantiles(
    lows: Floats, highs: Floats, counts: Floats, *, whole: bool
) -> Callable[[Floats], Floats]:
    """A function from shares of the rows to values; values are evenly spread within a bucket."""
    total = np.cumsum(counts)

    def at(shares: Floats) -> Floats:
        rows = shares * total[-1]
        bucket = np.minimum(np.searchsorted(total, rows), len(total) - 1)
        inside = (rows - (total[bucket] - counts[bucket])) / counts[bucket]
        values = lows[bucket] + (highs[bucket] - lows[bucket]) * np.clip(inside, 0.0, 1.0)
        values[shares <= 0], values[shares >= 1] = lows[0], highs[-1]
        rounded: Floats = np.floor(values) if whole else values
        return rounded

    return at


def _below(edges: Floats, lows: Floats, highs: Floats, counts: Floats) -> Floats:
    """Rows at or below each edge."""
    total = np.concatenate(([0.0], np.cumsum(counts)))
    begun = np.searchsorted(lows, edges, side="right")  # buckets that begin at or below the edge
    last = np.maximum(begun - 1, 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inside = (edges - lows[last]) / (highs[last] - lows[last])
    inside = np.where(highs[last] <= edges, 1.0, np.clip(inside, 0.0, 1.0))
    below: Floats = np.where(begun > 0, total[last] + counts[last] * inside, 0.0)
    return below


def _fill(to: Any, edges: Floats, counts: Floats) -> None:
    low, high = edges[:-1].tolist(), edges[1:].tolist()
    for start, end, count in zip(low, high, counts.tolist(), strict=True):
        to.buckets.add(low_value=start, high_value=end, sample_count=count)
