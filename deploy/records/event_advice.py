"""What to do about events that are not understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploy.records.event_fields import FieldReport
from deploy.records.event_report import EventCheck
from streaming.contracts.event_times import seconds_of
from streaming.contracts.model import ModelContract

_UNITS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"))
"""A number above this is a time since 1970 in this unit, not in a larger one."""


def advice(check: EventCheck, contract: ModelContract) -> tuple[str, ...]:
    """Sentences that each name a next step, the most important first."""
    setting = f"models.{check.model}.events"
    if not check.read:
        return (f"{check.topic} has no events; write some, or correct {setting}.topic.",)
    steps = [*_waiting(check), *_format(check, setting), *_time(check, contract, setting)]
    steps += [*_unmapped(check, setting), *_rules(check, contract, setting)]
    if check.refused and not steps:
        steps.append(
            "See one whole event: `driftline dead-letters show TOPIC/PARTITION@OFFSET` once the "
            "stream job has read it."
        )
    if check.late:
        steps.append(
            f"{check.late} events are late; raise models.{check.model}.window.max_out_of_orderness "
            "if their producers are right."
        )
    return tuple(steps) or (
        f"All are understood; `driftline job submit {check.model}` reads them.",
    )


def _waiting(check: EventCheck) -> Iterator[str]:
    if check.waiting:
        yield (
            f"{check.waiting} events wait for a schema: {check.waiting_for} If it never comes, "
            "list its number in refused_schemas."
        )


def _format(check: EventCheck, setting: str) -> Iterator[str]:
    reasons = {refusal.reason for refusal in check.refused}
    if "not_json" in reasons and not check.accepted and not check.fields_with_values():
        yield (
            f"No event is JSON; if producers use a schema registry, set {setting}.format to avro, "
            "protobuf or json-schema, and registry.url."
        )
    if "wrong_magic" in reasons and not check.accepted:
        yield f"No event names a schema; if they are plain JSON, set {setting}.format: json."
    if "not_a_cloudevent" in reasons and not check.accepted:
        yield f"No event is a CloudEvent; if they are plain JSON, set {setting}.format: json."


def _time(check: EventCheck, contract: ModelContract, setting: str) -> Iterator[str]:
    reasons = {refusal.reason for refusal in check.refused}
    field = next((field for field in check.fields if "time" in field.read_as), None)
    if field is None or check.accepted or not reasons & {"no_time", "future_time"}:
        return
    used = contract.events.time_format
    if not field.examples:
        yield (
            f"No event has a time at {field.path}; set {setting}.time to its path, or "
            f"{setting}.time_format: broker."
        )
    elif "text" in field.kinds and used == "rfc3339":
        yield (
            f"{field.path} holds no RFC 3339 text, which needs a date, a time and an offset, such "
            "as 2026-01-01T00:00:00Z."
        )
    elif "text" in field.kinds and seconds_of(field.examples[0].strip("'"), "rfc3339") is not None:
        yield f"{field.path} holds RFC 3339 text; set {setting}.time_format: rfc3339."
    elif (unit := _unit(field)) and unit != used:
        yield f"{field.path} looks like a time in {unit}; set {setting}.time_format: {unit}."


def _rules(check: EventCheck, contract: ModelContract, setting: str) -> Iterator[str]:
    """Rules for features whose events mostly hold another kind of value."""
    used = {rule.name: rule.rule for rule in contract.events.fields}
    features = {spec.name for spec in contract.features}
    for refusal in check.refused:
        name = refusal.field
        if refusal.reason != "wrong_type" or name not in features or name in _other(used):
            continue
        field = next((field for field in check.fields if name in field.read_as), None)
        rule = "" if field is None else _rule_for(field)
        if field is not None and rule:
            entry = f"{{{name}: {{path: {field.path}, rule: {rule}}}}}"
            yield f"{field.path} holds {_HOLDS[rule]}; read it so: {setting}.fields: {entry}."


_HOLDS = {"decimal": "numbers as text", "boolean": "true and false", "length": "lists"}


def _other(used: Mapping[str, str]) -> set[str]:
    """Features that are read by a rule already."""
    return {name for name, rule in used.items() if rule != "value"}


def _rule_for(field: FieldReport) -> str:
    """The rule for the most frequent kind of a field's values; empty where none helps."""
    kind = max(field.kinds, key=lambda kind: field.kinds[kind], default="")
    if kind == "text":
        return "decimal" if all(map(_is_decimal, field.examples)) else ""
    return {"boolean": "boolean", "list": "length"}.get(kind, "")


def _is_decimal(shown: str) -> bool:
    try:
        float(shown.strip("'"))
    except ValueError:
        return False
    return True


def _unit(field: FieldReport) -> str:
    try:
        number = float(field.examples[0])
    except ValueError:
        return ""
    return next((unit for least, unit in _UNITS if number > least), "")


def _unmapped(check: EventCheck, setting: str) -> Iterator[str]:
    """Paths for fields that no event has where they are expected."""
    if not check.fields_with_values():
        return
    unused = {field.path: field for field in check.fields if field.present and not field.read_as}
    for field in check.fields:
        if field.present or not field.read_as:
            continue
        names = [name.split(" ")[0] for name in field.read_as]
        last = field.path.split(".")[-1]
        near = next((path for path in unused if path.split(".")[-1] == last), "")
        hint = f"; did you mean {near}?" if near else "."
        if "key" in names or "time" in names:
            yield f"No event has a value at {field.path}, the {names[0]}{hint}"
        elif near:
            yield f"No event has {names[0]}; map it: {setting}.fields: {{{names[0]}: {near}}}."
