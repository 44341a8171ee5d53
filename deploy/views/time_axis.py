"""The time axis that all charts of one picture share, with its markers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from deploy.views.theme import Theme, values

Side = Literal["left", "right"]

_UNITS = ((172_800.0, 86_400.0, "days"), (7_200.0, 3_600.0, "hours"), (900.0, 60.0, "minutes"))
"""Shortest span of each unit, its length in seconds, and its name."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A labelled moment."""

    at: float
    """Seconds since 1970."""
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAxis:
    """From `start` to `stop`, in seconds since 1970; shown as the time since `start`.

    >>> TimeAxis(start=1000.0, stop=8200.0).position(4600.0)
    1.0
    """

    start: float
    stop: float
    origin: str = "the start"
    """Completes the axis title "seconds since …"."""
    shown_from: float | None = None
    """Left end of the axis, when it is later than `start`."""
    markers: tuple[Marker, ...] = ()

    @property
    def _unit(self) -> tuple[float, str]:
        span = self.stop - self.start
        return next(
            ((length, name) for least, length, name in _UNITS if span >= least), (1.0, "seconds")
        )

    @property
    def left(self) -> float:
        """Time at the left end."""
        return self.start if self.shown_from is None else self.shown_from

    @property
    def domain(self) -> tuple[float, float]:
        """Both ends in the unit of the axis."""
        left = self.position(self.left)
        return left, max(self.position(self.stop), left + 1e-6)

    def position(self, at: float) -> float:
        """A time in the unit of the axis."""
        return (at - self.start) / self._unit[0]

    def encoding(self, theme: Theme, *, visible: bool = True) -> Any:
        """The x channel: field ``time``."""
        import altair as alt

        title = f"{self._unit[1]} since {self.origin}"
        return alt.X(
            "time:Q",
            title=title if visible else None,
            scale=alt.Scale(domain=list(self.domain), nice=False),
            axis=alt.Axis(
                grid=False,
                tickCount=5 if theme.narrow else 9,
                labels=visible,
                ticks=visible,
                labelOverlap=True,
            ),
        )

    def marker_layers(self, theme: Theme, plot_width: int, *, labelled: bool = True) -> list[Any]:
        """A vertical line at each marker; the labels stand above the plot without overlap."""
        import altair as alt

        visible = sorted(
            (m for m in self.markers if self.left <= m.at <= self.stop), key=lambda m: m.at
        )
        if not visible:
            return []
        rows = [{"time": self.position(marker.at)} for marker in visible]
        rules = alt.Chart(values(rows)).mark_rule(color=theme.palette.muted, strokeDash=[2, 3])
        layers: list[Any] = [rules.encode(x="time:Q")]
        if not labelled:
            return layers
        if theme.narrow:
            visible = [Marker(m.at, m.label.replace("version ", "v")) for m in visible]
        for marker, row, side in self._label_rows(visible, theme, plot_width):
            text = alt.Chart(values([{"time": self.position(marker.at)}])).mark_text(
                text=marker.label,
                align=side,
                dx=3 if side == "left" else -3,
                baseline="bottom",
                color=theme.palette.text,
            )
            y = alt.value(-5 - row * (theme.font_size + 4))
            layers.append(text.encode(x="time:Q", y=y))
        return layers

    def _label_rows(
        self, markers: list[Marker], theme: Theme, plot_width: int
    ) -> list[tuple[Marker, int, Side]]:
        """The row of each label, and the side of the label that touches its line."""
        left, right = self.domain
        pixels = plot_width / (right - left)
        rows: list[list[tuple[float, float]]] = []
        placed: list[tuple[Marker, int, Side]] = []
        for marker in markers:
            at = (self.position(marker.at) - left) * pixels
            width = theme.label_width([marker.label])
            fits = at + width <= plot_width + 60
            start, stop = (at, at + width) if fits else (at - width, at)
            row = 0
            while row < len(rows) and any(start < b and a < stop for a, b in rows[row]):
                row += 1
            if row == len(rows):
                rows.append([])
            rows[row].append((start, stop))
            placed.append((marker, row, "left" if fits else "right"))
        return placed
