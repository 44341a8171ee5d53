"""Charts of a run: overview, drift, rollout, quality and AUC of the versions.

All charts over time share one axis: seconds since the start of the run, with the shift, the
retrain, the canary and the promotion marked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from deploy.demo import checks
from deploy.demo.rollout_charts import rollout_chart, share_panel, share_rows
from deploy.demo.state import DemoState
from deploy.views import drift_charts, quality_charts
from deploy.views.output import save_chart
from deploy.views.theme import VARIANTS, Theme, finish, values
from deploy.views.time_axis import Marker, TimeAxis
from streaming.contracts.quality_records import QualityVerdict
from streaming.contracts.records import DriftVerdict, ModelVersion

ChartFunction = Callable[[DemoState, Theme], Any]


def draw(state: DemoState, folder: Path) -> tuple[Path, ...]:
    """Draw the charts for which there is data; returns the light, wide PNG files.

    Each chart is written as SVG in the four variants of `deploy.views.theme`, and as PNG in the
    wide ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, function in CHARTS.items():
        for suffix, theme in VARIANTS.items():
            chart = function(state, theme)
            if chart is None:
                break
            save_chart(chart, folder / f"{name}{suffix}.svg")
            if not theme.narrow:
                save_chart(chart, folder / f"{name}{suffix}.png")
        else:
            files.append(folder / f"{name}.png")
    return tuple(files)


def time_axis(state: DemoState) -> TimeAxis:
    """The common axis with its markers."""
    timeline = state.timeline
    markers = [
        Marker(at, label)
        for at, label in (
            (state.shift_at, "shift"),
            (state.concept_shift_at, "concept shift"),
            (state.broken_at, "broken producer"),
            (state.new_column_at, "new column"),
        )
        if at is not None
    ]
    markers += [Marker(request.at, "retrain") for request in timeline.retrains]
    first_canary = next((s.at for s in timeline.rollouts if s.weight > 0 and s.version > 1), None)
    if first_canary is not None:
        markers.append(Marker(first_canary, "canary"))
    for promotion in timeline.promotions:
        word = "back" if promotion.change == "rolled-back" else "live"
        markers.append(Marker(promotion.at, f"version {promotion.version} {word}"))
    return TimeAxis(start=state.started_at, stop=state.now, markers=tuple(markers))


def overview_chart(state: DemoState, theme: Theme) -> Any:
    """Drift, rollout and quality above each other on the common time axis."""
    import altair as alt

    verdicts, quality, axis = _judged(state), _quality(state), time_axis(state)
    names = drift_charts.moved_most(verdicts, 4)
    panels: list[tuple[Callable[..., Any], int]] = []
    if verdicts:
        panels.append((partial(drift_charts.effects_panel, verdicts, names, axis, theme), 170))
    if share_rows(state, axis):
        panels.append((partial(share_panel, state, axis, theme), 90))
    if quality:
        panels.append((partial(quality_charts.auc_panel, quality, axis, theme), 130))
    if not panels:
        return None
    label_width = theme.label_width([*names, "inconclusive"])
    drawn = [
        panel(
            markers_labelled=number == 1,
            axis_visible=number == len(panels),
            height=height,
            label_width=label_width,
        )
        for number, (panel, height) in enumerate(panels, start=1)
    ]
    chart = alt.vconcat(*drawn, bounds="flush", spacing=22)
    return finish(chart, theme, overview_headline(state))


def overview_headline(state: DemoState) -> str:
    """The course of the run as a sentence."""
    shift = state.shift_at if state.shift_at is not None else state.concept_shift_at
    promotion = state.timeline.promotion_of(2)
    if shift is None or promotion is None:
        alarms = len(state.timeline.alarms())
        live = state.timeline.live
        return f"{len(_judged(state))} judged windows, {alarms} alarms; version {live} is live"
    kind = "Drift" if state.shift_at is not None else "Concept drift"
    seconds = _seconds_to_alarm(state, shift)
    alarm = f"{kind} found {seconds:.0f} s after the shift, " if seconds is not None else ""
    requests, errors = state.rollout_client_counts(2)
    return (
        f"{alarm}version 2 live after {promotion.at - shift:.0f} s; "
        f"{errors} client errors in {requests:,} requests during the rollout"
    )


def _seconds_to_alarm(state: DemoState, shift: float) -> float | None:
    """From the shift to the end of the first window that confirmed it."""
    drifted = [v.window_end for v in state.timeline.verdicts if v.outcome == "drifted"]
    degraded = [v.at for v in state.timeline.quality if v.outcome == "degraded"]
    times = [at for at in (*drifted, *degraded) if at > shift]
    return min(times) - shift if times else None


def drift_chart(state: DemoState, theme: Theme) -> Any:
    """Effects of the features that moved most."""
    verdicts = _judged(state)
    if not verdicts:
        return None
    names = drift_charts.moved_most(verdicts, 4 if theme.narrow else drift_charts.MAX_FEATURES)
    panel = drift_charts.effects_panel(verdicts, names, time_axis(state), theme)
    return finish(panel, theme, drift_charts.headline(verdicts), drift_charts.note(verdicts))


def quality_chart(state: DemoState, theme: Theme) -> Any:
    """AUC of the live version over time."""
    verdicts = _quality(state)
    if not verdicts:
        return None
    panel = quality_charts.auc_panel(verdicts, time_axis(state), theme)
    return finish(panel, theme, quality_charts.headline(verdicts), quality_charts.note(verdicts))


def auc_chart(state: DemoState, theme: Theme) -> Any:
    """AUC of the newest version with its interval, beside its champion, on both slices."""
    import altair as alt

    rows = auc_rows(state)
    if theme.narrow:
        rows = [{**row, "label": row["label"].replace("version ", "v")} for row in rows]
    if not rows:
        return None
    names = [str(row["label"]) for row in rows]
    base = alt.Chart(values(rows)).encode(
        y=alt.Y("label:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False)),
    )
    x = alt.X("auc:Q", title="AUC", scale=alt.Scale(zero=False, padding=30))
    colour = alt.Color(
        "kind:N",
        legend=None,
        scale=alt.Scale(
            domain=["challenger", "champion"],
            range=[theme.series_colour(0), theme.palette.muted],
        ),
    )
    intervals = base.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x="low:Q", x2="high:Q", color=colour
    )
    points = base.mark_point(filled=True, size=90, opacity=1.0).encode(x=x, color=colour)
    labels = base.mark_text(dy=-13, fontWeight="bold").encode(
        x=x, text=alt.Text("auc:Q", format=".3f"), color=colour
    )
    width = theme.width - theme.label_width(names) - 2 * theme.padding - 20
    chart = alt.layer(intervals, points, labels).properties(width=width, height=44 * len(rows))
    return finish(
        chart, theme, auc_headline(state), "Evaluation on held-back rows, with 95 % intervals."
    )


def auc_rows(state: DemoState) -> list[dict[str, Any]]:
    """A row for each slice and version; slices that were not measured are left out."""
    if not state.timeline.versions:
        return []
    version = state.timeline.versions[max(state.timeline.versions)]
    rows: list[dict[str, Any]] = []
    for slice_name, words in ((checks.AFTER_SHIFT, "after the shift"), ("", "all rows")):
        metric = _auc_metric(version, slice_name)
        if metric is None:
            continue
        interval = {"low": metric.low, "high": metric.high}
        label = f"{words}: version {version.version}"
        rows.append({"label": label, "kind": "challenger", "auc": metric.value, **interval})
        if metric.champion is not None:
            label = f"{words}: version {version.base_version}"
            rows.append({"label": label, "kind": "champion", "auc": metric.champion})
    return rows


def auc_headline(state: DemoState) -> str:
    """Comparison of the newest version with its champion as a sentence."""
    version = state.timeline.versions[max(state.timeline.versions)]
    new, old = checks.auc(version, checks.AFTER_SHIFT)
    if new is not None and old is not None:
        return (
            f"On rows from after the shift, version {version.version} reaches AUC {new:.2f} "
            f"against {old:.2f} of version {version.base_version}"
        )
    overall, champion = checks.auc(version, "")
    against = f" against {champion:.2f} of its champion" if champion is not None else ""
    return f"Version {version.version} reaches AUC {overall or 0.0:.2f}{against}"


def _auc_metric(version: ModelVersion, slice_name: str) -> Any:
    for metric in version.evaluation:
        if metric.name.lower() == "auc" and checks.is_slice(metric.slice, slice_name):
            return metric
    return None


def _judged(state: DemoState) -> list[DriftVerdict]:
    """Verdicts that had a reference."""
    return [v for v in state.timeline.verdicts if v.reference_version and v.features]


def _quality(state: DemoState) -> list[QualityVerdict]:
    if not state.timeline.quality:
        return []
    return sorted((*state.timeline.estimates, *state.timeline.quality), key=lambda v: v.at)


CHARTS: dict[str, ChartFunction] = {
    "overview": overview_chart,
    "drift": drift_chart,
    "rollout": lambda state, theme: rollout_chart(state, time_axis(state), theme),
    "quality": quality_chart,
    "auc": auc_chart,
}
"""The charts by file name."""
