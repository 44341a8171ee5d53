"""How commands print: results on stdout, messages on stderr, one table, one colour map, one clock.

Text comes from users, records and files. Both consoles print it literally, with Rich's markup and
emoji codes switched off, so a "[/x]" in a payload cannot end a command. Control characters become
visible escapes (`deploy.views.escapes`). Colour is given by `Text`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

from deploy.views.escapes import one_line, one_line_text, visible, visible_json
from streaming.contracts.errors import ConfigurationError

PIPED_WIDTH = 500
"""Columns of output that is not a terminal, unless COLUMNS gives a number above 0."""
TERMINAL_WIDTH = 80
"""Columns of a terminal that gives no width."""

for _name in ("COLUMNS", "LINES"):
    if not os.environ.get(_name, "0").isascii():
        del os.environ[_name]  # Rich takes ² for a digit and fails to read it


class OutputConsole(Console):
    """A console that cuts nothing when its output is piped: tables get the width they need.

    It prints control characters as visible escapes.
    """

    @property
    def size(self) -> ConsoleDimensions:
        """Width and height in characters."""
        if not self.is_terminal:
            return ConsoleDimensions(_piped_width(), 25)
        width, height = super().size
        return ConsoleDimensions(width if width > 0 else TERMINAL_WIDTH, height)

    @size.setter
    def size(self, dimensions: tuple[int, int]) -> None:
        self._width, self._height = dimensions

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as Rich prints it; escapes are made here, before its width is measured."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments of a renderable; a string in another renderable has one line.

        Rich turns a string that is printed by itself into a `Text` before, so its newlines stay.
        """
        if isinstance(renderable, str):
            renderable = one_line(renderable)
        return super().render(renderable, options)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """What is written; escapes whatever did not come as a string, such as `Text`."""
        return super()._render_buffer(
            segment if segment.control else Segment(visible(segment.text), segment.style)
            for segment in buffer
        )


def _piped_width() -> int:
    try:
        width = int(os.environ.get("COLUMNS", PIPED_WIDTH))
    except ValueError:
        return PIPED_WIDTH
    return width if width > 0 else PIPED_WIDTH


class OneLineTable(Table):
    """A table in whose cells a newline is a visible escape."""

    def add_row(
        self,
        *renderables: RenderableType | None,
        style: StyleType | None = None,
        end_section: bool = False,
    ) -> None:
        """Add a row of strings, texts or other renderables."""
        cells = (_one_line_cell(cell) for cell in renderables)
        super().add_row(*cells, style=style, end_section=end_section)


def _one_line_cell(cell: RenderableType | None) -> RenderableType | None:
    match cell:
        case str():
            return one_line(cell)
        case Text():
            return one_line_text(cell)
        case _:
            return cell


stderr = OutputConsole(stderr=True, markup=False, emoji=False, highlight=False)
"""Messages for people: progress, advice, errors."""
stdout = OutputConsole(markup=False, emoji=False, highlight=False)
"""Results."""

_STYLES = {
    "green": (
        "ok", "ready", "running", "stable", "conforms", "pass", "yes", "passed", "accepted",
    ),
    "yellow": (
        "starting", "waiting", "unresponsive", "suspected", "insufficient", "restarting", "unknown",
    ),
    "red": (
        "missing", "down", "not running", "drifted", "degraded", "broken", "fail", "error", "no",
        "failed", "no answer",
    ),
    "dim": ("inconclusive", "provisional", "–"),
}  # fmt: skip
OUTCOME_STYLES = {outcome: style for style, outcomes in _STYLES.items() for outcome in outcomes}
"""The colour of each outcome, health and state that a command prints."""


def outcome_text(outcome: str, detail: str = "") -> Text:
    """An outcome in its colour; `detail` follows it in the same colour.

    >>> outcome_text("degraded", " (concept)").plain
    'degraded (concept)'
    """
    return Text(one_line(f"{outcome}{detail}"), style=OUTCOME_STYLES.get(outcome, ""))


def table(title: str, *columns: str) -> Table:
    """A table in the one style; a column that begins with '>' is right-aligned.

    The title keeps to one line, however narrow the table is.
    """
    line = Text(one_line(title), style="table.title", no_wrap=True, overflow="ignore")
    result = OneLineTable(
        title=line, title_justify="left", header_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        result.add_column(one_line(column.lstrip(">")), justify=justify)
    return result


def show_json(value: Any) -> None:
    """Print a record, dataclass or plain value as indented JSON on stdout."""
    try:
        content = msgspec.json.encode(value, enc_hook=_plain)
        text = msgspec.json.format(content, indent=2).decode()
    except UnicodeEncodeError:  # half characters, for example from a byte of the command line
        text = json.dumps(msgspec.to_builtins(value, enc_hook=_plain), indent=2)
    sys.stdout.write(visible_json(text) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON.")


def check_chart_file(file: Path | None) -> None:
    """Refuse a chart's file name before anything is read; None means no chart.

    Raises
    ------
    ConfigurationError
        When the suffix is not one that can be drawn.
    """
    if file is not None and file.suffix not in (".png", ".svg"):
        raise ConfigurationError(f"--plot {file}: write a name that ends in .png or .svg.")


def svg_text(chart: Any) -> str:
    """An Altair chart as SVG."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(_visible_texts(chart.to_dict()), _vega_lite_version()))


def _vega_lite_version() -> str:
    """The version of Vega-Lite that charts are written for, as the converter names it."""
    import altair as alt

    return "_".join(alt.SCHEMA_VERSION.split(".")[:2])


def _visible_texts(content: Any) -> Any:
    """The chart with visible escapes: a control character would end the converter's process."""
    if isinstance(content, dict):
        return {_visible_texts(name): _visible_texts(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_visible_texts(entry) for entry in content]
    return visible(content) if isinstance(content, str) else content


def save_chart(chart: Any, file: Path) -> None:
    """Write an Altair chart as PNG or SVG, by the file's suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix != ".png":
        file.write_text(svg_text(chart))
        return
    import vl_convert

    spec = _visible_texts(chart.to_dict())
    file.write_bytes(vl_convert.vegalite_to_png(spec, _vega_lite_version(), scale=2))
