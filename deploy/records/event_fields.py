"""Field by field, what the newest events hold and what the model reads of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from streaming.contracts.json_text import recorded_name
from streaming.contracts.mapper import mapper
from streaming.contracts.mapping import parts
from streaming.contracts.model import ModelContract
from streaming.contracts.values import is_missing, kind_of, shortened

MAX_FIELDS = 200
"""Fields that are reported; producers could send any number of them."""
_MAX_DEPTH = 6
_EXAMPLES = 3


class FieldReport(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the events."""

    path: str
    """Names from the outermost object to the value, with dots between them."""
    present: float
    """Share of the events that have a value there."""
    kinds: dict[str, int]
    """Kind of the values → number of events."""
    examples: tuple[str, ...]
    """Some of the values, shortened."""
    read_as: tuple[str, ...]
    """What the model reads of it: features, ``key``, ``time``; empty where it reads nothing."""


def field_reports(
    documents: Sequence[Mapping[str, Any]], contract: ModelContract
) -> tuple[FieldReport, ...]:
    """The fields of these documents, and those that the model expects, which may be in none."""
    roles = roles_of(contract)
    kinds: dict[str, Counter[str]] = {path: Counter() for path in roles}
    examples: dict[str, list[str]] = {}
    for document in documents:
        for path, value in _values(document, roles):
            if path not in kinds and len(kinds) >= MAX_FIELDS:
                continue
            counts, shown = kinds.setdefault(path, Counter()), examples.setdefault(path, [])
            if is_missing(value):
                continue
            counts[kind_of(value) or type(value).__name__] += 1
            text = shortened(value)
            if len(shown) < _EXAMPLES and text not in shown:
                shown.append(text)
    return tuple(
        FieldReport(
            path=path,
            present=counts.total() / max(1, len(documents)),
            kinds=dict(counts.most_common()),
            examples=tuple(examples.get(path, ())),
            read_as=roles.get(path, ()),
        )
        for path, counts in kinds.items()
    )


def roles_of(contract: ModelContract) -> dict[str, tuple[str, ...]]:
    """Path → what the model reads there."""
    compiled = mapper(contract, contract.events)
    mapping = contract.events
    roles: dict[str, list[str]] = {}
    if mapping.key_from == "field":
        path = (contract.key,) if compiled is None else compiled.key_path
        roles.setdefault(_text(path), []).append("key")
    if mapping.time_format != "broker":
        path = (contract.time,) if compiled is None else compiled.time_path
        roles.setdefault(_text(path), []).append("time")
    rules = {rule.name: rule for rule in mapping.fields}
    for spec in contract.features:
        rule = rules.get(spec.name)
        path = (spec.name,) if rule is None else parts(rule.path)
        by_rule = "" if rule is None or rule.rule == "value" else f" ({rule.rule})"
        roles.setdefault(_text(path), []).append(spec.name + by_rule)
    return {path: tuple(names) for path, names in roles.items()}


def _text(path: Sequence[str]) -> str:
    return ".".join(part.replace(".", "\\.") for part in path)


def _values(
    document: Mapping[str, Any], roles: Mapping[str, object], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """The values of a document by path; an object counts as its fields unless it is read itself."""
    for name, value in document.items():
        path = prefix + recorded_name(str(name)).replace(".", "\\.")
        if isinstance(value, dict) and path not in roles and depth < _MAX_DEPTH:
            yield from _values(value, roles, path + ".", depth + 1)
        else:
            yield path, value
