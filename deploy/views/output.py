"""How commands print: results on stdout, messages on stderr, one table, one colour map, one clock.

Text comes from users, records and files. Both consoles print it literally, with Rich's markup and
emoji codes switched off, so a "[/x]" in a payload cannot end a command. Colour is given by `Text`.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

from streaming.contracts.errors import ConfigurationError

PIPED_WIDTH = 500
"""Columns of output that is not a terminal, unless COLUMNS says otherwise."""


class OutputConsole(Console):
    """A console that cuts nothing when its output is piped: tables get the width they need."""

    @property
    def size(self) -> ConsoleDimensions:
        """Width and height in characters."""
        if self.is_terminal:
            return super().size
        return ConsoleDimensions(int(os.environ.get("COLUMNS", PIPED_WIDTH)), 25)

    @size.setter
    def size(self, dimensions: tuple[int, int]) -> None:
        self._width, self._height = dimensions


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
    return Text(f"{outcome}{detail}", style=OUTCOME_STYLES.get(outcome, ""))


def format_time(at: float) -> str:
    """A point in time as every command prints it.

    >>> format_time(1_767_322_984.6)
    '2026-01-02 03:03:04 UTC'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def table(title: str, *columns: str) -> Table:
    """A table in the one style; a column that begins with '>' is right-aligned."""
    result = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        result.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return result


def show_json(value: Any) -> None:
    """Print a record, dataclass or plain value as indented JSON on stdout."""
    content = msgspec.json.encode(value, enc_hook=_plain)
    sys.stdout.write(msgspec.json.format(content, indent=2).decode() + "\n")


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


def save_chart(chart: Any, file: Path) -> None:
    """Write an Altair chart as PNG or SVG, by the file's suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    chart.save(file, **({"scale_factor": 2} if file.suffix == ".png" else {}))
