"""Chart of a predicted number: on which side of the predictions the labels lie, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deploy.views.theme import Theme, separated, values
from streaming.contracts.quality_records import QualityVerdict
from streaming.grid import bucket_middle
from streaming.quality.counts import add, counts_of

FRACTION_BITS = 8
"""Bits of the buckets of predicted numbers (`ScoreCounts.buckets`)."""
_BINS = 10
_LABEL_GAP = 0.08


def level_chart(verdicts: Sequence[QualityVerdict], size: dict[str, int], theme: Theme) -> Any:
    """Share of the labels above the prediction, in ten bins of equal mass by prediction.

    Each version has a line for its first and one for its last five windows; where they part, the
    model has become wrong at these levels. None without a measured regression.
    """
    import altair as alt

    realised = [
        verdict
        for verdict in verdicts
        if verdict.stage == "realised" and any(m.name == "mean_error" for m in verdict.metrics)
    ]
    rows: list[dict[str, Any]] = []
    for version in sorted({verdict.version for verdict in realised}):
        own = [verdict for verdict in realised if verdict.version == version]
        groups = (("first", own[:5]), ("last", own[-5:])) if len(own) > 5 else (("all", own),)
        for name, group in groups:
            rows += level_bins(group, f"v{version} {name}")
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["windows"]) for row in rows))
    colours = alt.Scale(
        domain=names, range=[theme.series_colour(number) for number in range(len(names))]
    )
    colour = alt.Color("windows:N", scale=colours, legend=None)
    x = alt.X("level:Q", title="prediction", scale=alt.Scale(zero=False))
    y = alt.Y("above:Q", title="labels above it", axis=alt.Axis(format="%"))
    ends = [[row for row in rows if row["windows"] == name][-1] for name in names]
    heights = separated([row["above"] for row in ends], _LABEL_GAP)
    ends = [{**row, "above": height} for row, height in zip(ends, heights, strict=True)]
    lines = alt.Chart(values(rows)).mark_line(point={"filled": True, "size": 30})
    labels = alt.Chart(values(ends)).mark_text(align="left", dx=6, fontWeight="bold")
    title = alt.TitleParams(
        text="Labels above the prediction", fontSize=theme.font_size, anchor="start", frame="bounds"
    )
    return alt.layer(
        lines.encode(x=x, y=y, color=colour),
        labels.encode(x=x, y=y, text="windows:N", color=colour),
    ).properties(width=size["width"] - theme.label_width(names), height=size["height"], title=title)


def level_bins(verdicts: Sequence[QualityVerdict], name: str) -> list[dict[str, Any]]:
    """Mean prediction and share of labels above it, in bins of equal mass."""
    counts = add(counts_of(verdict.counts) for verdict in verdicts)
    rows = counts.positives + counts.negatives
    if not rows.sum():
        return []
    middle = (np.cumsum(rows) - rows / 2.0) / rows.sum()
    number = np.minimum((middle * _BINS).astype(int), _BINS - 1)
    levels = bucket_middle(counts.buckets, FRACTION_BITS)
    sums = [
        np.bincount(number, column, _BINS) for column in (rows, rows * levels, counts.positives)
    ]
    return [
        {"level": level / size, "above": above / size, "windows": name}
        for size, level, above in zip(*(column.tolist() for column in sums), strict=True)
        if size
    ]
