"""The result of computing a record again, and the fields in which two records differ."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Literal

import msgspec

from streaming.contracts.base import Record, Value
from streaming.contracts.codec import encode
from streaming.contracts.ids import record_id
from streaming.contracts.input_records import RulesInForce, RulesSubject

MAX_DIFFERENCES = 50
_MAX_TEXT = 200
_ABSENT = "absent"

RecomputeOutcome = Literal["equal", "differs", "missing"]
"""Result of computing a record again.

* ``equal``: byte for byte what the log has.
* ``differs``: at least one field differs, or an input is not what was written.
* ``missing``: it cannot be computed again, because something that it needs is not recorded.
"""


class MissingInputError(Exception):
    """Something that the computation needs is not recorded, or not kept any more; the text says
    what."""


class ChangedInputError(Exception):
    """Something that the computation needs is not what it was when it was written; the text says
    what."""


class FieldDifference(Value, frozen=True, kw_only=True):
    """One field with another value than recorded."""

    field: str
    """Path of the field, for example ``gates[2].n``."""
    recorded: str
    """Its value on the log, as JSON, cut if it is long."""
    recomputed: str
    """Its value when computed again."""


class Recomputed(Value, frozen=True, kw_only=True):
    """The result for one record."""

    record_id: str
    kind: str
    at: float
    outcome: RecomputeOutcome
    reason: str = ""
    """Why it differs or cannot be computed again; empty when it is equal."""
    differences: tuple[FieldDifference, ...] = ()
    code: str = ""
    """Version of the code that wrote it; empty where it is not known."""


def equal_or_different(recorded: Record, computed: Record | None, *, code: str = "") -> Recomputed:
    """The result of a computation: equal byte for byte, or the fields that differ."""
    kind, when = kind_of(recorded), recorded.at
    if computed is None:
        reason = "Computed again, nothing like it is decided."
        return Recomputed(
            record_id=recorded.record_id,
            kind=kind,
            at=when,
            outcome="differs",
            reason=reason,
            code=code,
        )
    if encode(recorded) == encode(computed):
        return Recomputed(
            record_id=recorded.record_id, kind=kind, at=when, outcome="equal", code=code
        )
    fields = tuple(differences(recorded, computed))
    named = ", ".join(entry.field for entry in fields[:3]) + (" …" if len(fields) > 3 else "")
    return Recomputed(
        record_id=recorded.record_id,
        kind=kind,
        at=when,
        outcome="differs",
        reason=f"Computed again, {named} differs.",
        differences=fields[:MAX_DIFFERENCES],
        code=code,
    )


def not_recomputed(
    recorded: Record, why: MissingInputError | ChangedInputError | str, *, code: str = ""
) -> Recomputed:
    """The result for a record that cannot be computed again, or whose inputs were changed."""
    return Recomputed(
        record_id=recorded.record_id,
        kind=kind_of(recorded),
        at=recorded.at,
        outcome="differs" if isinstance(why, ChangedInputError) else "missing",
        reason=str(why),
        code=code,
    )


def kind_of(record: Record) -> str:
    """The kind of a record as in its JSON.

    >>> from streaming.contracts.records import CommandReply
    >>> kind_of(CommandReply(
    ...     record_id="a", model="m", at=0.0, command_id="b", accepted=True, reason=""
    ... ))
    'command-reply'
    """
    return str(type(record).__struct_config__.tag)


def differences(recorded: Record, computed: Record) -> Iterator[FieldDifference]:
    """The fields that differ, in the order of the record; lists are compared by position."""
    yield from _differences("", msgspec.to_builtins(recorded), msgspec.to_builtins(computed))


def _differences(path: str, recorded: Any, computed: Any) -> Iterator[FieldDifference]:
    if isinstance(recorded, dict) and isinstance(computed, dict):
        for name in dict.fromkeys((*recorded, *computed)):
            inner = f"{path}.{name}" if path else str(name)
            yield from _differences(inner, recorded.get(name, _ABSENT), computed.get(name, _ABSENT))
    elif isinstance(recorded, list | tuple) and isinstance(computed, list | tuple):
        for number, pair in enumerate(zip_longest(recorded, computed, fillvalue=_ABSENT)):
            yield from _differences(f"{path}[{number}]", *pair)
    elif _text(recorded) != _text(computed):
        yield FieldDifference(
            field=path, recorded=_cut(_text(recorded)), recomputed=_cut(_text(computed))
        )


def _text(value: Any) -> str:
    return _ABSENT if value is _ABSENT else msgspec.json.encode(value).decode()


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def rules_in_force(
    subject: RulesSubject, rules: object, *, model: str, code: str, at: float
) -> RulesInForce:
    """The record of rules: a dataclass or struct of plain values, with an id of its own text."""
    text = msgspec.json.encode(rules, order="deterministic").decode()
    name = rules_digest(subject, text, code=code)
    return RulesInForce(
        record_id=record_id("rules-in-force", model, name, at),
        model=model,
        at=at,
        subject=subject,
        digest=name,
        text=text,
        code=code,
    )


def rules_digest(subject: RulesSubject, text: str, *, code: str) -> str:
    """The digest by which verdicts name their rules, 24 hex digits."""
    return record_id("rules", subject, text, code)
