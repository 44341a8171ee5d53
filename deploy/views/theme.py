"""One theme for all charts: colours, fonts, sizes, headline and direct labels.

Charts are drawn in four variants: light and dark, wide (820 px) and narrow (400 px). The colours
are those of Okabe and Ito, which people with colour-vision deficiencies can tell apart; states are
told apart by shape as well. Series are labelled directly instead of by a legend, and a chart's
headline states its result.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

FONT = "Inter, system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"
WIDE, NARROW = 820, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of one mode."""

    background: str
    text: str
    muted: str
    grid: str
    states: Mapping[str, str]
    """Colour of an outcome of a window, gate or request."""
    series: tuple[str, ...]
    """Colours of series, in the order of their use."""


LIGHT = Palette(
    background="#ffffff",
    text="#1b1f24",
    muted="#5c6670",
    grid="#e4e8ec",
    states=MappingProxyType(
        {"good": "#00785a", "warning": "#b07600", "bad": "#c44601", "unknown": "#8a939b"}
    ),
    series=("#0072b2", "#c44601", "#00785a", "#a3487f", "#b07600", "#3a8fc4"),
)
DARK = Palette(
    background="#12161b",
    text="#eef1f4",
    muted="#a5b0ba",
    grid="#2b333c",
    states=MappingProxyType(
        {"good": "#35c79b", "warning": "#f0b73a", "bad": "#ff7f45", "unknown": "#8b96a1"}
    ),
    series=("#56b4e9", "#ff7f45", "#35c79b", "#e08fc0", "#f0b73a", "#9ccbec"),
)

STATE_OF = MappingProxyType(
    {
        "stable": "good",
        "pass": "good",
        "suspected": "warning",
        "insufficient": "warning",
        "drifted": "bad",
        "degraded": "bad",
        "fail": "bad",
        "error": "bad",
        "inconclusive": "unknown",
    }
)
"""The kind of each outcome, which gives its colour and its shape."""
SHAPES = MappingProxyType(
    {"good": "circle", "warning": "diamond", "bad": "triangle-up", "unknown": "cross"}
)


def state_shape(outcome: str) -> str:
    """Shape of an outcome's points."""
    return SHAPES[STATE_OF[outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """One variant: a palette and a total width in pixels."""

    palette: Palette = LIGHT
    width: int = WIDE

    @property
    def narrow(self) -> bool:
        """Whether it is the variant for narrow screens."""
        return self.width < 600

    @property
    def font_size(self) -> int:
        """Size of labels, in pixels."""
        return 12 if self.narrow else 13

    def plot_width(self, label_width: int = 0) -> int:
        """Width of the plot between the y axis and `label_width` pixels of direct labels."""
        return self.width - 62 - 2 * self.padding - label_width

    @property
    def padding(self) -> int:
        """Space around the whole chart."""
        return 6 if self.narrow else 14

    def height(self, wide: int) -> int:
        """Height of a plot that is `wide` pixels high in the wide variant."""
        return round(wide * 0.8) if self.narrow else wide

    def state_colour(self, outcome: str) -> str:
        """Colour of an outcome."""
        return self.palette.states[STATE_OF[outcome]]

    def series_colour(self, number: int) -> str:
        """Colour of the series with this number."""
        return self.palette.series[number % len(self.palette.series)]

    def label_width(self, labels: Sequence[str]) -> int:
        """Pixels that the longest label needs."""
        return round(max((len(label) for label in labels), default=0) * self.font_size * 0.56) + 10


DEFAULT = Theme()
"""Light and wide."""
VARIANTS: Mapping[str, Theme] = MappingProxyType(
    {
        "": DEFAULT,
        "-dark": Theme(palette=DARK),
        "-narrow": Theme(width=NARROW),
        "-narrow-dark": Theme(palette=DARK, width=NARROW),
    }
)
"""The variants by the suffix of their file names."""


def finish(chart: Any, theme: Theme, headline: str, note: str = "") -> Any:
    """Add the headline and the theme to a complete chart."""
    import altair as alt

    size = theme.font_size + 4
    palette = theme.palette
    title = alt.TitleParams(
        text=_wrapped(headline, theme, size),
        subtitle=_wrapped(note, theme, theme.font_size) if note else [],
        anchor="start",
        frame="bounds",
        fontSize=size,
        subtitleFontSize=theme.font_size,
        subtitlePadding=4,
        offset=14,
    )
    font = {"labelFont": FONT, "titleFont": FONT}
    axis = {
        "labelColor": palette.muted,
        "titleColor": palette.muted,
        "labelFontSize": theme.font_size,
        "titleFontSize": theme.font_size,
        "titleFontWeight": "normal",
        "gridColor": palette.grid,
        "domainColor": palette.grid,
        "tickColor": palette.grid,
    }
    return (
        chart.properties(title=title, background=palette.background, padding=theme.padding)
        .configure_view(stroke=None)
        .configure_axis(**font, **axis)
        .configure_header(
            **font, labelColor=palette.text, labelFontSize=theme.font_size, titleColor=palette.text
        )
        .configure_legend(
            **font,
            labelColor=palette.text,
            titleColor=palette.muted,
            labelFontSize=theme.font_size,
            titleFontSize=theme.font_size,
        )
        .configure_title(
            font=FONT, subtitleFont=FONT, color=palette.text, subtitleColor=palette.muted
        )
        .configure_text(font=FONT, fontSize=theme.font_size, color=palette.text)
    )


def values(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Inline data of a chart."""
    import altair as alt

    return alt.Data(values=[dict(row) for row in rows])


def separated(positions: Sequence[float], gap: float) -> list[float]:
    """Positions that are at least `gap` apart, in the same order, near the given ones.

    >>> separated([1.0, 1.1, 5.0], 1.0)
    [0.55, 1.55, 5.0]
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    groups: list[list[int]] = []
    centres: list[float] = []
    for index in order:
        groups.append([index])
        centres.append(positions[index])
        while (
            len(groups) > 1
            and centres[-1] - centres[-2] < gap * (len(groups[-1]) + len(groups[-2])) / 2
        ):
            merged = groups[-2] + groups[-1]
            groups[-2:] = [merged]
            centres[-2:] = [sum(positions[position] for position in merged) / len(merged)]
    result = [0.0] * len(positions)
    for group, centre in zip(groups, centres, strict=True):
        for rank, position in enumerate(group):
            result[position] = centre + gap * (rank - (len(group) - 1) / 2)
    return [round(position, 6) for position in result]


def _wrapped(text: str, theme: Theme, size: int) -> list[str]:
    """Lines that fit into the chart's width."""
    return textwrap.wrap(text, round((theme.width - 2 * theme.padding) / (size * 0.62)))
