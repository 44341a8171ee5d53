"""The text of each reference page, computed from settings, commands, metrics and records."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from textwrap import dedent
from typing import Any, get_args

import typer

from deploy.cli.shared.command import EXITS
from deploy.config.explain import describe
from deploy.config.settings import Settings
from streaming.contracts.base import Record, Value
from streaming.contracts.metrics import METRICS
from streaming.contracts.records import AnyRecord
from streaming.contracts.topics import RECORD_TOPICS

_NOTE = "<!-- Made from the code by `make docs`; do not edit. -->\n"


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
        _NOTE,
        "Keys of `driftline.yaml`. Any of them can be overridden by an environment variable: "
        "`DRIFTLINE__SECTION__KEY`. `driftline config explain` shows the values in force, "
        "`driftline config schema` prints a JSON Schema for editors.",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
    ]
    for row in describe(Settings):
        lines.append(f"| `{row.key}` | {_cell(row.default)} | {_prose(row.meaning)} |")
    return _page(lines)


def commands_page() -> str:
    """Every command with its arguments, options and example."""
    from deploy.cli.main import app

    lines = ["# Commands", _NOTE, "Every command has `--help`. Exit codes:", ""]
    lines += ["| code | meaning |", "|---:|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXITS.items()]
    for path, command in _commands(typer.main.get_command(app), ("driftline",)):
        lines += ["", f"## {' '.join(path)}", "", dedent(command.help or "").strip()]
        rows = [row for parameter in command.params if (row := _parameter(parameter))]
        if rows:
            lines += ["", "| argument or option | default | meaning |", "|---|---|---|", *rows]
    return _page(lines)


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
    return f"| `{name}` | {_cell(default)} | {_prose(getattr(parameter, 'help', '') or '')} |"


def metrics_page() -> str:
    """Every Prometheus metric."""
    lines = ["# Metrics", _NOTE, "| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in sorted(METRICS, key=lambda metric: metric.name):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {_prose(metric.help)} |")
    return _page(lines)


def records_page() -> str:
    """Every topic and every record with its fields."""
    lines = ["# Records and topics", _NOTE, "## Topics", ""]
    lines += ["| topic | record | key | partitions | clean-up |", "|---|---|---|---:|---|"]
    for topic in RECORD_TOPICS:
        record = topic.record.__name__ if topic.record else "–"
        lines.append(
            f"| `{topic.name}` | [{record}](#{record.lower()}) | {topic.key} | {topic.partitions} "
            f"| {topic.cleanup} |"
        )
    lines += [
        "",
        "## Records",
        "",
        "Times are seconds since 1970 (UTC). Every record begins with:",
        "",
    ]
    lines += _field_table(_fields(Record))
    done: set[type] = set()
    queue = list(get_args(AnyRecord))
    while queue:
        kind = queue.pop(0)
        if kind in done:
            continue
        done.add(kind)
        fields = _fields(kind)
        lines += ["", f"### {kind.__name__}", "", _first(kind), "", *_field_table(fields)]
        queue += _mentioned(kind, fields)
    return _page(lines)


def _field_table(fields: list[tuple[str, str, str]]) -> list[str]:
    lines = ["| field | type | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | `{_cell(kind)}` | {_prose(text)} |" for name, kind, text in fields]
    return lines


def _mentioned(kind: type, fields: list[tuple[str, str, str]]) -> list[type]:
    """Struct types of the contracts that the fields of a record use."""
    module = inspect.getmodule(kind)
    names = {name for _, annotation, _ in fields for name in re.findall(r"[A-Z]\w+", annotation)}
    values = [getattr(module, name, None) for name in sorted(names)]
    return [
        value
        for value in values
        if isinstance(value, type) and value.__module__.startswith("streaming.contracts")
    ]


def _fields(kind: type) -> list[tuple[str, str, str]]:
    """Name, type and attribute docstring of each field that the record adds to the common head."""
    result: list[tuple[str, str, str]] = []
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("streaming.contracts") or base is Value:
            continue
        if base is Record and kind is not Record:
            continue
        body = ast.parse(dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, following in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                text = ""
                if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                    text = str(following.value.value)
                result.append((node.target.id, ast.unparse(node.annotation), text))
    return result


def _first(kind: type) -> str:
    return _prose(inspect.getdoc(kind) or "").replace("<br>", " ")


def _prose(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("|", "\\|") if text else ""


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"
