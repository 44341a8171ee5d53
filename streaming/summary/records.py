"""Finished summaries added up: how windows become a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streaming.contracts.errors import PermanentError
from streaming.contracts.records import Categories, FeatureSummary, NumericGrid
from streaming.grid import add_counts
from streaming.summary.values import add_values, bounded


def merge_summaries(summaries: Sequence[FeatureSummary]) -> FeatureSummary:
    """One feature's summaries (at least one) added up.

    Exact for grids, and for categories as long as no summary has a tail; else errors add up.

    Raises
    ------
    PermanentError
        When names, kinds or pivots differ: their buckets are not the same buckets.
    """
    head = summaries[0]
    if any(_kind(one) != _kind(head) for one in summaries[1:]):
        raise PermanentError(
            f"The summaries of {head.name} differ in name, kind or pivot and cannot be added; "
            "use summaries that were made under one contract."
        )
    return FeatureSummary(
        name=head.name,
        rows=sum(one.rows for one in summaries),
        missing=sum(one.missing for one in summaries),
        non_finite=sum(one.non_finite for one in summaries),
        grid=_grid([one.grid for one in summaries if one.grid]),
        categories=_categories([one.categories for one in summaries if one.categories]),
    )


def _kind(summary: FeatureSummary) -> tuple[str, float | None]:
    return summary.name, None if summary.grid is None else summary.grid.pivot


def _grid(grids: Sequence[NumericGrid]) -> NumericGrid | None:
    if not grids:
        return None
    ids, counts = add_counts(
        [(np.array(one.buckets, np.int64), np.array(one.counts, np.int64)) for one in grids]
    )
    return NumericGrid(
        pivot=grids[0].pivot, buckets=tuple(ids.tolist()), counts=tuple(counts.tolist())
    )


def _categories(many: Sequence[Categories]) -> Categories | None:
    if not many:
        return None
    named = (dict(zip(one.values, one.counts, strict=True)) for one in many)
    counts, cut_off, error = add_values(named)
    return bounded(
        counts,
        cut_off + sum(one.tail_rows for one in many),
        error + sum(one.error for one in many),
    )
