"""What the local receiver was told, and whether it is what a drill expects. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

_ALERT = re.compile(r"\*(?P<resolved>Resolved: )?(?P<name>Driftline\w+)\*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One alert in one message."""

    at: float
    alert: str
    resolved: bool
    thread: str
    """The message that opened its thread."""


def told_in(message: str, thread: str, at: float, body: str) -> list[Told]:
    """The alerts of a message, as the receiver keeps it.

    >>> block = {"type": "section", "text": {"text": "*DriftlineSlow* (page)"}}
    >>> [told] = told_in("1.1", "", 1.0, json.dumps({"blocks": [block]}))
    >>> told.alert, told.resolved, told.thread
    ('DriftlineSlow', False, '1.1')
    """
    sections = [block for block in json.loads(body)["blocks"] if block["type"] == "section"]
    matches = [_ALERT.match(block["text"]["text"]) for block in sections]
    return [
        Told(at=at, alert=match["name"], resolved=bool(match["resolved"]), thread=thread or message)
        for match in matches
        if match is not None
    ]


def fired(told: Iterable[Told]) -> list[str]:
    """The names of the alerts that fired, in the order in which they were first told."""
    return list(dict.fromkeys(entry.alert for entry in told if not entry.resolved))


def problem(told: Sequence[Told], *, expected: Sequence[str], earlier: Collection[str] = ()) -> str:
    """What is wrong with what was told; empty when it is what was expected.

    Parameters
    ----------
    expected:
        The alerts of the one cause, in their order: each replaces the one before it.
    earlier:
        Alerts of causes before this one, which may still fire and be told of.

    >>> problem([], expected=["DriftlineSlow"])
    'told nothing; expected DriftlineSlow'
    """
    new = [entry for entry in told if entry.alert in expected or entry.alert not in earlier]
    names = fired(new)
    if names != list(expected):
        return f"told {', '.join(names) or 'nothing'}; expected {', '.join(expected) or 'nothing'}"
    threads = {entry.thread for entry in new}
    if len(threads) > 1:
        return f"told in {len(threads)} threads; one cause has one"
    return ""
