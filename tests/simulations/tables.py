"""How a study shows what it found: a table on the screen, JSON and a markdown table in files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.config.loader import PROJECT
from streaming.drift.backtest.alarm_count import Rate

OUT = PROJECT / ".driftline" / "study"
TALK = Console(stderr=True)


def show(name: str, rows: Sequence[Mapping[str, object]], facts: Mapping[str, Any]) -> None:
    """Print `rows` and save them."""
    columns = list(rows[0]) if rows else []
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console(width=150).print(table)
    save(name, rows, facts)


def save(name: str, rows: Sequence[Mapping[str, object]], facts: Mapping[str, Any]) -> None:
    """Write `rows`, with `facts` (seed, settings, details), to `OUT`."""
    OUT.mkdir(parents=True, exist_ok=True)
    found = json.dumps({**facts, "rows": list(rows)}, indent=1)
    (OUT / f"{name}.json").write_text(found + "\n")
    (OUT / f"{name}.md").write_text(markdown(rows))


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """The same as a markdown table.

    >>> print(markdown([{"arm": "quiet", "ratio": 0.9}]), end="")
    | arm | ratio |
    |---|---|
    | quiet | 0.9 |
    """
    if not rows:
        return ""
    columns = list(rows[0])
    lines = [columns, *([str(row[column]) for column in columns] for row in rows)]
    written = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([written[0], "|" + "---|" * len(columns), *written[1:]]) + "\n"


def cells(found: Rate) -> dict[str, object]:
    """The cells of a row that say how a budget was kept.

    >>> from streaming.drift.backtest.alarm_count import rate
    >>> cells(rate([1, 0, 2, 1], 4.0))["ratio"]
    '1.00'
    """
    return {
        "allowed": f"{found.expected:.0f}",
        "seen": found.observed,
        "ratio": f"{found.ratio:.2f}",
        "95 % interval": f"{found.low:.2f} – {found.high:.2f}",
    }


def log_folder() -> Path:
    """Where peers write what they say."""
    return OUT / "logs"
