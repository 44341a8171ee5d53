"""Charts of a paired comparison: both answers of each row, and both distributions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.views.output import save_chart
from deploy.views.theme import DEFAULT, Theme, finish, values
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import AnswerComparison, AnswerPair

PANEL_HEIGHT = 300


def draw(record: AnswerComparison, file: Path, *, theme: Theme = DEFAULT) -> None:
    """Draw the sampled rows and the largest differences; the suffix chooses PNG or SVG.

    Raises
    ------
    NotFoundError
        When no row was answered by both versions.
    """
    save_chart(complete_chart(record, theme=theme), file)


def complete_chart(record: AnswerComparison, *, theme: Theme = DEFAULT) -> Any:
    """The sampled rows, the largest differences and both distributions.

    Raises
    ------
    NotFoundError
        When no row was answered by both versions.
    """
    import altair as alt

    comparison = record.comparison
    if not comparison.sample:
        raise NotFoundError(
            f"No row was answered by both versions, so there is nothing to draw: "
            f"{comparison.reason}"
        )
    panels = [scatter_panel(record, theme), distribution_panel(record, theme)]
    chart = alt.vconcat(*panels) if theme.narrow else alt.hconcat(*panels)
    return finish(chart, theme, headline(record), note(record))


def headline(record: AnswerComparison) -> str:
    """The result as a sentence."""
    measured = record.comparison.statistics
    outcome = f"Version {record.version} against version {record.champion}"
    if measured is None or measured.spearman is None:
        return f"{outcome}: {record.comparison.outcome}"
    return (
        f"{outcome}: {record.comparison.outcome}; {100 * measured.agreement:.0f} % equal "
        f"decisions, rank correlation {measured.spearman:.2f}"
    )


def note(record: AnswerComparison) -> str:
    """How to read the chart."""
    comparison = record.comparison
    return (
        f"A point is one request: {len(comparison.sample)} of {comparison.rows} rows, evenly "
        f"chosen; triangles: the {len(comparison.worst)} largest differences; dashed: equal "
        "answers, and the decision threshold."
    )


def scatter_panel(record: AnswerComparison, theme: Theme) -> Any:
    """The canary's answer against the champion's, with the diagonal and the threshold."""
    import altair as alt

    comparison = record.comparison
    pairs = (*comparison.sample, *comparison.worst)
    low = min(min(pair.champion, pair.canary) for pair in pairs)
    high = max(max(pair.champion, pair.canary) for pair in pairs)
    scale = alt.Scale(domain=[low, high], nice=True)
    x = alt.X("champion:Q", title=f"version {record.champion} (champion)", scale=scale)
    y = alt.Y("canary:Q", title=f"version {record.version} (canary)", scale=scale)
    ends = values([{"champion": end, "canary": end} for end in (low, high)])
    dashed = {"color": theme.palette.muted, "strokeDash": [4, 4]}
    layers = [alt.Chart(ends).mark_line(**dashed).encode(x=x, y=y)]
    if low < comparison.threshold < high:
        at = values([{"champion": comparison.threshold, "canary": comparison.threshold}])
        layers += [
            alt.Chart(at).mark_rule(**dashed, opacity=0.6).encode(x=x),
            alt.Chart(at).mark_rule(**dashed, opacity=0.6).encode(y=y),
        ]
    points = alt.Chart(values(_rows(comparison.sample))).mark_point(
        filled=True, size=22, opacity=0.7, color=theme.series_colour(0)
    )
    extreme = alt.Chart(values(_rows(comparison.worst))).mark_point(
        filled=True, size=45, opacity=1.0, shape="triangle-up", color=theme.series_colour(1)
    )
    layers += [points.encode(x=x, y=y), extreme.encode(x=x, y=y)]
    return alt.layer(*layers).properties(**_size(theme), title=_title("Answers in pairs", theme))


def distribution_panel(record: AnswerComparison, theme: Theme) -> Any:
    """Share of the sampled answers up to each value, by version."""
    import altair as alt

    sample = record.comparison.sample
    names = [f"version {record.champion}", f"version {record.version}"]
    sides = [
        sorted(pair.champion for pair in sample),
        sorted(pair.canary for pair in sample),
    ]
    rows = [
        {"answer": value, "share": (number + 1) / len(side), "version": name}
        for name, side in zip(names, sides, strict=True)
        for number, value in enumerate(side)
    ]
    colours = alt.Scale(domain=names, range=[theme.palette.muted, theme.series_colour(0)])
    legend = alt.Legend(title=None, orient="bottom")
    curve = alt.Chart(values(rows)).mark_line(interpolate="step-after")
    return curve.encode(
        x=alt.X("answer:Q", title="answer"),
        y=alt.Y("share:Q", title="share of the rows up to it", axis=alt.Axis(format="%")),
        color=alt.Color("version:N", scale=colours, legend=legend),
    ).properties(**_size(theme), title=_title("Distributions", theme))


def _rows(pairs: Sequence[AnswerPair]) -> list[dict[str, float]]:
    return [{"champion": pair.champion, "canary": pair.canary} for pair in pairs]


def _size(theme: Theme) -> dict[str, int]:
    width = theme.width - 74 if theme.narrow else (theme.width - 170) // 2
    return {"width": width, "height": theme.height(PANEL_HEIGHT)}


def _title(text: str, theme: Theme) -> Any:
    import altair as alt

    return alt.TitleParams(text=text, fontSize=theme.font_size, anchor="start", frame="bounds")
