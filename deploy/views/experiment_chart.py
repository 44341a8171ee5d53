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


NOTE = (
    "Band: interval that is valid at every look. Above 0 the version is better. Dashed: the "
    "smallest effect that matters."
)


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
    save_chart(complete_chart(status, looks, theme=theme or Theme()), file)


def complete_chart(
    status: ExperimentStatus, looks: Sequence[ExperimentLook], *, theme: Theme
) -> Any:
    """The effects with their intervals, with the same error."""
    rows = _rows(status, looks)
    if not rows:
        raise NotFoundError("No look had enough users for an interval yet; nothing is drawn.")
    names = [arm.name for arm in status.definition.arms[1:]]
    chart = _chart(status, rows, theme).properties(
        width=theme.plot_width(theme.label_width(names)), height=theme.height(260)
    )
    return finish(chart, theme, headline(status), NOTE)


def headline(status: ExperimentStatus) -> str:
    """Where the experiment stands, in a few words."""
    outcome = (status.outcome or status.phase).replace("-", " ")
    return f"{status.definition.metric.replace('_', ' ')} of {status.model}: {outcome}"


def alt_text(status: ExperimentStatus, looks: Sequence[ExperimentLook]) -> str:
    """What is seen, in a sentence.

    Raises
    ------
    NotFoundError
        When there is nothing to draw.
    """
    rows = _rows(status, looks)
    if not rows:
        raise NotFoundError("No look had enough users for an interval yet; nothing is drawn.")
    newest = {str(row["arm"]): row for row in rows}
    arms = ", ".join(
        f"{arm} is better by {row['effect']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        for arm, row in newest.items()
    )
    return f"{headline(status)}. {arms}. {NOTE}"


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
    colour = alt.Color("arm:N", scale=colours, legend=None)
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
    ends = list({row["arm"]: row for row in rows}.values())
    labels = alt.Chart(values(ends)).mark_text(align="left", dx=6, fontWeight="bold")
    named = labels.encode(x=x, y=alt.Y("effect:Q"), text="arm:N", color=colour)
    return alt.layer(
        band,
        line,
        named,
        *(rule.encode(y=alt.Y("at:Q", title="better by")) for rule in (zero, matters)),
    )
