"""The losses of runs by epoch as a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.views.output import save_chart
from deploy.views.theme import DEFAULT, Theme, finish, separated, values
from retrain.run_view import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveOfRun:
    """A line of a picture: losses by epoch."""

    name: str
    losses: tuple[float | None, ...]
    """None where the loss was no number."""

    @property
    def lowest(self) -> tuple[int, float] | None:
        """Epoch, from 1, and value of the lowest loss; None without any."""
        known = [
            (value, epoch)
            for epoch, value in enumerate(self.losses, start=1)
            if value is not None and math.isfinite(value)
        ]
        return (min(known)[1], min(known)[0]) if known else None


def curves_of(runs: Sequence[Run]) -> tuple[CurveOfRun, ...]:
    """The curves of runs: losses on the training rows, and on those that were held back."""
    named = [
        CurveOfRun(name=f"{_short_name(run, runs)}{kind}", losses=losses)
        for run in runs
        for kind, losses in (("training", run.curve.loss), ("held back", run.curve.val_loss))
    ]
    return tuple(curve for curve in named if curve.lowest is not None)


def _short_name(run: Run, runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return ""
    return f"v{run.version} " if run.version else f"{run.run_id[:8]} "


def curves_headline(curves: Sequence[CurveOfRun]) -> str:
    """Where the losses are lowest, as a sentence.

    >>> curves_headline([CurveOfRun(name="held back", losses=(0.5, 0.25, 0.3))])
    'Lowest loss: held back 0.250 at epoch 2 of 3'
    """
    parts = []
    several = sum(curve.name.endswith("held back") for curve in curves) > 1
    for curve in curves:
        if several and not curve.name.endswith("held back"):
            continue  # the curves that a choice is made by are enough for a headline
        lowest = curve.lowest
        if lowest is not None:
            epoch, value = lowest
            parts.append(f"{curve.name} {value:.3f} at epoch {epoch} of {len(curve.losses)}")
    return f"Lowest loss: {', '.join(parts)}" if parts else "No curve was recorded"


def curves_chart(curves: Sequence[CurveOfRun], *, theme: Theme = DEFAULT) -> Any:
    """Losses by epoch, each line with its name at its end."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"epoch": epoch, "loss": loss, "curve": curve.name}
        for curve in curves
        for epoch, loss in enumerate(curve.losses, start=1)
        if loss is not None and math.isfinite(loss)
    ]
    names = list(dict.fromkeys(str(row["curve"]) for row in rows))
    height = theme.height(260)
    last = max((row["epoch"] for row in rows), default=1)
    x = alt.X(
        "epoch:Q",
        scale=alt.Scale(domain=[1, max(2, last)], nice=False),
        axis=alt.Axis(tickMinStep=1, format="d", grid=False),
    )
    y = alt.Y("loss:Q", scale=alt.Scale(zero=False))
    colours = [theme.series_colour(number) for number in range(len(names))]
    colour = alt.Color("curve:N", scale=alt.Scale(domain=names, range=colours), legend=None)
    lines = alt.Chart(values(rows)).mark_line(point={"filled": True, "size": 25})
    labels = alt.Chart(values(_line_ends(rows, names, height, theme)))
    text = labels.mark_text(align="left", dx=6, fontWeight="bold")
    chart = alt.layer(
        lines.encode(x=x, y=y, color=colour),
        text.encode(x=x, y=y, text="curve:N", color=colour),
    ).properties(width=theme.plot_width(theme.label_width(names)), height=height)
    return finish(chart, theme, curves_headline(curves))


def _line_ends(
    rows: Sequence[dict[str, Any]], names: Sequence[str], height: int, theme: Theme
) -> list[dict[str, Any]]:
    """The last point of each line, at heights at which their names do not overlap."""
    ends = [[row for row in rows if row["curve"] == name][-1] for name in names]
    losses = [float(row["loss"]) for row in rows]
    gap = (theme.font_size + 2) / height * ((max(losses) - min(losses)) if losses else 1.0)
    heights = separated([float(row["loss"]) for row in ends], gap)
    return [{**row, "loss": at} for row, at in zip(ends, heights, strict=True)]


def draw_curves(runs: Sequence[Run], file: Path) -> None:
    """Draw the losses of runs by epoch; the suffix of the file chooses PNG or SVG."""
    save_chart(curves_chart(curves_of(runs)), file)
