"""Display bins: tenths of a numeric reference, the most frequent values of a categorical one.

The bins belong to the reference, so all windows show the same ones, and the shares of both sides
follow from one cumulative count. Values beyond the reference's range belong to the outer bins, so
an outlier does not stretch the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.drift.display.null_bias import (
    NullExpectation,
    expected_categorical,
    expected_numeric,
)
from streaming.drift.statistics.categorical import AlignedCategories, ReferenceCategories
from streaming.drift.statistics.rank_scores import NumericScores
from streaming.grid import Floats, Integers, lower, upper

MAX_BINS = 10
MIN_SHARE = 0.01
"""A category with a smaller share of the reference belongs to the bin of all others."""
OTHERS = "(others)"
_MAX_LENGTH = 32
"""Longer labels are cut, so that verdict records stay small."""
_DIGITS, _ALL_DIGITS = 4, 17
_LARGEST_EDGE = 1.797e308
"""The last bucket of the grid ends at infinity, which a record cannot carry."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumericBins:
    """The display bins of a numeric reference.

    A reference of K buckets is a line of 2 K + 1 places: the gap below the first bucket, that
    bucket, the gap above it, and so on (`AlignedCounts.line`).
    """

    m: float
    """Effective number of reference rows."""
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    """The reference's share of each bin."""
    shown: tuple[float, ...]
    """`shares`, rounded as in the record."""
    ends: Integers
    """For each bin, its last place on the line."""
    cumulative: Floats
    """The reference's cumulative share at each place."""
    widths: Floats
    """Distance from each place to the next, in standard deviations; all 0 for a constant."""
    expected: NullExpectation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CategoricalBins:
    """The display bins of a categorical reference: its most frequent values and all others."""

    m: float
    """Effective number of reference rows."""
    labels: tuple[str, ...]
    shares: tuple[float, ...]
    """The reference's share of each bin."""
    shown: tuple[float, ...]
    """`shares`, rounded as in the record."""
    expected: NullExpectation

    def window_shares(self, window: AlignedCategories) -> tuple[int, list[float]]:
        """The window's rows, and its share of each bin."""
        n = window.n
        named = window.counts[: len(self.labels) - 1].tolist()
        return n, [count / n for count in [*named, n - sum(named)]]


def numeric_bins(scores: NumericScores, effective_sample_fraction: float = 1.0) -> NumericBins:
    """Cut a reference at its tenths. A frequent value fills several of them, so there may be fewer
    bins.

    `effective_sample_fraction` (at most 1) scales the number of reference rows.
    """
    count = len(scores.buckets)
    cumulated = np.cumsum(scores.counts)
    tenths = np.arange(1, MAX_BINS) * scores.m / MAX_BINS
    last = np.unique(np.searchsorted(cumulated, tenths))
    last = last[last < count - 1]
    line = np.zeros(2 * count + 1)
    line[1::2] = scores.counts
    cumulative = np.cumsum(line) / scores.m
    shares = np.diff(np.concatenate(([0], cumulated[last], [scores.m]))) / scores.m
    edges = np.concatenate(
        (
            lower(scores.buckets[:1], scores.fraction_bits),
            lower(scores.buckets[last + 1], scores.fraction_bits),
            upper(scores.buckets[-1:], scores.fraction_bits),
        )
    )
    widths = _widths(scores)
    return NumericBins(
        m=scores.m * effective_sample_fraction,
        edges=_rounded_edges(edges),
        shares=tuple(shares.tolist()),
        shown=rounded(shares.tolist()),
        ends=np.concatenate((2 * last + 1, [2 * count])),
        cumulative=cumulative,
        widths=widths,
        expected=expected_numeric(shares, cumulative, widths),
    )


def categorical_bins(
    reference: ReferenceCategories, effective_sample_fraction: float = 1.0
) -> CategoricalBins:
    """The most frequent values, at most nine, and one bin for all others.

    `effective_sample_fraction` (at most 1) scales the number of reference rows.
    """
    frequent = int((reference.counts[: MAX_BINS - 1] > MIN_SHARE * reference.m).sum())
    values = sorted(reference.index, key=lambda value: reference.index[value])[:frequent]
    counts = reference.counts[:frequent]
    shares = np.append(counts, reference.m - counts.sum()) / reference.m
    return CategoricalBins(
        m=reference.m * effective_sample_fraction,
        labels=(*(_shortened(value) for value in values), OTHERS),
        shares=tuple(shares.tolist()),
        shown=rounded(shares.tolist()),
        expected=expected_categorical(shares),
    )


def rounded(shares: list[float]) -> tuple[float, ...]:
    """Shares as verdict records carry them."""
    return tuple([round(share, _DIGITS) for share in shares])


def _widths(scores: NumericScores) -> Floats:
    """Distances between places; buckets lie at their lower edge, gaps half way between them."""
    places = np.repeat(lower(scores.buckets, scores.fraction_bits), 2)
    with np.errstate(over="ignore", invalid="ignore"):  # values near the largest float
        places = np.concatenate(((places[1:] + places[:-1]) / 2.0, places[-1:]))
        line = np.concatenate((places[:1], places))
        mean = float(scores.shares @ line[1::2])
        sd = float(np.sqrt(scores.shares @ (line[1::2] - mean) ** 2))
    if not sd > 0.0 or not np.isfinite(sd):
        return np.zeros(len(line))
    return np.diff(line, append=line[-1]) / sd


def _rounded_edges(edges: Floats) -> tuple[float, ...]:
    """Edges with four digits, or as many as move none by a tenth of the way to its neighbours."""
    edges = np.clip(edges, -_LARGEST_EDGE, _LARGEST_EDGE)
    with np.errstate(over="ignore"):
        allowed = np.diff(edges) / 10.0
    for digits in range(_DIGITS, _ALL_DIGITS):
        shown = np.array([float(f"{edge:.{digits}g}") for edge in edges.tolist()])
        moved = np.abs(shown - edges)
        if (moved[1:] <= allowed).all() and (moved[:-1] <= allowed).all():
            return tuple(shown.tolist())
    return tuple(edges.tolist())


def _shortened(value: str) -> str:
    return value if len(value) <= _MAX_LENGTH else f"{value[: _MAX_LENGTH - 1]}…"
