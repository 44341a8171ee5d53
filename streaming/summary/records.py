"""Merges finished summaries: how windows become a reference."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.contracts.errors import PermanentError
from streaming.contracts.records import Categories, FeatureSummary, NumericGrid
from streaming.resolution import add_grids
from streaming.summary.grids import grid_counts, grid_record
from streaming.summary.values import add_values, bounded_categories


def merge_summaries(summaries: Sequence[FeatureSummary]) -> FeatureSummary:
    """The sum of one feature's summaries, of which there must be at least one.

    Exact for grids, and for categories as long as no summary has a tail; otherwise errors add up.

    Raises
    ------
    PermanentError
        When names or kinds differ.
    """
    first = summaries[0]
    if any(_kind(summary) != _kind(first) for summary in summaries[1:]):
        raise PermanentError(
            f"The summaries of {first.name} differ in name or kind and cannot be added; "
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


def _kind(summary: FeatureSummary) -> tuple[str, bool]:
    return summary.name, summary.grid is None


def _merge_grids(grids: Sequence[NumericGrid]) -> NumericGrid | None:
    if not grids:
        return None
    return grid_record(add_grids([grid_counts(grid) for grid in grids]))


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
