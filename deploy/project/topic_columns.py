"""The fields of documents as columns: objects become paths, each with a usable name. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.project.headers import clean_headers
from streaming.contracts.values import is_missing, kind_of

MAX_PATHS = 500
"""Paths that are looked at; producers could send any number of them."""
MAX_DEPTH = 8
_INT64 = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class PathColumn:
    """One field of the documents."""

    path: str
    """Names from the outermost object to the value, with dots between them."""
    name: str
    """A name that a feature can have."""
    values: list[Any]
    """The value in each document; None where it is missing."""
    kind: str
    """Kind of the values; ``mixed`` where they have several, empty where there are none."""

    @property
    def present(self) -> int:
        """Number of documents with a value."""
        return sum(not is_missing(value) for value in self.values)

    @property
    def nested(self) -> bool:
        """Whether the value is inside an object."""
        return self.path.replace("\\.", "") != self.path.replace("\\.", "").replace(".", "")

    def cells(self) -> list[str | None]:
        """The values as a file would write them."""
        return [_cell(value) for value in self.values]


def columns_of(documents: Sequence[Mapping[str, Any]]) -> tuple[PathColumn, ...]:
    """The fields of all documents, in the order of their first appearance."""
    by_path: dict[str, list[Any]] = {}
    for row, document in enumerate(documents):
        for path, value in _values(document):
            if path not in by_path:
                if len(by_path) >= MAX_PATHS:
                    continue
                by_path[path] = [None] * len(documents)
            by_path[path][row] = value
    headers = clean_headers([_plain_name(path) for path in by_path])
    inside = {path[:at] for path in by_path for at in _dots(path)}
    return tuple(
        PathColumn(
            path=path,
            name=header.name,
            values=values,
            kind="mixed" if path in inside and any(map(_is_there, values)) else _kind(values),
        )
        for (path, values), header in zip(by_path.items(), headers, strict=True)
    )


def _values(
    document: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """The values of a document by path."""
    for name, value in document.items():
        path = prefix + str(name).replace(".", "\\.")
        is_object = isinstance(value, dict) and value and depth < MAX_DEPTH
        if "\0" in path or (is_object and path.endswith("\\")):
            continue  # no path names it
        if is_object:
            yield from _values(value, path + ".", depth + 1)
        else:
            yield path, value


def _plain_name(path: str) -> str:
    return path.replace("\\.", "_").replace(".", "_")


def _dots(path: str) -> list[int]:
    """Places of the dots between names."""
    return [at for at, char in enumerate(path) if char == "." and path[at - 1 : at] != "\\"]


def _is_there(value: Any) -> bool:
    return not is_missing(value)


def _kind(values: Sequence[Any]) -> str:
    kinds = {kind_of(value) or type(value).__name__ for value in values if not is_missing(value)}
    if any(type(value) is int and not -_INT64 <= value < _INT64 for value in values):
        return "mixed"  # too large for an integer, and not all are numbers with a point
    if kinds == {"integer", "number"}:
        return "number"
    return next(iter(kinds)) if len(kinds) == 1 else "mixed" if kinds else ""


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, default=str)
    return str(value)
