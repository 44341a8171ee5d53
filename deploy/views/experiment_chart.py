"""The intervals of an experiment over time as a chart: one band for each arm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.views.output import save_chart
from deploy.views.theme import Theme, finish, values
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import ExperimentLook, ExperimentStatus

MAX_LOOKS = 400
"""Looks that are drawn; of more, each n-th one."""


def draw(
    status: ExperimentStatus,
    looks: Sequence[ExperimentLook],
    file: Path,
    *,
    theme: Theme | None = None,
) -> None:
    """Draw the effects with their intervals; the suffix of the file chooses PNG or SVG.

    Raises
    ------
    NotFoundError
        When no look had enough users for an interval.
    """
    theme = theme or Theme()
    rows = _rows(status, looks)
    if not rows:
        raise NotFoundError("No look had enough users for an interval yet; nothing is drawn.")
    chart = _chart(status, rows, theme).properties(
        width=theme.plot_width(), height=theme.height(260)
    )
    headline = f"{status.definition.metric} of {status.model}: {status.outcome or status.phase}"
    note = (
        "Band: interval that is valid at every look. Above 0 the version is better. Dashed: the "
        "smallest effect that matters."
    )
    save_chart(finish(chart, theme, headline, note), file)


def _rows(status: ExperimentStatus, looks: Sequence[ExperimentLook]) -> list[dict[str, Any]]:
    began = status.started_at if status.started_at is not None else status.definition.begin
    step = max(1, len(looks) // MAX_LOOKS)
    kept = [*looks[:-1:step], *looks[-1:]]
    return [
        {
            "hours": (look.at - began) / 3600.0,
            "arm": effect.arm,
            "effect": effect.difference,
            "low": effect.low,
            "high": effect.high,
        }
        for look in kept
        for effect in look.effects
        if effect.low is not None and effect.high is not None
    ]


def _chart(status: ExperimentStatus, rows: list[dict[str, Any]], theme: Theme) -> Any:
    import altair as alt

    arms = [arm.name for arm in status.definition.arms[1:]]
    colours = alt.Scale(domain=arms, range=[theme.series_colour(n) for n in range(len(arms))])
    x = alt.X("hours:Q", title="hours since users met their arms")
    colour = alt.Color("arm:N", scale=colours, legend=alt.Legend(title=None, orient="bottom"))
    base = alt.Chart(values(rows)).encode(x=x, color=colour)
    band = base.mark_area(opacity=0.2).encode(
        y=alt.Y("low:Q", title="better by"), y2=alt.Y2("high:Q")
    )
    line = base.mark_line().encode(y="effect:Q")
    minimum = status.definition.minimum_effect
    zero = alt.Chart(values([{"at": 0.0}])).mark_rule(color=theme.palette.muted)
    matters = alt.Chart(values([{"at": minimum}, {"at": -minimum}])).mark_rule(
        color=theme.palette.muted, strokeDash=[4, 4]
    )
    return alt.layer(
        band, line, *(rule.encode(y=alt.Y("at:Q", title="better by")) for rule in (zero, matters))
    )
