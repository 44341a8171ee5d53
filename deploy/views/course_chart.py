"""Drift, retrains, canary and quality of a model above each other, on one time axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from deploy.config.units import format_duration, format_time
from deploy.projection.course import Course, RetrainSpan
from deploy.projection.reader import Bin
from deploy.views.theme import Theme, finish, state_shape, values
from deploy.views.time_axis import Marker, TimeAxis

_OUTCOMES = {0: "stable", 1: "suspected", 2: "drifted"}
_KIND_OF_END = {
    "blessed": "stable",
    "running": "suspected",
    "insufficient": "insufficient",
    "cancelled": "inconclusive",
}
"""The outcome whose colour a retrain has; one that is not named failed."""
NOTE = (
    "From above: largest effect over its limit by window; retrains; share of the requests for a "
    "new version; realised quality. Diamond: suspected; triangle: drifted or degraded; dashed: "
    "limit."
)
MAX_MARKERS = 6


def complete_chart(course: Course, *, theme: Theme) -> Any:
    """The whole picture."""
    import altair as alt

    axis = TimeAxis(
        start=course.start,
        stop=course.stop,
        origin=format_time(course.start),
        markers=_markers(course),
    )
    panels: list[Callable[..., Any]] = []
    if course.drift:
        panels.append(partial(_drift_panel, course.drift))
    if course.retrains:
        panels.append(partial(_retrain_panel, course.retrains, course.stop))
    if any(row.measure for row in course.weights):
        panels.append(partial(_weight_panel, course))
    if course.quality:
        panels.append(partial(_quality_panel, course.quality))
    drawn = [
        panel(axis, theme, labelled=number == 1, visible=number == len(panels))
        for number, panel in enumerate(panels, start=1)
    ]
    chart = alt.vconcat(*drawn, bounds="flush", spacing=30)
    return finish(chart, theme, headline(course), NOTE)


def headline(course: Course) -> str:
    """What happened, in a sentence.

    >>> headline(Course(start=0.0, stop=60.0, drift=(), quality=(), retrains=(), weights=(),
    ...     promotions=()))
    'In 1m: no judged window, no retrain, no promotion'
    """
    windows = sum(entry.count for entry in course.drift)
    beyond = max((entry.largest for entry in course.drift), default=0.0)
    worst = max((entry.severity for entry in course.drift), default=0)
    inputs = (
        f"{windows} judged windows, the worst {_OUTCOMES[worst]} at {beyond:.2f} times its limit"
        if windows
        else "no judged window"
    )
    ends = [f"{span.cause} ({span.outcome.replace('-', ' ')})" for span in course.retrains]
    retrains = f"retrains: {', '.join(ends[-3:])}" if ends else "no retrain"
    live = [f"version {row.version} {row.outcome}" for row in course.promotions]
    parts = [inputs, retrains, live[-1] if live else "no promotion"]
    if course.quality:
        first, last = course.quality[0].mean, course.quality[-1].mean
        parts.append(f"quality from {first:.3f} to {last:.3f}")
    span = " ".join(format_duration(round(course.stop - course.start)).split()[:2])
    return f"In {span}: {', '.join(parts)}"


def _markers(course: Course) -> tuple[Marker, ...]:
    return tuple(
        Marker(
            row.at, f"version {row.version} {'back' if row.outcome == 'rolled-back' else 'live'}"
        )
        for row in course.promotions[-MAX_MARKERS:]
        if row.outcome != "referenced"
    )


def _label_width(theme: Theme) -> int:
    return theme.label_width(["insufficient"])


def _panel(
    layers: list[Any], title: str, axis: TimeAxis, theme: Theme, height: int, *, labelled: bool
) -> Any:
    import altair as alt

    width = theme.plot_width(_label_width(theme))
    layers = [*layers, *axis.marker_layers(theme, width, labelled=labelled)]
    heading = alt.TitleParams(
        text=title,
        fontSize=theme.font_size,
        fontWeight="normal",
        anchor="start",
        frame="group",
        offset=20 if labelled and axis.markers else 4,
    )
    chart = alt.layer(*layers).properties(width=width, height=theme.height(height), title=heading)
    return chart.resolve_scale(color="independent", shape="independent")


def _alarms(rows: Sequence[dict[str, Any]], x: Any, y: Any, theme: Theme) -> list[Any]:
    """A layer of points for each outcome that is an alarm."""
    import altair as alt

    layers = []
    for severity in (1, 2):
        own = [row for row in rows if row["severity"] == severity]
        outcome = _OUTCOMES[severity]
        if own:
            points = alt.Chart(values(own)).mark_point(
                filled=True,
                size=55,
                opacity=1.0,
                shape=state_shape(outcome),
                color=theme.state_colour(outcome),
            )
            layers.append(points.encode(x=x, y=y))
    return layers


def _end_label(text: str, x: Any, y: Any, row: dict[str, Any], colour: str) -> Any:
    import altair as alt

    mark = alt.Chart(values([row])).mark_text(
        text=text, align="left", dx=6, color=colour, fontWeight="bold"
    )
    return mark.encode(x=x, y=y)


def _drift_panel(
    bins: Sequence[Bin], axis: TimeAxis, theme: Theme, *, labelled: bool, visible: bool
) -> Any:
    import altair as alt

    rows = [
        {"time": axis.position(bin.at), "value": bin.largest, "severity": bin.severity}
        for bin in bins
    ]
    top = 1.08 * max(1.4, *(row["value"] for row in rows))
    x = axis.encoding(theme, visible=visible)
    y = alt.Y("value:Q", title="effect / limit", scale=alt.Scale(domain=[0, top], nice=False))
    limit = [{"time": at, "value": 1.0} for at in axis.domain]
    layers = [
        alt.Chart(values(limit))
        .mark_line(color=theme.palette.muted, strokeDash=[5, 4], strokeWidth=1)
        .encode(x=x, y=y),
        alt.Chart(values(rows))
        .mark_line(color=theme.series_colour(0), strokeWidth=1.8)
        .encode(x=x, y=y),
        *_alarms(rows, x, y, theme),
        _end_label("limit", x, y, limit[-1], theme.palette.muted),
    ]
    return _panel(layers, "Inputs", axis, theme, 130, labelled=labelled)


def _retrain_panel(
    spans: Sequence[RetrainSpan],
    stop: float,
    axis: TimeAxis,
    theme: Theme,
    *,
    labelled: bool,
    visible: bool,
) -> Any:
    import altair as alt

    x, y = axis.encoding(theme, visible=visible), alt.value(12)
    layers = []
    for span in spans:
        end = stop if span.stop is None else span.stop
        outcome = _KIND_OF_END.get(span.outcome, "fail")
        row = {"time": axis.position(span.start), "end": axis.position(end), "y": 0}
        bar = alt.Chart(values([row])).mark_rule(
            strokeWidth=9, color=theme.state_colour(outcome), strokeCap="butt"
        )
        layers.append(bar.encode(x=x, x2="end:Q", y=y))
    newest = spans[-1]
    label = alt.Chart(values([{"time": axis.domain[1]}])).mark_text(
        text=newest.outcome.replace("-", " "),
        align="left",
        dx=6,
        color=theme.state_colour(_KIND_OF_END.get(newest.outcome, "fail")),
        fontWeight="bold",
    )
    layers.append(label.encode(x=x, y=y))
    return _panel(layers, "Retrains", axis, theme, 30, labelled=labelled)


def _weight_panel(
    course: Course, axis: TimeAxis, theme: Theme, *, labelled: bool, visible: bool
) -> Any:
    import altair as alt

    rows = [{"time": axis.position(row.at), "share": row.measure or 0.0} for row in course.weights]
    rows.append({"time": axis.domain[1], "share": rows[-1]["share"]})
    x = axis.encoding(theme, visible=visible)
    y = alt.Y(
        "share:Q",
        title="share (%)",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(values=[0, 50, 100]),
    )
    colour = theme.series_colour(1)
    base = alt.Chart(values(rows)).encode(x=x, y=y)
    layers = [
        base.mark_area(interpolate="step-after", color=colour, opacity=0.18),
        base.mark_line(interpolate="step-after", color=colour, strokeWidth=2),
        _end_label(f"version {course.weights[-1].version}", x, y, rows[-1], colour),
    ]
    return _panel(layers, "New version's requests", axis, theme, 76, labelled=labelled)


def _quality_panel(
    bins: Sequence[Bin], axis: TimeAxis, theme: Theme, *, labelled: bool, visible: bool
) -> Any:
    import altair as alt

    rows = [
        {"time": axis.position(bin.at), "value": bin.mean, "severity": bin.severity} for bin in bins
    ]
    x = axis.encoding(theme, visible=visible)
    y = alt.Y("value:Q", title="quality", scale=alt.Scale(zero=False, nice=True))
    colour = theme.series_colour(2)
    layers = [
        alt.Chart(values(rows)).mark_line(color=colour, strokeWidth=1.8, point=len(rows) == 1)
        .encode(x=x, y=y),
        *_alarms(rows, x, y, theme),
        _end_label(f"{rows[-1]['value']:.3f}", x, y, rows[-1], colour),
    ]  # fmt: skip
    return _panel(layers, "Quality on mature labels", axis, theme, 96, labelled=labelled)
