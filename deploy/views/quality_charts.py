"""A model's quality as a picture: AUC realised and estimated, calibration, the maturity curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.views.output import save_chart
from streaming.contracts.quality import QualityVerdict
from streaming.quality.counts import add, counts_of

WIDTH, HEIGHT = 760, 230
_HALF = 350
_PARTS = 10
_COLOURS = {"stable": "#3a8a4f", "suspected": "#d9a400", "degraded": "#c43c39"}
_GREY = "#9aa3a8"


def draw(verdicts: Sequence[QualityVerdict], file: Path) -> None:
    """Write the picture; the suffix says .png or .svg."""
    import altair as alt

    live = [one for one in verdicts if one.live]
    below = [part for part in (calibration_chart(live), maturity_chart(live)) if part is not None]
    chart = quality_chart(live)
    whole = (
        alt.vconcat(chart, alt.hconcat(*below).resolve_scale(color="independent"))
        if below
        else chart
    )
    save_chart(whole.resolve_scale(color="independent"), file)


def quality_chart(verdicts: Sequence[QualityVerdict]) -> Any:
    """AUC over time: realised with its interval and verdict, estimated as a line, the limit."""
    import altair as alt

    start = verdicts[0].window_start if verdicts else 0.0
    realised, estimated, limits = [], [], []
    for one in verdicts:
        at = one.window_end - start
        for metric in one.metrics if one.stage == "realised" else ():
            if metric.name == "auc":
                row = {"at": at, "auc": metric.value, "low": metric.low, "high": metric.high}
                realised.append({**row, "verdict": one.outcome})
                if metric.limit is not None:
                    limits.append({"at": at, "limit": metric.limit, "version": one.version})
        for metric in one.estimated if one.stage == "estimated" else ():
            if metric.name == "auc":
                kind = "founded" if one.founded else "unfounded"
                estimated.append({"at": at, "auc": metric.value, "estimate": kind})
    scale = alt.Scale(domain=["stable", "suspected", "degraded", "inconclusive"],
                      range=[*_COLOURS.values(), _GREY])  # fmt: skip
    axis = alt.X("at:Q", title="seconds since the first window")
    base = alt.Chart(alt.Data(values=realised))
    bars = base.mark_rule(opacity=0.5).encode(
        x=axis,
        y=alt.Y("low:Q", title="AUC", scale=alt.Scale(zero=False)),
        y2="high:Q",
        color=alt.Color("verdict:N", title="realised", scale=scale),
    )
    points = base.mark_point(filled=True, size=45).encode(
        x="at:Q", y="auc:Q", color=alt.Color("verdict:N", title="realised", scale=scale)
    )
    line = (
        alt.Chart(alt.Data(values=estimated))
        .mark_line(color="#2b6cb0", strokeWidth=1.5)
        .encode(
            x="at:Q",
            y="auc:Q",
            strokeDash=alt.StrokeDash(
                "estimate:N",
                title="estimated",
                scale=alt.Scale(domain=["founded", "unfounded"], range=[[1, 0], [3, 3]]),
            ),
        )
    )
    limit = (
        alt.Chart(alt.Data(values=limits))
        .mark_line(strokeDash=[6, 4], color=_COLOURS["degraded"], interpolate="step-after")
        .encode(x="at:Q", y="limit:Q", detail="version:N")
    )
    title = "AUC of the live version; dashed red: the limit"
    return alt.layer(bars, line, limit, points).properties(width=WIDTH, height=HEIGHT, title=title)


def calibration_chart(verdicts: Sequence[QualityVerdict]) -> Any:
    """Observed against predicted, in ten parts of equal mass, before and in the newest looks."""
    import altair as alt

    mature = [one for one in verdicts if one.stage == "realised"]
    rows = []
    for version in sorted({one.version for one in mature}):
        own = [one for one in mature if one.version == version]
        for name, some in (("first", own[:5]), ("latest", own[-5:])):
            rows += _parts(some, f"version {version}, {name} windows")
    if not rows:
        return None
    even = alt.Chart(alt.Data(values=[{"p": 0, "o": 0}, {"p": 1, "o": 1}])).mark_line(
        color=_GREY, strokeDash=[4, 4]
    )
    lines = alt.Chart(alt.Data(values=rows)).mark_line(point=True)
    return alt.layer(
        even.encode(x=alt.X("p:Q", title="mean predicted"), y=alt.Y("o:Q", title="observed share")),
        lines.encode(x="p:Q", y="o:Q", color=alt.Color("windows:N", title=None)),
    ).properties(width=_HALF - 60, height=HEIGHT, title="Calibration")


def _parts(verdicts: Sequence[QualityVerdict], name: str) -> list[dict[str, object]]:
    counts = add(counts_of(one.counts) for one in verdicts)
    rows = counts.positives + counts.negatives
    if not rows.sum():
        return []
    middle = (np.cumsum(rows) - rows / 2.0) / rows.sum()
    part = np.minimum((middle * _PARTS).astype(int), _PARTS - 1)
    sums = [
        np.bincount(part, column, _PARTS)
        for column in (rows, rows * counts.scores, counts.positives)
    ]
    return [
        {"p": predicted / size, "o": good / size, "windows": name}
        for size, predicted, good in zip(*(column.tolist() for column in sums), strict=True)
        if size
    ]


def maturity_chart(verdicts: Sequence[QualityVerdict]) -> Any:
    """Which share of the labels has come at which age."""
    import altair as alt

    known = [one for one in verdicts if one.maturity]
    if not known:
        return None
    newest = known[-1]
    rows = [{"age": point.age_seconds, "share": point.share} for point in newest.maturity]
    curve = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True, color="#2b6cb0")
        .encode(
            x=alt.X("age:Q", title="seconds after the prediction"),
            y=alt.Y("share:Q", title="share of the labels", axis=alt.Axis(format="%")),
        )
    )
    mature = (
        alt.Chart(alt.Data(values=[{"age": newest.matures_after}]))
        .mark_rule(strokeDash=[6, 4], color=_COLOURS["stable"])
        .encode(x="age:Q")
    )
    title = f"Labels are mature after {newest.matures_after:.1f} s"
    return (curve + mature).properties(width=_HALF - 40, height=HEIGHT, title=title)
