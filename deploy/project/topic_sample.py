"""Reads the newest messages of a topic as rows of text cells, joined with their labels."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streaming.contracts import json_text
from streaming.contracts.errors import ConfigurationError, DecodeError, NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.values import kind_of

NEWEST = 20_000
"""Messages of a topic that are read, the newest of each partition."""


@dataclass(slots=True)
class Messages:
    """JSON objects of a topic."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    unusable: int = 0
    """Messages that are no JSON objects."""


def read_newest(log: RecordLog, topic: str, limit: int = NEWEST) -> Messages:
    """The newest JSON objects of a topic, partition by partition in the order of their offsets.

    Raises
    ------
    NotFoundError
        When the topic has no messages, or does not exist.
    ConfigurationError
        When no message is a JSON object.
    """
    spans = [span for span in log.spans(topic) if span.stop > span.start]
    if not spans:
        raise NotFoundError(f"The topic {topic} has no messages; name one that has.")
    share = -(-limit // len(spans))
    messages = Messages()
    for span in spans:
        newest = msgspec.structs.replace(span, start=max(span.start, span.stop - share))
        for message in log.read(newest):
            try:
                value = json_text.parse_json(message.value or b"")
            except DecodeError:
                value = None
            if isinstance(value, dict):
                messages.rows.append(value)
            else:
                messages.unusable += 1
    if not messages.rows:
        raise ConfigurationError(
            f"None of {messages.unusable} messages of {topic} is a JSON object; `driftline init` "
            "reads flat JSON only."
        )
    return messages


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str | None]]:
    """The fields of all rows as text cells, in the order of their first appearance."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return {name: [_cell(row.get(name)) for row in rows] for name in names}


def kinds_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The JSON kind of each field's values; `mixed` where it has several, numbers apart."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for name, value in row.items():
            kinds[name][kind_of(value)] += 1
    return {name: _common_kind({kind for kind in counts if kind}) for name, counts in kinds.items()}


def join_labels(
    events: Sequence[dict[str, Any]], labels: Sequence[Mapping[str, Any]], label: str
) -> tuple[list[dict[str, Any]], str]:
    """The events that have a label, with it, and the field by which they were joined.

    Raises
    ------
    ConfigurationError
        When no label has the field, or no field of both tells which event a label belongs to.
    """
    if not any(label in row for row in labels):
        names = ", ".join(sorted({name for row in labels for name in row}))
        raise ConfigurationError(f"No label record has the field {label!r}; they have {names}.")
    best: tuple[int, str, dict[str, Any]] = (0, "", {})
    shared = set(events[0]) & {name for row in labels for name in row} - {label}
    for name in sorted(shared):
        values = {str(row[name]): row[label] for row in labels if name in row and label in row}
        keys = Counter(str(row.get(name)) for row in events)
        matched = sum(1 for key, count in keys.items() if count == 1 and key in values)
        if matched > best[0]:
            best = (matched, name, values)
    matched, key, values = best
    if not matched:
        raise ConfigurationError(
            "Events and labels have no field in common that tells the event of a"
            " label; both need the event's key."
        )
    joined = [
        {**row, label: values[str(row[key])]} for row in events if str(row.get(key)) in values
    ]
    return joined, key


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return "true" if value is True else "false" if value is False else repr(value)


def _common_kind(kinds: set[str]) -> str:
    if kinds == {"integer", "number"}:
        return "number"
    return next(iter(kinds)) if len(kinds) == 1 else "mixed" if kinds else ""
