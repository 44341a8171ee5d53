"""Merges finished summaries: how windows become a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streaming.contracts.errors import PermanentError
from streaming.contracts.records import Categories, FeatureSummary, NumericGrid
from streaming.grid import add_counts
from streaming.summary.values import add_values, bounded_categories


def merge_summaries(summaries: Sequence[FeatureSummary]) -> FeatureSummary:
    """The sum of one feature's summaries, of which there must be at least one.

    Exact for grids, and for categories as long as no summary has a tail; otherwise errors add up.

    Raises
    ------
    PermanentError
        When names, kinds or pivots differ: their buckets are not the same buckets.
    """
    first = summaries[0]
    if any(_kind(summary) != _kind(first) for summary in summaries[1:]):
        raise PermanentError(
            f"The summaries of {first.name} differ in name, kind or pivot and cannot be added; "
            "use summaries that were made under one contract."
        )
    return FeatureSummary(
        name=first.name,
        rows=sum(summary.rows for summary in summaries),
        missing=sum(summary.missing for summary in summaries),
        non_finite=sum(summary.non_finite for summary in summaries),
        grid=_merge_grids([summary.grid for summary in summaries if summary.grid]),
        categories=_merge_categories(
            [summary.categories for summary in summaries if summary.categories]
        ),
    )


def _kind(summary: FeatureSummary) -> tuple[str, float | None]:
    return summary.name, None if summary.grid is None else summary.grid.pivot


def _merge_grids(grids: Sequence[NumericGrid]) -> NumericGrid | None:
    if not grids:
        return None
    ids, counts = add_counts(
        [(np.array(grid.buckets, np.int64), np.array(grid.counts, np.int64)) for grid in grids]
    )
    return NumericGrid(
        pivot=grids[0].pivot, buckets=tuple(ids.tolist()), counts=tuple(counts.tolist())
    )


def _merge_categories(parts: Sequence[Categories]) -> Categories | None:
    if not parts:
        return None
    by_value = (dict(zip(part.values, part.counts, strict=True)) for part in parts)
    counts, dropped_rows, error = add_values(by_value)
    return bounded_categories(
        counts,
        dropped_rows + sum(part.tail_rows for part in parts),
        error + sum(part.error for part in parts),
    )
