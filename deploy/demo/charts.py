"""Pictures of a run as SVG and PNG: drift against its limit, the rollout, AUC before and after,
and what came true of the predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.demo.report import Report
from deploy.demo.view import View

WIDTH, HEIGHT = 820, 260
SHOWN_FEATURES = 6
_COLOURS = {"stable": "#3a8a4f", "suspected": "#d9a400", "drifted": "#c43c39"}


def draw(view: View, report: Report, folder: Path, *, drifted_sd: float = 0.5) -> tuple[Path, ...]:
    """Write the pictures there is something to show for; returns the PNG files.

    `drifted_sd` is the effect, in standard deviations, from which a feature counts as drifted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    charts = {
        "drift": drift_chart(view, drifted_sd),
        "rollout": rollout_chart(view),
        "auc": auc_chart(report),
    }
    written = []
    for name, chart in charts.items():
        if chart is None:
            continue
        chart.save(folder / f"{name}.svg")
        chart.save(folder / f"{name}.png", scale_factor=2)
        written.append(folder / f"{name}.png")
    if view.story.quality:
        from deploy.views import quality_charts

        verdicts = sorted((*view.story.estimates, *view.story.quality), key=lambda v: v.at)
        for suffix in ("svg", "png"):
            quality_charts.draw(verdicts, folder / f"quality.{suffix}")
        written.append(folder / "quality.png")
    return tuple(written)


def drift_chart(view: View, drifted_sd: float) -> Any:
    """Effect of the features that moved most, over time, with the limit and the world's changes."""
    import altair as alt

    worst: dict[str, float] = {}
    for verdict in view.story.verdicts:
        for feature in verdict.features:
            worst[feature.feature] = max(worst.get(feature.feature, 0.0), abs(feature.effect))
    shown = sorted(worst, key=lambda name: -worst[name])[:SHOWN_FEATURES]
    rows = [
        {
            "seconds": verdict.window_end - view.started_at,
            "feature": feature.feature,
            "effect": abs(feature.effect),
            "outcome": feature.outcome,
        }
        for verdict in view.story.verdicts
        for feature in verdict.features
        if feature.feature in shown and verdict.reference_version
    ]
    if not rows:
        return None
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("seconds:Q", title="seconds since the start"),
            y=alt.Y("effect:Q", title="distance from the reference (sd)"),
            color=alt.Color("feature:N", title=None),
        )
    )
    limit = (
        alt.Chart(alt.Data(values=[{"effect": drifted_sd}]))
        .mark_rule(strokeDash=[6, 4], color=_COLOURS["drifted"])
        .encode(y="effect:Q")
    )
    return _titled(alt.layer(lines, limit, *_marks(view)), "Drift, window by window")


def rollout_chart(view: View) -> Any:
    """Share of the canary and client errors over time."""
    import altair as alt

    statuses = [status for status in view.story.rollouts if status.version > 1]
    if not statuses:
        return None
    start, stop = statuses[0].at - 10, min(statuses[-1].at + 20, view.now)
    weights = [
        {"seconds": status.at - view.started_at, "value": status.weight} for status in statuses
    ]
    weights.append({"seconds": stop - view.started_at, "value": statuses[-1].weight})
    clients = [
        {"seconds": s.at - view.started_at, "answers": kind, "value": count}
        for s in view.seconds
        if start <= s.at <= stop
        for kind, count in (("good", s.requests - s.errors), ("errors", s.errors))
    ]
    weight = (
        alt.Chart(alt.Data(values=weights))
        .mark_line(interpolate="step-after", color="#2b6cb0")
        .encode(
            x=alt.X("seconds:Q", title="seconds since the start"),
            y=alt.Y("value:Q", title="canary weight (%)", scale=alt.Scale(domain=[0, 100])),
        )
    )
    if not clients:
        return _titled(weight, "The rollout")
    colours = alt.Scale(domain=["good", "errors"], range=["#cfd8dc", _COLOURS["drifted"]])
    answers = (
        alt.Chart(alt.Data(values=clients))
        .mark_bar(size=3)
        .encode(
            x="seconds:Q",
            y=alt.Y("value:Q", title="answers per second"),
            color=alt.Color("answers:N", title=None, scale=colours),
        )
    )
    layered = alt.layer(answers, weight).resolve_scale(y="independent")
    return _titled(layered, "The rollout, as the clients saw it")


def auc_chart(report: Report) -> Any:
    """AUC of each version, overall and after the shift."""
    import altair as alt

    rows = [
        {"version": f"version {version.version}", "rows": kind, "auc": value}
        for version in report.versions
        for kind, value in (("own data", version.auc), ("after the shift", version.auc_on_shift))
        if value is not None
    ]
    if not rows:
        return None
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("auc:Q", title="AUC", scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("version:N", title=None),
        yOffset="rows:N",
    )
    bars = base.mark_bar().encode(color=alt.Color("rows:N", title=None))
    words = base.mark_text(align="left", dx=4).encode(text=alt.Text("auc:Q", format=".3f"))
    return _titled(bars + words, "How well each version knows the trips")


def _marks(view: View) -> list[Any]:
    """Vertical lines: the shift and the promotions."""
    import altair as alt

    moments = [
        (promotion.at - view.started_at, f"version {promotion.version} live")
        for promotion in view.story.promotions
    ]
    if view.shift_at is not None:
        moments.append((view.shift_at - view.started_at, "shift"))
    marks: list[Any] = []
    for place, (seconds, what) in enumerate(sorted(moments)):
        # neighbours may be seconds apart: their words take turns in height
        data = alt.Data(values=[{"seconds": seconds, "what": what}])
        rule = alt.Chart(data).encode(x="seconds:Q")
        words = rule.mark_text(align="left", dx=4, y=8 + 14 * (place % 2)).encode(text="what:N")
        marks += [rule.mark_rule(color="#888888"), words]
    return marks


def _titled(chart: Any, title: str) -> Any:
    return chart.properties(width=WIDTH, height=HEIGHT, title=title)
