"""Chart of a predicted number: on which side of the predictions the labels lie, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy.views.binned_lines import bins, labelled_lines, lines_of, names_of
from deploy.views.theme import Theme
from streaming.contracts.quality_records import QualityVerdict
from streaming.grid import bucket_middle

FRACTION_BITS = 8
"""Bits of the buckets of predicted numbers (`ScoreCounts.buckets`)."""


def level_chart(verdicts: Sequence[QualityVerdict], size: dict[str, int], theme: Theme) -> Any:
    """Share of the labels above the prediction, in ten bins of equal mass by prediction.

    Each version has a line for its first and one for its last five windows; where they part, the
    model has become wrong at these levels. None without a measured regression.
    """
    import altair as alt

    rows: list[dict[str, Any]] = []
    for line, own in lines_of(verdicts, "mean_error").items():
        rows += level_bins(own, line)
    if not rows:
        return None
    x = alt.X("level:Q", title="prediction", scale=alt.Scale(zero=False))
    y = alt.Y("above:Q", title="labels above it", axis=alt.Axis(format="%"))
    title = alt.TitleParams(
        text="Labels above the prediction", fontSize=theme.font_size, anchor="start", frame="bounds"
    )
    width = size["width"] - theme.label_width(names_of(rows))
    layers = labelled_lines(rows, x, y, share="above", theme=theme)
    return alt.layer(*layers).properties(width=width, height=size["height"], title=title)


def level_bins(verdicts: Sequence[QualityVerdict], name: str) -> list[dict[str, Any]]:
    """Mean prediction and share of labels above it, in bins of equal mass."""
    level = ("level", lambda counts: bucket_middle(counts.buckets, FRACTION_BITS))
    return bins(verdicts, name, level=level, share="above")
