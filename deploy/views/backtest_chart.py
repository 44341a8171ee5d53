"""A backtest as a chart: a strip of verdicts for each set of rules, with the known shifts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.backtest.replay import RuleComparison, RuleSetRun
from deploy.views.output import save_chart
from deploy.views.theme import Theme, finish, values
from streaming.drift.backtest.replay import KnownShift

OUTCOMES = ("stable", "suspected", "drifted", "inconclusive")


def draw(
    comparison: RuleComparison,
    shifts: Sequence[KnownShift],
    file: Path,
    *,
    theme: Theme | None = None,
) -> None:
    """Draw the runs over time; the suffix of the file chooses PNG or SVG."""
    import altair as alt

    theme = theme or Theme()
    start = comparison.runs[0].windows[0].window_start
    end = comparison.runs[0].windows[-1].window_end
    shown = [outcome for outcome in OUTCOMES if outcome in _outcomes(comparison)]
    scale = alt.Scale(domain=shown, range=[theme.state_colour(outcome) for outcome in shown])
    strips = (
        alt.Chart(values([row for run in comparison.runs for row in _rows(run, start)]))
        .mark_bar(height=26)
        .encode(
            x=alt.X("from:Q", title="seconds since the first window"),
            x2="to:Q",
            y=alt.Y("rules:N", sort=[run.name for run in comparison.runs], title=None),
            color=alt.Color("verdict:N", title=None, scale=scale),
        )
    )
    layers: list[Any] = [strips]
    if shifts:
        layers.insert(0, _shift_layer(shifts, start, end, theme))
    chart = alt.layer(*layers).properties(
        width=theme.plot_width(), height=60 * len(comparison.runs)
    )
    note = "Shaded: the known shifts." if shifts else ""
    save_chart(finish(chart, theme, _headline(comparison), note), file)


def _headline(comparison: RuleComparison) -> str:
    alarms = ", ".join(f"{run.result.alarms} under {run.name}" for run in comparison.runs)
    return f"Alarms of {comparison.model}: {alarms}"


def _outcomes(comparison: RuleComparison) -> set[str]:
    return {window.outcome for run in comparison.runs for window in run.windows}


def _rows(run: RuleSetRun, start: float) -> list[dict[str, object]]:
    return [
        {
            "rules": run.name,
            "from": window.window_start - start,
            "to": window.window_end - start,
            "verdict": window.outcome,
        }
        for window in run.windows
    ]


def _shift_layer(shifts: Sequence[KnownShift], start: float, end: float, theme: Theme) -> Any:
    import altair as alt

    rows = [
        {"from": max(shift.start, start) - start, "to": min(shift.end, end) - start}
        for shift in shifts
    ]
    shaded = alt.Chart(values(rows)).mark_rect(opacity=0.15, color=theme.series_colour(0))
    return shaded.encode(x="from:Q", x2="to:Q")
