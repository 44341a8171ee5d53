"""The end of a demonstration: a table of the checks, the files, and what to do next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.demo.report import Report
from deploy.demo.state import Check, DemoState
from deploy.demo.system import Addresses

PLAIN_WIDTH = 120
"""Least width of the table where there is no terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a demonstration leaves behind."""

    report: Path
    charts: tuple[Path, ...]
    config: Path
    """Configuration of the demonstration's stack."""
    addresses: Addresses
    keep: bool
    """Whether the stack still runs."""


def print_summary(console: Console, report: Report, state: DemoState, outputs: Outputs) -> None:
    """Print the result of a run and what to do next."""
    seconds = report.finished_at - report.started_at
    style = "green" if report.outcome == "passed" else "red"
    console.print(
        Text.assemble("\n", report.scenario, " ", (report.outcome, style), f" in {seconds:.0f} s")
    )
    if state.ended_early:
        console.print(state.ended_early, markup=False, soft_wrap=True)
    wide = (
        console
        if console.is_terminal
        else Console(file=console.file, width=max(console.width, PLAIN_WIDTH))
    )
    wide.print(checks_table(state.checks))
    console.print(f"Report  {_short(outputs.report)}", markup=False, soft_wrap=True)
    if outputs.charts:
        names = ", ".join(file.name for file in outputs.charts)
        folder = _short(outputs.charts[0].parent)
        console.print(f"Charts  {folder}: {names}", markup=False, soft_wrap=True)
    console.print("\nWhat next", style="bold")
    for command, purpose in next_commands(report, state.timeline.model, outputs):
        console.print(f"  {command:<58} {purpose}", markup=False, soft_wrap=True)
    console.print(_addresses_line(outputs), markup=False, soft_wrap=True)


def checks_table(checks: Sequence[Check]) -> Table:
    """One row for each check: what was promised and what was seen."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for name in ("", "check", "promised", "seen"):
        table.add_column(name, overflow="fold")
    for check in checks:
        mark = Text("✓", style="green") if check.passed else Text("✗", style="red")
        table.add_row(mark, check.name, check.promised, check.seen)
    return table


def next_commands(report: Report, model: str, outputs: Outputs) -> tuple[tuple[str, str], ...]:
    """Three commands with their purpose."""
    driftline = f"driftline -c {_short(outputs.config)}"
    drift = (f"{driftline} drift {model}", "drift of each feature, window by window")
    if outputs.keep:
        version = report.promoted_version or 1
        return (
            drift,
            (f"{driftline} trace {version}", "from the live version back to its data"),
            (f"{driftline} down", "stop the stack"),
        )
    return (
        (f"driftline demo --scenario {report.scenario} --keep", "run again, leave the stack up"),
        (f"{driftline} up", "start the stack with the records of this run"),
        drift,
    )


def _addresses_line(outputs: Outputs) -> str:
    addresses = outputs.addresses
    names = (
        ("Prometheus", addresses.prometheus),
        ("Flink", addresses.flink),
        ("Envoy", addresses.envoy),
    )
    known = " · ".join(f"{name} {address}" for name, address in names if address)
    return f"  {known}" if outputs.keep else f"  While the stack is up: {known}"


def _short(path: Path) -> str:
    """The path relative to the current folder, if it is inside it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
