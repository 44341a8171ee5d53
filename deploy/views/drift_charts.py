"""Drift as a picture: effects against their limits over time, and both histograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.views.drift_tables import cell_names, of_feature
from deploy.views.output import save_chart
from streaming.contracts.records import DriftVerdict, FeatureVerdict, Histogram

MAX = 6
"""So many features are drawn, those that moved most."""
_WIDTH, _HEIGHT = 760, 220
_COLOURS = {"stable": "#3a8a4f", "suspected": "#d9a400", "drifted": "#c43c39"}
_GREY, _BEFORE, _NOW = "#9aa3a8", "#2b6cb0", "#b83280"


def draw(verdicts: Sequence[DriftVerdict], file: Path, feature: str | None = None) -> None:
    """Write the picture of one feature, or of those that moved most; the suffix says the format."""
    import altair as alt

    names = [feature] if feature is not None else moved_most(verdicts)
    newest = {name: of_feature(verdicts, name)[-1][1] for name in names}
    parts = [
        histogram_chart(name, one.histogram)
        for name, one in newest.items()
        if one.histogram is not None
    ]
    rows = [alt.hconcat(*parts[at : at + 3]) for at in range(0, len(parts), 3)]
    whole = alt.vconcat(effects_chart(verdicts, names), *rows).resolve_scale(color="independent")
    save_chart(whole, file)


def moved_most(verdicts: Sequence[DriftVerdict]) -> list[str]:
    """The features with the largest effect in any of the windows."""
    largest: dict[str, float] = {}
    for verdict in verdicts:
        for one in verdict.features:
            largest[one.feature] = max(largest.get(one.feature, 0.0), one.effect)
    return sorted(largest, key=lambda name: (-largest[name], name))[:MAX]


def effects_chart(verdicts: Sequence[DriftVerdict], names: Sequence[str]) -> Any:
    """Effect of each feature by window, coloured points for its verdict, dashed the limit."""
    import altair as alt

    rows = [
        _row(verdict.window_end - verdicts[0].window_start, one)
        for verdict in verdicts
        for one in verdict.features
        if one.feature in names and one.tests
    ]
    base = alt.Chart(alt.Data(values=rows))
    at = alt.X("at:Q", title="seconds since the first window shown")
    line = base.mark_line(opacity=0.7).encode(
        x=at,
        y=alt.Y("effect:Q", title="effect (sd)"),
        color=alt.Color("feature:N", sort=list(names), title=None),
    )
    limit = base.mark_line(strokeDash=[5, 4], opacity=0.5, interpolate="step-before").encode(
        x="at:Q",
        y="limit:Q",
        color=alt.Color("feature:N", sort=list(names), legend=None),
    )
    scale = alt.Scale(domain=[*_COLOURS, "inconclusive"], range=[*_COLOURS.values(), _GREY])
    points = base.mark_point(filled=True, size=50, opacity=1.0).encode(
        x="at:Q", y="effect:Q", color=alt.Color("verdict:N", title="verdict", scale=scale)
    )
    return (
        alt.layer(line, limit, points)
        .resolve_scale(color="independent")
        .properties(width=_WIDTH, height=_HEIGHT, title="Effects; dashed: what counts as a hit")
    )


def _row(at: float, one: FeatureVerdict) -> dict[str, object]:
    return {
        "at": at,
        "feature": one.feature,
        "effect": abs(one.effect),
        "limit": one.limit_sd,
        "verdict": one.outcome,
    }


def histogram_chart(name: str, histogram: Histogram) -> Any:
    """Shares of the cells, the reference beside the window."""
    import altair as alt

    cells = cell_names(histogram)
    rows = [
        {"cell": cell, "side": side, "share": share}
        for side, shares in (("reference", histogram.before), ("window", histogram.now))
        for cell, share in zip(cells, shares, strict=True)
    ]
    scale = alt.Scale(domain=["reference", "window"], range=[_BEFORE, _NOW])
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("cell:N", sort=cells, title=None),
        y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%")),
        color=alt.Color("side:N", title=None, scale=scale),
    )
    before = base.transform_filter("datum.side == 'reference'").mark_bar(opacity=0.6)
    now = base.transform_filter("datum.side == 'window'").mark_line(point=True)
    return (before + now).properties(width=190, height=130, title=name)
