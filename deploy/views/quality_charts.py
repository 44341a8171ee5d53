"""Charts of a model's quality: its headline measure over time, calibration, maturity of labels.

The headline is the AUC, the macro F1, or the error of a number (`contracts.quality_measures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.views.binned_lines import bins, labelled_lines, lines_of, names_of
from deploy.views.level_charts import level_chart
from deploy.views.output import save_chart
from deploy.views.theme import DEFAULT, STATE_OF, Theme, finish, separated, state_shape, values
from deploy.views.time_axis import TimeAxis
from streaming.contracts.quality_measures import (
    headline_name,
    headline_of,
    is_better_lower,
    shown,
    title_of,
)
from streaming.contracts.quality_records import QualityMetric, QualityVerdict

PANEL_HEIGHT = 230
LABELS = ("estimated", "limit")


def draw(verdicts: Sequence[QualityVerdict], file: Path, *, theme: Theme = DEFAULT) -> None:
    """Draw the live version's verdicts; the suffix of the file chooses PNG or SVG."""
    save_chart(complete_chart(verdicts, theme=theme), file)


def complete_chart(verdicts: Sequence[QualityVerdict], *, theme: Theme = DEFAULT) -> Any:
    """AUC over time, calibration and maturity of the live version."""
    import altair as alt

    live = [verdict for verdict in verdicts if verdict.live]
    axis = TimeAxis(
        start=live[0].window_start if live else 0.0,
        stop=live[-1].window_end if live else 1.0,
        origin="the first window",
    )
    charts = (
        calibration_chart(live, theme),
        level_chart(live, _detail_size(theme, 0), theme),
        maturity_chart(live, theme),
    )
    details = [chart for chart in charts if chart is not None]
    concat = alt.vconcat if theme.narrow else alt.hconcat
    rows = [concat(*details)] if details else []
    chart = alt.vconcat(auc_panel(live, axis, theme), *rows)
    return finish(chart, theme, headline(live), note(live))


def headline(verdicts: Sequence[QualityVerdict]) -> str:
    """The course of the realised headline measure as a sentence.

    It compares the first window of the first version with the worst window and with the last one.
    """
    known = [
        (verdict, metric)
        for verdict in verdicts
        if verdict.stage == "realised" and (metric := headline_of(verdict.metrics))
    ]
    if not known:
        return "No window has mature labels yet"
    name = known[0][1].name
    title, sign = title_of(name), -1.0 if is_better_lower(name) else 1.0
    begin, (last, end) = known[0][1], known[-1]
    worst, low = min(known, key=lambda pair: sign * pair[1].value)
    if worst.outcome not in ("suspected", "degraded") and not _worse(begin, low):
        return f"{title} of version {last.version} is {shown(end.value)} after {len(known)} windows"
    moved = "fell" if sign > 0 else "rose"
    fall = f"{title} of version {worst.version} {moved} from {shown(begin.value)} to"
    fall = f"{fall} {shown(low.value)}"
    if last.version > worst.version:
        return f"{fall}; version {last.version} reaches {shown(end.value)}"
    return f"{fall} and is {shown(end.value)} at the end"


def _worse(before: QualityMetric, after: QualityMetric) -> bool:
    """Whether the interval after lies entirely on the worse side of the interval before."""
    if is_better_lower(before.name):
        before, after = after, before
    return before.low is not None and after.high is not None and after.high < before.low


def note(verdicts: Sequence[QualityVerdict]) -> str:
    """How to read the chart."""
    limits = any(m.limit is not None for v in verdicts if (m := headline_of(v.metrics)))
    suffix = " Dashed: the limit." if limits else ""
    title = title_of(headline_name(verdicts))
    return f"{title} of the live version on mature labels, with its 95 % interval.{suffix}"


def auc_panel(
    verdicts: Sequence[QualityVerdict],
    axis: TimeAxis,
    theme: Theme,
    *,
    markers_labelled: bool = True,
    axis_visible: bool = True,
    height: int = PANEL_HEIGHT,
    label_width: int = 0,
) -> Any:
    """The realised headline measure with its interval and outcome, its estimate as a line, and the
    limit."""
    import altair as alt

    realised, estimated = _realised_rows(verdicts, axis), _estimated_rows(verdicts, axis)
    states = list(dict.fromkeys(str(row["outcome"]) for row in realised))
    width = theme.plot_width(label_width or theme.label_width([*LABELS, *states]))
    x = axis.encoding(theme, visible=axis_visible)
    title = title_of(headline_name(verdicts))
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False, nice=True))
    layers = []
    if estimated:
        base = alt.Chart(values(estimated)).encode(x=x, y=y, detail="segment:N")
        layers.append(base.mark_line(color=theme.series_colour(0), strokeWidth=1.5))
    with_limit = [row for row in realised if row["limit"] is not None]
    if with_limit:
        base = alt.Chart(values(with_limit)).encode(x=x, y=alt.Y("limit:Q"), detail="version:N")
        layers.append(
            base.mark_line(strokeDash=[6, 4], color=theme.palette.muted, interpolate="step-after")
        )
    layers += [_points(realised, state, x, y, theme) for state in states]
    lines = [
        (name, rows[-1][field], colour)
        for name, rows, field, colour in (
            ("estimated", estimated, "value", theme.series_colour(0)),
            ("limit", with_limit, "limit", theme.palette.muted),
        )
        if rows
    ]
    layers += _labels(realised, lines, axis, theme, theme.height(height))
    layers += axis.marker_layers(theme, width, labelled=markers_labelled)
    return alt.layer(*layers).properties(width=width, height=theme.height(height))


def _realised_rows(verdicts: Sequence[QualityVerdict], axis: TimeAxis) -> list[dict[str, Any]]:
    return [
        {
            "time": axis.position(verdict.window_end),
            "value": metric.value,
            "low": metric.low,
            "high": metric.high,
            "limit": metric.limit,
            "outcome": verdict.outcome,
            "version": verdict.version,
        }
        for verdict in verdicts
        if verdict.stage == "realised" and (metric := headline_of(verdict.metrics))
    ]


def _estimated_rows(verdicts: Sequence[QualityVerdict], axis: TimeAxis) -> list[dict[str, Any]]:
    """Estimates of the headline measure; a line breaks where the version changes."""
    return [
        {
            "time": axis.position(verdict.window_end),
            "value": metric.value,
            "segment": str(verdict.version),
        }
        for verdict in verdicts
        if verdict.stage == "estimated" and (metric := headline_of(verdict.estimated))
    ]


def _points(rows: Sequence[dict[str, Any]], state: str, x: Any, y: Any, theme: Theme) -> Any:
    """Points and intervals of the windows with one outcome."""
    import altair as alt

    own = [row for row in rows if row["outcome"] == state]
    colour = theme.state_colour(state)
    base = alt.Chart(values(own)).encode(x=x)
    intervals = base.mark_rule(color=colour, opacity=0.55, strokeWidth=2).encode(
        y=alt.Y("low:Q"), y2="high:Q"
    )
    points = base.mark_point(
        filled=True, size=55, opacity=1.0, color=colour, shape=state_shape(state)
    ).encode(y=y)
    return alt.layer(intervals, points)


def _labels(
    realised: Sequence[dict[str, Any]],
    lines: Sequence[tuple[str, float, str]],
    axis: TimeAxis,
    theme: Theme,
    height: int,
) -> list[Any]:
    """The names of the lines in the right margin, and the name of each outcome at its windows.

    `lines` has the name, last value and colour of each line. Labels in the margin are kept apart.
    """
    end = axis.domain[1]
    margin = [(end, value, name, colour) for name, value, colour in lines]
    inside = []
    for state in dict.fromkeys(str(row["outcome"]) for row in realised):
        row = [row for row in realised if row["outcome"] == state][-1]
        if row["time"] >= end - 0.08 * (end - axis.domain[0]):
            margin.append((end, row["value"], state, theme.state_colour(state)))
        else:
            inside.append(_state_label(realised, state, theme))
    bounds = [
        row[key] for row in realised for key in ("low", "high", "value") if row[key] is not None
    ]
    bounds += [value for _, value, _ in lines]
    gap = (theme.font_size + 3) / height * (max(bounds, default=1.0) - min(bounds, default=0.0))
    positions = separated([value for _, value, _, _ in margin], gap)
    labels = [
        _text(time, position, name, colour, dx=9)
        for (time, _, name, colour), position in zip(margin, positions, strict=True)
    ]
    return [*labels, *inside]


def _text(time: float, value: float, text: str, colour: str, **position: float) -> Any:
    import altair as alt

    mark = alt.Chart(values([{"time": time, "value": value}])).mark_text(
        text=text, align="left", color=colour, fontWeight="bold", **position
    )
    return mark.encode(x="time:Q", y="value:Q")


def _state_label(rows: Sequence[dict[str, Any]], state: str, theme: Theme) -> Any:
    """The name of an outcome: behind its last window, or above its first if it is transient."""
    own = [row for row in rows if row["outcome"] == state]
    colour = theme.state_colour(state)
    if STATE_OF[state] not in ("warning", "unknown"):
        return _text(own[-1]["time"], own[-1]["value"], state, colour, dx=9)
    top = own[0]["value"] if own[0]["high"] is None else own[0]["high"]
    return _text(own[0]["time"], top, state, colour, dx=-6, dy=-9)


def calibration_chart(verdicts: Sequence[QualityVerdict], theme: Theme) -> Any:
    """Observed against predicted share, in ten bins of equal mass, of each version's windows.

    Of several classes it is the share of right answers against the top probability. None without
    probabilities or labels.
    """
    import altair as alt

    rows: list[dict[str, Any]] = []
    level = ("predicted", lambda counts: counts.scores)
    for line, own in lines_of(verdicts, "calibration").items():
        rows += bins(own, line, level=level, share="observed")
    if not rows:
        return None
    x = alt.X("predicted:Q", title="mean predicted")
    y = alt.Y("observed:Q", title="observed share")
    perfect = alt.Chart(values([{"predicted": share, "observed": share} for share in (0, 1)]))
    return alt.layer(
        perfect.mark_line(color=theme.palette.muted, strokeDash=[4, 4]).encode(x=x, y=y),
        *labelled_lines(rows, x, y, share="observed", theme=theme),
    ).properties(
        **_detail_size(theme, theme.label_width(names_of(rows))),
        title=_title("Calibration", theme),
    )


def maturity_chart(verdicts: Sequence[QualityVerdict], theme: Theme) -> Any:
    """Share of the labels that have arrived, by age."""
    import altair as alt

    known = [verdict for verdict in verdicts if verdict.maturity]
    if not known:
        return None
    newest = known[-1]
    rows = [{"age": point.age_seconds, "share": point.share} for point in newest.maturity]
    x = alt.X("age:Q", title="seconds after the prediction")
    y = alt.Y("share:Q", title="share of the labels", axis=alt.Axis(format="%"))
    curve = alt.Chart(values(rows)).mark_line(
        point={"filled": True, "color": theme.series_colour(0)}, color=theme.series_colour(0)
    )
    mature = alt.Chart(values([{"age": newest.matures_after}])).mark_rule(
        strokeDash=[6, 4], color=theme.palette.muted
    )
    title = f"Labels are mature after {newest.matures_after:.1f} s"
    return alt.layer(curve.encode(x=x, y=y), mature.encode(x=x)).properties(
        **_detail_size(theme, 0), title=_title(title, theme)
    )


def _detail_size(theme: Theme, label_width: int) -> dict[str, int]:
    width = theme.width - 62 if theme.narrow else (theme.width - 160) // 2
    return {"width": width - label_width, "height": theme.height(PANEL_HEIGHT - 40)}


def _title(text: str, theme: Theme) -> Any:
    import altair as alt

    return alt.TitleParams(text=text, fontSize=theme.font_size, anchor="start", frame="bounds")
