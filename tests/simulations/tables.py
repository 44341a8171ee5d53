"""Results of a simulation: a table on the screen, and files with JSON and a markdown table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.config.paths import PROJECT
from streaming.drift.backtest.alarm_count import AlarmRate

OUT = PROJECT / ".driftline" / "simulations"
PROGRESS = Console(stderr=True)


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
    text = json.dumps({**facts, "rows": list(rows)}, indent=1)
    (OUT / f"{name}.json").write_text(text + "\n")
    (OUT / f"{name}.md").write_text(markdown(rows))


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as a markdown table.

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


def rate_cells(rate: AlarmRate) -> dict[str, object]:
    """The columns that compare the observed alarms with the budget.

    >>> from streaming.drift.backtest.alarm_count import alarm_rate
    >>> rate_cells(alarm_rate([1, 0, 2, 1], 4.0))["ratio"]
    '1.00'
    """
    return {
        "allowed": f"{rate.expected:.0f}",
        "seen": rate.observed,
        "ratio": f"{rate.ratio:.2f}",
        "95 % interval": f"{rate.low:.2f} – {rate.high:.2f}",
    }


def log_folder() -> Path:
    """Folder of the competitors' logs."""
    return OUT / "logs"
