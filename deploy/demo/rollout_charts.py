"""Charts of the rollout: share of the new version, requests and errors by arm, and the gates."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from deploy.demo.state import DemoState
from deploy.views.theme import Theme, finish, state_shape, values
from deploy.views.time_axis import TimeAxis
from serving.phase import Phase
from streaming.contracts.records import RolloutStatus

ARMS = ("stable", "control", "canary")
LEAD_SECONDS, TAIL_SECONDS = 10.0, 20.0
"""Time that the rollout chart shows before and after the rollout."""
MAX_BINS = 80
NOTE = (
    "Requests for the new version; requests per second by arm, with totals during the rollout; "
    "results of the gates"
)
_WEIGHTED = (Phase.STEPPING, Phase.PAUSED, Phase.AWAITING_APPROVAL)


def newest_rollout(state: DemoState) -> int | None:
    """The newest version that had a rollout beside a champion."""
    versions = [status.version for status in state.timeline.rollouts if status.version > 1]
    return max(versions, default=None)


def rollout_chart(state: DemoState, axis: TimeAxis, theme: Theme) -> Any:
    """The whole rollout: share, arms and gates on one time axis."""
    import altair as alt

    version = newest_rollout(state)
    if version is None:
        return None
    axis = rollout_axis(state, version, axis)
    panels = [share_panel(state, axis, theme, axis_visible=False, height=130)]
    panels += arm_panels(state, version, axis, theme)
    gates = gates_panel(state, version, axis, theme)
    if gates is not None:
        panels.append(gates)
    else:
        panels[-1] = panels[-1].encode(x=axis.encoding(theme))
    chart = alt.vconcat(*panels, bounds="flush", spacing=34)
    return finish(chart, theme, rollout_headline(state, version), _note(state, version, axis))


def _note(state: DemoState, version: int, axis: TimeAxis) -> str:
    """How to read the chart; only outcomes that occur are mentioned."""
    outcomes = {row["outcome"] for row in gate_rows(state, version, axis)}
    words = {"insufficient": "diamond: not enough requests yet", "fail": "triangle: fail"}
    shapes = [text for outcome, text in words.items() if outcome in outcomes]
    return f"{NOTE} ({', '.join(shapes)})." if shapes else f"{NOTE}."


def rollout_axis(state: DemoState, version: int, axis: TimeAxis) -> TimeAxis:
    """The part of the common axis that covers the rollout."""
    statuses = state.timeline.rollout_of(version)
    promotion = state.timeline.promotion_of(version)
    end = max([statuses[-1].at, promotion.at if promotion else 0.0])
    return replace(
        axis,
        shown_from=max(statuses[0].at - LEAD_SECONDS, axis.start),
        stop=min(end + TAIL_SECONDS, axis.stop),
    )


def rollout_headline(state: DemoState, version: int) -> str:
    """The result of the rollout as a sentence."""
    timeline = state.timeline
    requests, errors = state.rollout_client_counts(version)
    clients = f"{errors} client errors in {requests:,} requests during the rollout"
    promotion, rolled_back = timeline.promotion_of(version), timeline.rolled_back_at(version)
    statuses = timeline.rollout_of(version)
    if promotion is not None:
        started_at = next((s.at for s in statuses if s.weight > 0), statuses[0].at)
        seconds = promotion.at - started_at
        return f"Version {version} went from 0 to 100 % in {seconds:.0f} s: {clients}"
    if rolled_back is not None:
        weight = max(status.weight for status in statuses)
        failed = [v for v in timeline.canary if v.version == version and v.outcome == "fail"]
        gates = [gate.gate for gate in failed[0].gates if gate.outcome == "fail"] if failed else []
        reason = f" by {', '.join(gates)}" if gates else ""
        return f"Version {version} was rolled back at {weight} %{reason}: {clients}"
    return f"Version {version} has {statuses[-1].weight} % of the requests: {clients}"


def share_rows(state: DemoState, axis: TimeAxis) -> list[dict[str, float]]:
    """Share of the requests for the newest version over time, in percent.

    A rollout status has the share in force. It does not fall during the change-over, and is shown
    as 100 after the promotion, though the replaced version keeps a small share in the bake.
    """
    version = newest_rollout(state)
    if version is None:
        return []
    promotion = state.timeline.promotion_of(version)
    rows, share = [], 0.0
    for status in state.timeline.rollout_of(version):
        share = _share(status, share, promotion.at if promotion else None)
        rows.append({"time": axis.position(status.at), "share": share})
    if promotion is not None:
        rows = [row for row in rows if row["time"] < axis.position(promotion.at)]
        share = 100.0
        rows.append({"time": axis.position(promotion.at), "share": share})
    rows.insert(0, {"time": axis.domain[0], "share": 0.0})
    rows.append({"time": axis.domain[1], "share": share})
    return [row for row in rows if axis.domain[0] <= row["time"] <= axis.domain[1]]


def _share(status: RolloutStatus, last: float, promoted_at: float | None) -> float:
    if status.phase in _WEIGHTED:
        return float(status.weight)
    if status.phase == Phase.PROMOTING:
        return max(last, float(status.weight))
    return 100.0 if promoted_at is not None and status.at >= promoted_at else 0.0


def share_panel(
    state: DemoState,
    axis: TimeAxis,
    theme: Theme,
    *,
    markers_labelled: bool = True,
    axis_visible: bool = True,
    height: int,
    label_width: int = 0,
) -> Any:
    """Share of the newest version as a stepped line."""
    import altair as alt

    rows = share_rows(state, axis)
    width = theme.plot_width(label_width or _label_width(theme))
    x = axis.encoding(theme, visible=axis_visible)
    y = alt.Y(
        "share:Q",
        title="share (%)",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(values=[0, 25, 50, 100]),
    )
    base = alt.Chart(values(rows)).encode(x=x, y=y)
    colour = theme.series_colour(1)
    label = alt.Chart(values(rows[-1:])).mark_text(
        text=f"version {newest_rollout(state)}", align="left", dx=6, color=colour, fontWeight="bold"
    )
    return alt.layer(
        base.mark_area(interpolate="step-after", color=colour, opacity=0.18),
        base.mark_line(interpolate="step-after", color=colour, strokeWidth=2),
        label.encode(x=x, y=y),
        *axis.marker_layers(theme, width, labelled=markers_labelled),
    ).properties(width=width, height=theme.height(height))


def _label_width(theme: Theme) -> int:
    """Pixels for the direct labels of all panels."""
    return theme.label_width(["version 2"])


def arm_rows(state: DemoState, axis: TimeAxis) -> list[dict[str, Any]]:
    """Requests and errors per second by arm, in at most `MAX_BINS` bins of whole seconds.

    Every arm has a row for each bin between the first and the last traffic of all arms; a bin in
    which it received no request is 0.
    """
    size = max(int((axis.stop - axis.left) / MAX_BINS), 1)
    totals: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for second in state.seconds:
        if not axis.left <= second.at <= axis.stop:
            continue
        for arm, count in second.arms.items():
            total = totals[arm or "none", int((second.at - axis.left) // size)]
            total[0] += count.requests
            total[1] += count.errors
    bins = [number for _, number in totals]
    rows = [
        ((arm, number), totals.get((arm, number), [0, 0]))
        for arm in sorted({arm for arm, _ in totals})
        for number in range(min(bins), max(bins) + 1)
    ]
    return [
        {
            "arm": arm,
            "time": axis.position(axis.left + (number + 0.5) * size),
            "rate": requests / size,
            "requests": requests,
            "errors": errors,
        }
        for (arm, number), (requests, errors) in rows
    ]


def arm_totals(state: DemoState, version: int) -> dict[str, tuple[int, int]]:
    """Requests and errors of each arm during the whole rollout of `version`.

    The interval is that of `DemoState.rollout_client_counts`, so that the arms add up to it.
    """
    span = state.timeline.rollout_span(version, state.now)
    totals: dict[str, tuple[int, int]] = dict.fromkeys(ARMS, (0, 0))
    for second in state.seconds_between(*span) if span else ():
        for arm, count in second.arms.items():
            requests, errors = totals.get(arm, (0, 0))
            totals[arm] = (requests + count.requests, errors + count.errors)
    return totals


def arm_panels(state: DemoState, version: int, axis: TimeAxis, theme: Theme) -> list[Any]:
    """One panel for each arm: its requests per second, and a mark at each error."""
    import altair as alt

    rows, totals = arm_rows(state, axis), arm_totals(state, version)
    top = max((row["rate"] for row in rows), default=1.0)
    width = theme.plot_width(_label_width(theme))
    x = axis.encoding(theme, visible=False)
    y = alt.Y(
        "rate:Q",
        title=None,
        scale=alt.Scale(domain=[0, top]),
        axis=alt.Axis(tickCount=2, grid=False),
    )
    panels = []
    for number, arm in enumerate(ARMS):
        own = [row for row in rows if row["arm"] == arm]
        if not own:
            continue
        colour = theme.series_colour((0, 5, 1)[number])
        requests, errors = totals[arm]
        title = f"{arm}: {requests:,} requests, {errors} errors"
        base = alt.Chart(values(own)).encode(x=x, y=y)
        layers = [
            base.mark_area(color=colour, opacity=0.7, interpolate="step"),
            base.transform_filter("datum.errors > 0").mark_point(
                shape=state_shape("fail"), color=theme.state_colour("fail"), filled=True, size=60
            ),
            *axis.marker_layers(theme, width, labelled=False),
        ]
        panel = alt.layer(*layers).properties(
            width=width, height=theme.height(46), title=_panel_title(title, theme)
        )
        panels.append(panel)
    return panels


def gate_rows(state: DemoState, version: int, axis: TimeAxis) -> list[dict[str, Any]]:
    """The result of each gate in each verdict on the canary."""
    return [
        {"time": axis.position(verdict.at), "gate": gate.gate, "outcome": gate.outcome}
        for verdict in state.timeline.canary
        if verdict.version == version and axis.left <= verdict.at <= axis.stop
        for gate in verdict.gates
    ]


def gates_panel(state: DemoState, version: int, axis: TimeAxis, theme: Theme) -> Any:
    """A row of points for each gate; the last outcome is written beside it."""
    import altair as alt

    rows = gate_rows(state, version, axis)
    if not rows:
        return None
    gates = list(dict.fromkeys(row["gate"] for row in rows))
    x = axis.encoding(theme)
    y = alt.Y("gate:N", sort=gates, title=None, axis=None)
    layers = []
    for outcome in dict.fromkeys(row["outcome"] for row in rows):
        own = alt.Chart(values([row for row in rows if row["outcome"] == outcome]))
        points = own.mark_point(
            filled=True,
            size=45,
            opacity=1.0,
            shape=state_shape(outcome),
            color=theme.state_colour(outcome),
        )
        layers.append(points.encode(x=x, y=y))
    for gate in gates:
        last = [row for row in rows if row["gate"] == gate][-1]
        names = alt.Chart(values([{"time": axis.domain[0], "gate": gate}])).mark_text(
            text=gate.replace("_", " "), align="left", dx=2, dy=-9, color=theme.palette.muted
        )
        label = alt.Chart(values([{"time": axis.domain[1], "gate": gate}])).mark_text(
            text=last["outcome"],
            align="left",
            dx=6,
            color=theme.state_colour(last["outcome"]),
            fontWeight="bold",
        )
        layers += [names.encode(x=x, y=y), label.encode(x=x, y=y)]
    width = theme.plot_width(_label_width(theme))
    layers += axis.marker_layers(theme, width, labelled=False)
    return alt.layer(*layers).properties(
        width=width, height=32 * len(gates), title=_panel_title("gates", theme)
    )


def _panel_title(text: str, theme: Theme) -> Any:
    import altair as alt

    return alt.TitleParams(
        text=text,
        fontSize=theme.font_size,
        fontWeight="normal",
        anchor="start",
        frame="group",
        offset=4,
    )
