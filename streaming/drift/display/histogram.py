"""A few cells for people's eyes: tenths of a number's reference, a category's heaviest values.

The cells are the reference's, so window after window shows the same ones, and the shares of both
sides fall out of one cumulated count. Values beyond the reference's range belong to the outer
cells: no outlier stretches a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10

import numpy as np

from streaming.drift.display.null_bias import Expected, expected_of_categories, expected_of_numbers
from streaming.drift.statistics.categorical import CategoryShares, PlacedCategories
from streaming.drift.statistics.rank_scores import NumberScores
from streaming.grid import Floats, Integers, lower, upper

MAX_CELLS = 10
LEAST_SHARE = 0.01
"""A category with less of the reference is shown among the others."""
OTHERS = "(others)"
_LONGEST = 32
"""Longer values are cut, so that verdicts stay small."""
_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberCells:
    """The cells of a numeric reference.

    A reference of K buckets is a line of 2 K + 1 places: the gap below the first bucket, that
    bucket, the gap above it, and so on (`Placed.order`).
    """

    m: float
    """Rows that the reference is worth."""
    bounds: tuple[float, ...]
    before: tuple[float, ...]
    shown: tuple[float, ...]
    """`before` as it is written down."""
    ends: Integers
    """For each cell its last place."""
    below: Floats
    """The reference's share up to and with each place."""
    widths: Floats
    """From each place to the next, in standard deviations; all 0 for a constant."""
    expected: Expected


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CategoryCells:
    """The cells of a categorical reference: its heaviest values and all others."""

    m: float
    """Rows that the reference is worth."""
    labels: tuple[str, ...]
    before: tuple[float, ...]
    shown: tuple[float, ...]
    expected: Expected

    def shares(self, window: PlacedCategories) -> tuple[int, list[float]]:
        """The window's rows, and its share of each cell."""
        n = window.n
        named = window.counts[: len(self.labels) - 1].tolist()
        return n, [count / n for count in [*named, n - sum(named)]]


def number_cells(scores: NumberScores, worth: float = 1.0) -> NumberCells:
    """Cut a reference at its tenths; a heavy value takes several of them, so cells may be fewer.

    Its rows count for `worth` (at most 1) of themselves.
    """
    count = len(scores.buckets)
    cumulated = np.cumsum(scores.counts)
    tenths = np.arange(1, MAX_CELLS) * scores.m / MAX_CELLS
    last = np.unique(np.searchsorted(cumulated, tenths))
    last = last[last < count - 1]
    places = np.zeros(2 * count + 1)
    places[1::2] = scores.counts
    below = np.cumsum(places) / scores.m
    before = np.diff(np.concatenate(([0], cumulated[last], [scores.m]))) / scores.m
    edges = np.concatenate(
        (
            lower(scores.buckets[:1]),
            lower(scores.buckets[last + 1]),
            upper(scores.buckets[-1:]),
        )
    )
    widths = _widths(scores)
    return NumberCells(
        m=scores.m * worth,
        bounds=_written(edges, scores.pivot),
        before=tuple(before.tolist()),
        shown=rounded(before.tolist()),
        ends=np.concatenate((2 * last + 1, [2 * count])),
        below=below,
        widths=widths,
        expected=expected_of_numbers(before, below, widths),
    )


def category_cells(shares: CategoryShares, worth: float = 1.0) -> CategoryCells:
    """The heaviest values, at most nine, and one cell for all others.

    The reference's rows count for `worth` (at most 1) of themselves.
    """
    heavy = int((shares.counts[: MAX_CELLS - 1] > LEAST_SHARE * shares.m).sum())
    values = sorted(shares.places, key=lambda value: shares.places[value])[:heavy]
    counts = shares.counts[:heavy]
    before = np.append(counts, shares.m - counts.sum()) / shares.m
    return CategoryCells(
        m=shares.m * worth,
        labels=(*(_cut(value) for value in values), OTHERS),
        before=tuple(before.tolist()),
        shown=rounded(before.tolist()),
        expected=expected_of_categories(before),
    )


def rounded(shares: list[float]) -> tuple[float, ...]:
    """Shares as verdicts carry them."""
    return tuple([round(share, _DIGITS) for share in shares])


def _widths(scores: NumberScores) -> Floats:
    """Buckets at their lower edge, gaps half way between their neighbours."""
    places = np.repeat(lower(scores.buckets), 2)
    places = np.concatenate(((places[1:] + places[:-1]) / 2.0, places[-1:]))
    line = np.concatenate((places[:1], places))
    mean = float(scores.shares @ line[1::2])
    sd = float(np.sqrt(scores.shares @ (line[1::2] - mean) ** 2))
    if not sd > 0.0 or not np.isfinite(sd):
        return np.zeros(len(line))
    return np.diff(line, append=line[-1]) / sd


def _written(edges: Floats, pivot: float) -> tuple[float, ...]:
    """Edges with four digits; beside a pivot so many that neighbours stay apart."""
    if pivot == 0.0:
        return tuple(float(f"{edge:.{_DIGITS}g}") for edge in edges.tolist())
    apart = float(np.diff(edges).min())
    digits = 1 - floor(log10(apart)) if apart > 0.0 else _DIGITS
    return tuple(round(edge + pivot, digits) for edge in edges.tolist())


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
