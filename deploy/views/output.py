"""How commands speak: data on stdout, talk on stderr, and one exit code for each kind of end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streaming.contracts.errors import (
    ConfigurationError,
    Conflict,
    DriftlineError,
    GateFailedError,
    NotFoundError,
    UnavailableError,
)

EXITS = {
    0: "done",
    1: "failed",
    2: "wrong usage or configuration",
    3: "not found",
    4: "a gate or verdict said no",
    5: "conflict: stale approval, already running",
    6: "not allowed",
    7: "timed out",
    8: "an engine cannot be reached",
}

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ConfigurationError, 2),
    (NotFoundError, 3),
    (GateFailedError, 4),
    (Conflict, 5),
    (TimeoutError, 7),
    (UnavailableError, 8),
    (DriftlineError, 1),
)

Json = Annotated[bool, typer.Option("--json", help="Data as JSON on stdout.")]
Model = Annotated[str, typer.Argument(help="Name of the model in driftline.yaml.")]

talk = Console(stderr=True, highlight=False)
data = Console(highlight=False)


def exit_code(error: BaseException) -> int:
    """The documented exit code of an error.

    >>> from streaming.contracts.errors import Conflict
    >>> exit_code(Conflict("It is already running."))
    5
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), 1)


@contextmanager
def exits() -> Iterator[None]:
    """Turn the house's errors into one red sentence and their exit code."""
    try:
        yield
    except (DriftlineError, TimeoutError) as error:
        fail(error)


def fail(error: BaseException) -> NoReturn:
    """Say what went wrong on stderr and leave."""
    talk.print(f"[red]{type(error).__name__}[/red]: ", end="")
    talk.print(str(error), markup=False)
    raise typer.Exit(exit_code(error))


def drawable(file: Path | None) -> None:
    """Refuse a picture's name before anything is read; None is no picture.

    Raises
    ------
    ConfigurationError
        When the suffix is none that can be drawn.
    """
    if file is not None and file.suffix not in (".png", ".svg"):
        raise ConfigurationError(f"--plot {file}: write a name that ends in .png or .svg.")


def save_chart(chart: Any, file: Path) -> None:
    """Write an Altair chart; the suffix says .png or .svg."""
    file.parent.mkdir(parents=True, exist_ok=True)
    chart.save(file, **({"scale_factor": 2} if file.suffix == ".png" else {}))


def show_json(value: Any) -> None:
    """Any record, dataclass or plain value as indented JSON on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def table(title: str, *columns: str) -> Table:
    """A table in the house's look; a column that begins with '>' is right-aligned."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left")
    return made
