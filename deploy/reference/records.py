"""The reference page of topics and records, computed from their types and docstrings."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from textwrap import dedent
from typing import get_args

from deploy.reference.markdown import NOTE, cell, page, prose
from streaming.contracts.base import Record, Value
from streaming.contracts.records import AnyRecord
from streaming.contracts.topics import RECORD_TOPICS, Topic


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record."""

    name: str
    annotation: str
    meaning: str
    """The attribute docstring; empty where there is none."""


def records_page() -> str:
    """Every topic, every record with its fields, and the values of named types."""
    lines = ["# Records and topics", NOTE, "## Topics", "", *_topic_table()]
    lines += [
        "",
        "## Records",
        "",
        "Times are seconds since 1970 (UTC). A type that names a few values, such as `Cause`, is "
        "explained [at the end](#named-values). Every record begins with:",
        "",
        *_field_table(fields_of(Record)),
    ]
    kinds = list(_record_types())
    for kind in kinds:
        text = prose(inspect.getdoc(kind) or "")
        lines += ["", f"### {kind.__name__}", "", text, "", *_field_table(fields_of(kind))]
    lines += ["", "## Named values"]
    for name, meaning in sorted(named_values({kind.__module__ for kind in kinds}).items()):
        lines += ["", f"### {name}", "", meaning]
    return page(lines)


def fields_of(kind: type) -> list[Field]:
    """The fields that the record adds to the common head."""
    result: list[Field] = []
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("streaming.contracts") or base is Value:
            continue
        if base is Record and kind is not Record:
            continue
        body = ast.parse(dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, docstring in _with_docstrings(body.body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                result.append(Field(node.target.id, ast.unparse(node.annotation), docstring))
    return result


def named_values(modules: Iterable[str]) -> dict[str, str]:
    """The types that name a few values (`Literal`) -> their docstring, empty without one."""
    result = {}
    for module in modules:
        body = ast.parse(inspect.getsource(sys.modules[module])).body
        for node, docstring in _with_docstrings(body):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and ast.unparse(node.value).startswith("Literal[")
            ):
                result[node.targets[0].id] = inspect.cleandoc(docstring)
    return result


def _with_docstrings(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Each statement with the docstring that follows it; empty without one."""
    for node, following in zip(body, [*body[1:], None], strict=True):
        docstring = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            docstring = str(following.value.value)
        yield node, docstring


def _record_types() -> Iterator[type]:
    """Every record, then the values inside them, each once."""
    done: set[type] = set()
    queue = list(get_args(AnyRecord))
    while queue:
        kind = queue.pop(0)
        if kind not in done:
            done.add(kind)
            queue += _mentioned(kind)
            yield kind


def _mentioned(kind: type) -> list[type]:
    """Struct types of the contracts that the fields of a record use."""
    module = inspect.getmodule(kind)
    annotations = (field.annotation for field in fields_of(kind))
    names = {name for annotation in annotations for name in re.findall(r"[A-Z]\w+", annotation)}
    values = [getattr(module, name, None) for name in sorted(names)]
    return [
        value
        for value in values
        if isinstance(value, type) and value.__module__.startswith("streaming.contracts")
    ]


def _topic_table() -> list[str]:
    lines = [
        "| topic | record | key | partitions | clean-up | kept |",
        "|---|---|---|---:|---|---|",
    ]
    for topic in RECORD_TOPICS:
        record = topic.record.__name__ if topic.record else "–"
        lines.append(
            f"| `{topic.name}` | [{record}](#{record.lower()}) | {topic.key} | {topic.partitions} "
            f"| {topic.cleanup} | {_kept(topic)} |"
        )
    return lines


def _kept(topic: Topic) -> str:
    """How long records are kept, or the setting that says so."""
    setting = topic.retention.replace("-", "_")
    return "for ever" if topic.cleanup == "compact" else f"`retention.{setting}`"


def _field_table(fields: list[Field]) -> list[str]:
    rows = (
        f"| `{field.name}` | `{cell(field.annotation)}` | {prose(field.meaning)} |"
        for field in fields
    )
    return ["| field | type | meaning |", "|---|---|---|", *rows]
