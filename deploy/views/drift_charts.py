"""Charts of drift verdicts: effects against their limits over time, and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from deploy.views.drift_tables import cell_names, of_feature
from deploy.views.output import save_chart
from deploy.views.theme import DEFAULT, Theme, finish, separated, state_shape, values
from deploy.views.time_axis import TimeAxis
from streaming.contracts.records import ALARMED, DriftVerdict, FeatureVerdict, Histogram

MAX_FEATURES = 6
"""Number of features that are drawn: those with the largest effects."""
PANEL_HEIGHT = 240


def draw(
    verdicts: Sequence[DriftVerdict],
    file: Path,
    feature: str | None = None,
    *,
    theme: Theme = DEFAULT,
) -> None:
    """Draw one feature, or those with the largest effects; the suffix chooses PNG or SVG."""
    save_chart(complete_chart(verdicts, feature, theme=theme), file)


def complete_chart(
    verdicts: Sequence[DriftVerdict], feature: str | None = None, *, theme: Theme = DEFAULT
) -> Any:
    """Effects over time and the newest histograms of one feature, or of those that moved most."""
    import altair as alt

    names = [feature] if feature is not None else moved_most(verdicts)
    newest = {name: of_feature(verdicts, name)[-1][1] for name in names}
    axis = TimeAxis(
        start=verdicts[0].window_start, stop=verdicts[-1].window_end, origin="the first window"
    )
    histograms = [
        histogram_chart(name, verdict.histogram, theme)
        for name, verdict in newest.items()
        if verdict.histogram is not None
    ]
    columns = 1 if theme.narrow else 3
    rows = [
        alt.hconcat(*histograms[first : first + columns])
        for first in range(0, len(histograms), columns)
    ]
    panel = effects_panel(verdicts, names, axis, theme)
    drawn = verdicts if feature is None else only_feature(verdicts, feature)
    return finish(alt.vconcat(panel, *rows), theme, headline(drawn), note(drawn))


def only_feature(verdicts: Sequence[DriftVerdict], feature: str) -> list[DriftVerdict]:
    """The windows that judged a feature, each with the outcome of this feature alone."""
    return [
        replace(verdict, outcome=entry.outcome, features=(entry,))
        for verdict, entry in of_feature(verdicts, feature)
    ]


def note(verdicts: Sequence[DriftVerdict]) -> str:
    """How to read the chart; only outcomes that occur are mentioned."""
    outcomes = {feature.outcome for verdict in verdicts for feature in verdict.features}
    shapes = [
        f"{state_shape(outcome).removesuffix('-up')}: {outcome}"
        for outcome in sorted(ALARMED, reverse=True)
        if outcome in outcomes
    ]
    legend = "; ".join(["dashed: limit", "grey: no alarm", *shapes])
    return f"Effect of each feature by window, in standard deviations of the reference; {legend}."


def moved_most(verdicts: Sequence[DriftVerdict], count: int = MAX_FEATURES) -> list[str]:
    """The features with the largest effects in any window."""
    largest: dict[str, float] = {}
    for verdict in verdicts:
        for feature in verdict.features:
            effect = max(largest.get(feature.feature, 0.0), abs(feature.effect))
            largest[feature.feature] = effect
    return sorted(largest, key=lambda name: (-largest[name], name))[:count]


def headline(verdicts: Sequence[DriftVerdict]) -> str:
    """The result of the windows as a sentence."""
    drifted = [verdict for verdict in verdicts if verdict.outcome == "drifted"]
    alarmed = [verdict for verdict in verdicts if verdict.outcome in ALARMED]
    features = [
        feature for verdict in drifted or alarmed or verdicts for feature in verdict.features
    ]
    largest = max(features, key=lambda feature: abs(feature.effect), default=None)
    if largest is None:
        return f"None of {len(verdicts)} windows was judged"
    name, size = largest.feature, f"{abs(largest.effect):.2f} sd"
    if drifted:
        return f"{len(drifted)} of {len(verdicts)} windows drifted; {name} moved {size}"
    if alarmed:
        return f"{len(alarmed)} of {len(verdicts)} windows suspected; {name} moved {size}"
    return f"No alarm in {len(verdicts)} windows; the largest effect is {name} with {size}"


def effects_panel(
    verdicts: Sequence[DriftVerdict],
    names: Sequence[str],
    axis: TimeAxis,
    theme: Theme,
    *,
    markers_labelled: bool = True,
    axis_visible: bool = True,
    height: int = PANEL_HEIGHT,
    label_width: int = 0,
) -> Any:
    """Effect of each named feature by window: a line each, a shape at each alarm, dashed limits.

    `label_width` reserves this many pixels for the labels, so that panels below each other align.
    """
    import altair as alt

    rows = [
        _row(axis, verdict, feature)
        for verdict in verdicts
        for feature in verdict.features
        if feature.feature in names and feature.tests
    ]
    largest = (max(float(row["effect"]), float(row["limit"])) for row in rows)
    top = 1.08 * max(largest, default=0.0) or 1.0
    x = axis.encoding(theme, visible=axis_visible)
    y = alt.Y("effect:Q", title="effect (sd)", scale=alt.Scale(domain=[0, top], nice=False))
    colour_of = _colours(rows, names, theme)
    labelled = [name for name, colour in colour_of.items() if colour != _muted(theme)]
    width = theme.plot_width(label_width or theme.label_width(labelled))
    colours = alt.Scale(domain=list(colour_of), range=list(colour_of.values()))
    colour = alt.Color("feature:N", scale=colours, legend=None)
    base = alt.Chart(values(rows)).encode(x=x, y=y, detail="segment:N")
    layers = [
        base.mark_line(strokeDash=[5, 4], opacity=0.55, strokeWidth=1).encode(
            y="limit:Q", color=colour
        ),
        base.mark_line(strokeWidth=2).encode(color=colour),
        *_alarm_points(base, rows, colour),
        *_labels(rows, colour_of, top, theme, theme.height(height)),
        *axis.marker_layers(theme, width, labelled=markers_labelled),
    ]
    return (
        alt.layer(*layers)
        .resolve_scale(color="independent", shape="independent")
        .properties(width=width, height=theme.height(height))
    )


def _row(axis: TimeAxis, verdict: DriftVerdict, feature: FeatureVerdict) -> dict[str, Any]:
    return {
        "time": axis.position(verdict.window_end),
        "feature": feature.feature,
        "effect": abs(feature.effect),
        "limit": feature.limit_sd,
        "outcome": feature.outcome,
        "segment": f"{feature.feature} {verdict.reference_version}",
    }


def _alarm_points(base: Any, rows: Sequence[dict[str, Any]], colour: Any) -> list[Any]:
    """One layer for each outcome that occurs and is an alarm."""
    layers = []
    for outcome in sorted({str(row["outcome"]) for row in rows} & set(ALARMED)):
        mark = base.transform_filter(f"datum.outcome == '{outcome}'").mark_point(
            filled=True, size=60, opacity=1.0, shape=state_shape(outcome)
        )
        layers.append(mark.encode(color=colour))
    return layers


def _colours(rows: Sequence[dict[str, Any]], names: Sequence[str], theme: Theme) -> dict[str, str]:
    """A colour for each feature with an alarm, or for the first; the others are muted."""
    alarmed = {row["feature"] for row in rows if row["outcome"] in ALARMED} or set(names[:1])
    coloured = [name for name in names if name in alarmed]
    colours = {name: theme.series_colour(number) for number, name in enumerate(coloured)}
    return {name: colours.get(name, _muted(theme)) for name in names}


def _muted(theme: Theme) -> str:
    """The colour of features that are not named."""
    return theme.palette.states["unknown"]


def _labels(
    rows: Sequence[dict[str, Any]], colours: dict[str, str], top: float, theme: Theme, height: int
) -> list[Any]:
    """The name of each coloured feature behind the last window in which its effect was large."""
    import altair as alt

    points = []
    for name, colour in colours.items():
        own = [row for row in rows if row["feature"] == name]
        if own and colour != _muted(theme):
            peak = max(row["effect"] for row in own)
            points.append([row for row in own if row["effect"] >= 0.6 * peak][-1])
    gap = (theme.font_size + 2) / height * top
    positions = separated([float(point["effect"]) for point in points], gap)
    layers = []
    for point, position in zip(points, positions, strict=True):
        label = alt.Chart(values([{"time": point["time"], "effect": position}])).mark_text(
            text=point["feature"],
            align="left",
            dx=8,
            color=colours[point["feature"]],
            fontWeight="bold",
        )
        layers.append(label.encode(x="time:Q", y="effect:Q"))
    return layers


def histogram_chart(name: str, histogram: Histogram, theme: Theme) -> Any:
    """Share of each bin: the reference as bars, the window as a line."""
    import altair as alt

    bins = cell_names(histogram)
    rows = [
        {"bin": label, "side": side, "share": share}
        for side, shares in (("reference", histogram.reference), ("window", histogram.window))
        for label, share in zip(bins, shares, strict=True)
    ]
    base = alt.Chart(values(rows)).encode(
        x=alt.X("bin:N", sort=bins, title=None, axis=alt.Axis(labelAngle=-40, labelOverlap=True)),
        y=alt.Y("share:Q", title=None, axis=alt.Axis(format="%", tickCount=4)),
    )
    reference = base.transform_filter("datum.side == 'reference'").mark_bar(
        color=theme.palette.muted, opacity=0.45
    )
    window = base.transform_filter("datum.side == 'window'").mark_line(
        point={"filled": True, "size": 40, "color": theme.series_colour(0)},
        color=theme.series_colour(0),
    )
    title = alt.TitleParams(
        text=name,
        subtitle="bars: reference, line: window",
        fontSize=theme.font_size,
        subtitleFontSize=theme.font_size - 1,
        anchor="start",
        frame="bounds",
    )
    width = theme.width - 62 if theme.narrow else (theme.width - 210) // 3
    return alt.layer(reference, window).properties(width=width, height=120, title=title)
