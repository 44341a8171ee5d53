"""Lines of a version's first and last windows, with predictions in bins of equal mass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from deploy.views.theme import Theme, separated, values
from streaming.contracts.quality_records import QualityVerdict
from streaming.grid import Floats
from streaming.quality.counts import Counts, add, counts_of

_BINS = 10
_WINDOWS = 5
"""Windows of a line, where a version has more."""
_LABEL_GAP = 0.08
"""Smallest distance of two labels, in shares."""


def lines_of(verdicts: Sequence[QualityVerdict], metric: str) -> dict[str, list[QualityVerdict]]:
    """The realised verdicts with this metric: the first and the last five of each version, or all
    if it has no more; by the name of the line."""
    realised = [
        verdict
        for verdict in verdicts
        if verdict.stage == "realised" and any(m.name == metric for m in verdict.metrics)
    ]
    lines = {}
    for version in sorted({verdict.version for verdict in realised}):
        own = [verdict for verdict in realised if verdict.version == version]
        if len(own) > _WINDOWS:
            lines[f"v{version} first"], lines[f"v{version} last"] = own[:_WINDOWS], own[-_WINDOWS:]
        else:
            lines[f"v{version} all"] = own
    return lines


def bins(
    verdicts: Sequence[QualityVerdict],
    line: str,
    *,
    level: tuple[str, Callable[[Counts], Floats]],
    share: str,
) -> list[dict[str, Any]]:
    """Points of a line, at most one for each of ten bins of equal mass.

    Parameters
    ----------
    verdicts:
        Their counts are added.
    line:
        The line's name, in the column ``windows``.
    level:
        Column of a bin's mean, and what it is the mean of, for each bucket.
    share:
        Column of a bin's share of positive labels.
    """
    counts = add(counts_of(verdict.counts) for verdict in verdicts)
    rows = counts.positives + counts.negatives
    if not rows.sum():
        return []
    middle = (np.cumsum(rows) - rows / 2.0) / rows.sum()
    number = np.minimum((middle * _BINS).astype(int), _BINS - 1)
    column, level_of = level
    sums = [
        np.bincount(number, weights, _BINS)
        for weights in (rows, rows * level_of(counts), counts.positives)
    ]
    totals = zip(*(column_sums.tolist() for column_sums in sums), strict=True)
    return [
        {column: mean / size, share: positive / size, "windows": line}
        for size, mean, positive in totals
        if size
    ]


def names_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the lines, in their order."""
    return list(dict.fromkeys(str(row["windows"]) for row in rows))


def labelled_lines(
    rows: Sequence[dict[str, Any]], x: Any, y: Any, *, share: str, theme: Theme
) -> tuple[Any, Any]:
    """The lines of `rows`, and their names at their ends; `share` is the column of `y`."""
    import altair as alt

    names = names_of(rows)
    colours = alt.Scale(
        domain=names, range=[theme.series_colour(number) for number in range(len(names))]
    )
    colour = alt.Color("windows:N", scale=colours, legend=None)
    ends = [[row for row in rows if row["windows"] == name][-1] for name in names]
    heights = separated([row[share] for row in ends], _LABEL_GAP)
    ends = [{**row, share: height} for row, height in zip(ends, heights, strict=True)]
    lines = alt.Chart(values(rows)).mark_line(point={"filled": True, "size": 30})
    labels = alt.Chart(values(ends)).mark_text(align="left", dx=6, fontWeight="bold")
    return (
        lines.encode(x=x, y=y, color=colour),
        labels.encode(x=x, y=y, text="windows:N", color=colour),
    )
