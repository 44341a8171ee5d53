"""The text of each reference page, computed from settings, commands, metrics and records."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import typer

from deploy.cli.shared.command import EXITS
from deploy.config.explain import describe
from deploy.config.settings import Settings
from deploy.reference.markdown import NOTE, cell, page, prose
from deploy.reference.records import records_page
from streaming.contracts.metrics import METRICS


def pages() -> dict[str, str]:
    """File name -> Markdown."""
    return {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "metrics.md": metrics_page(),
        "records.md": records_page(),
    }


def settings_page() -> str:
    """Every key of driftline.yaml."""
    lines = [
        "# Settings",
        NOTE,
        "Keys of `driftline.yaml`. Any of them can be overridden by an environment variable: "
        "`DRIFTLINE__SECTION__KEY`. `driftline config explain` shows the values in force, "
        "`driftline config schema` prints a JSON Schema for editors.",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
    ]
    for row in describe(Settings):
        lines.append(f"| `{row.key}` | {cell(row.default)} | {prose(row.meaning)} |")
    return page(lines)


def commands_page() -> str:
    """Every command with its arguments, options and example."""
    from deploy.cli.main import app

    lines = ["# Commands", NOTE, "Every command has `--help`. Exit codes:", ""]
    lines += ["| code | meaning |", "|---:|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXITS.items()]
    for path, command in _commands(typer.main.get_command(app), ("driftline",)):
        lines += ["", f"## {' '.join(path)}", "", dedent(command.help or "").strip()]
        rows = [row for parameter in command.params if (row := _parameter(parameter))]
        if rows:
            lines += ["", "| argument or option | default | meaning |", "|---|---|---|", *rows]
    return page(lines)


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if not inner.hidden:
            yield from _commands(inner, (*path, name))


def _parameter(parameter: Any) -> str:
    if getattr(parameter, "hidden", False):
        return ""
    is_argument = parameter.param_type_name == "argument"
    name = parameter.name.upper() if is_argument else ", ".join(parameter.opts)
    if parameter.required:
        default = "required"
    else:
        value = parameter.default
        default = "" if value in (None, "", False, ()) or callable(value) else str(value)
    return f"| `{name}` | {cell(default)} | {prose(getattr(parameter, 'help', '') or '')} |"


def metrics_page() -> str:
    """Every Prometheus metric."""
    lines = ["# Metrics", NOTE, "| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in sorted(METRICS, key=lambda metric: metric.name):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {prose(metric.help)} |")
    return page(lines)
