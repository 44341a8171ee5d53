"""Decodes one event and defines which events are usable.

The stream job decodes columns and uses this only for records that Arrow cannot read; the retrain
worker decodes every record with it, so both agree on which rows exist. Labels and predictions are
read by the same functions (`read_fields`, `key_of`, `time_of`, `value_of`).

A value is missing when the field is absent or null, or holds a number that is not finite, an empty
text or a sentinel: all of these are one loss, and have one outcome.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec

from streaming.contracts import json_text
from streaming.contracts.errors import DecodeError
from streaming.contracts.model import MISSING, FeatureSpec, ModelContract

_INT64 = 2**63
MAX_UNKNOWN = 50
"""Names of unknown fields that are kept; an attacker could send any number of them."""
_KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}


class Reason(StrEnum):
    """Why an event became a dead letter."""

    EMPTY = "empty"
    OVERSIZE = "oversize"
    NOT_AN_OBJECT = "not_an_object"
    NOT_JSON = json_text.NOT_JSON
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    NO_TIME = "no_time"
    FUTURE_TIME = "future_time"
    PAST_TIME = "past_time"
    """The clock that stamped the event was never set."""
    OUT_OF_RANGE = "out_of_range"
    """A prediction that is not a probability, or a version below 1."""


class Event(msgspec.Struct, frozen=True):
    """A usable event."""

    key: str
    time: float
    """Event time, seconds since 1970."""
    values: dict[str, int | float | str | None]
    """Values of the contract's features; None where a value is missing."""
    unknown: Mapping[str, str] = MappingProxyType({})
    """Fields that are not in the contract, at most `MAX_UNKNOWN` -> kind of the value."""


def decode_event(data: bytes | None, contract: ModelContract, *, now: float) -> Event:
    """The event in `data`.

    Parameters
    ----------
    data:
        The record's value as it came from Kafka.
    contract:
        Names and kinds of the fields.
    now:
        Seconds since 1970; an event further ahead than `contract.future_seconds`, or further back
        than `contract.past_seconds`, is refused.

    Raises
    ------
    DecodeError
        With one of `Reason` as its `reason`.
    """
    fields = read_fields(data, contract)
    time = time_of(fields, contract, now)
    values: dict[str, int | float | str | None] = {}
    for spec in contract.features:
        value = value_of(fields, spec)
        if value is None and spec.required:
            raise missing_field(spec.name)
        values[spec.name] = value
    unknown = unknown_fields(fields, values.keys() | {contract.key, contract.time})
    return Event(key_of(fields, contract), time, values, unknown)


def read_fields(data: bytes | None, contract: ModelContract) -> dict[str, Any]:
    """The fields of a record, a JSON object; raises `DecodeError`.

    `json_text` has the rule of what is JSON.
    """
    if data is None or not data.strip():
        raise DecodeError("The record is empty.", reason=Reason.EMPTY.value)
    if len(data) > contract.largest_event_bytes:
        raise DecodeError(
            f"The record has {len(data)} bytes; at most {contract.largest_event_bytes} are read.",
            reason=Reason.OVERSIZE.value,
        )
    fields = json_text.parse_json(data)
    if not isinstance(fields, dict):
        raise DecodeError(
            f"The record is not a JSON object, but {_KINDS.get(type(fields), 'null')}.",
            reason=Reason.NOT_AN_OBJECT.value,
        )
    return fields


def key_of(fields: Mapping[str, Any], contract: ModelContract) -> str:
    """The key of a record, a text or an integer of 64 bits; raises `DecodeError`."""
    key = fields.get(contract.key)
    if is_missing(key):
        raise missing_field(contract.key)
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool) and -_INT64 <= key < _INT64:
        return str(key)
    raise _wrong_type(contract.key, key, "a text or an integer")


def time_of(fields: Mapping[str, Any], contract: ModelContract, now: float) -> float:
    """The time of a record, seconds since 1970; raises `DecodeError`."""
    time = fields.get(contract.time)
    if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
        raise DecodeError(
            f"Field {contract.time} holds no time.",
            reason=Reason.NO_TIME.value,
            field=contract.time,
            value_kind="" if is_missing(time) else kind_of(time),
        )
    if time > now + contract.future_seconds:
        raise DecodeError(
            f"Field {contract.time} is {time - now:.15g} s ahead of the clock.",
            reason=Reason.FUTURE_TIME.value,
            field=contract.time,
            value_kind=kind_of(time),
        )
    if time < now - contract.past_seconds:
        raise DecodeError(
            f"Field {contract.time} is {(now - time) / 86_400:.6g} days behind the clock, as from "
            "a clock that was never set.",
            reason=Reason.PAST_TIME.value,
            field=contract.time,
            value_kind=kind_of(time),
        )
    return float(time)


def value_of(fields: Mapping[str, Any], spec: FeatureSpec) -> int | float | str | None:
    """The value of a field in the feature's kind; None where it is missing.

    Raises
    ------
    DecodeError
        When the field holds a value of another kind.
    """
    value = fields.get(spec.name)
    if is_missing(value, spec):
        return None
    if spec.kind == "text" and isinstance(value, str):
        return value
    if spec.kind != "text" and isinstance(value, int | float) and not isinstance(value, bool):
        if spec.kind == "number":
            return float(value)
        if isinstance(value, int) and -_INT64 <= value < _INT64:
            return value
    raise _wrong_type(spec.name, value, spec.kind)


def is_missing(value: Any, spec: FeatureSpec | None = None) -> bool:
    """Whether a value stands for a missing one.

    >>> [is_missing(value) for value in (None, float("nan"), "", 0, "0")]
    [True, True, True, False, False]
    >>> is_missing(-999, FeatureSpec(name="seats", kind="integer", sentinels=(-999,)))
    True
    """
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return True
    if spec is None or isinstance(value, bool | list | dict):
        return False
    # a float equals the integer that it was rounded to
    is_smallest = isinstance(value, int) and value == MISSING["integer"]
    return value in spec.sentinels or (spec.kind == "integer" and is_smallest)


def missing_field(name: str) -> DecodeError:
    """The error of a required field that has no value."""
    return DecodeError(f"Field {name} is missing.", reason=Reason.MISSING_FIELD.value, field=name)


def _wrong_type(name: str, value: Any, expected: str) -> DecodeError:
    return DecodeError(
        f"Field {name} holds a {type(value).__name__}; the contract has {expected}.",
        reason=Reason.WRONG_TYPE.value,
        field=name,
        value_kind=kind_of(value),
    )


def unknown_fields(fields: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Fields of an event that are not in `known`, at most `MAX_UNKNOWN` -> kind of the value.

    A long name is cut, since an attacker could send any length of them.

    >>> unknown_fields({"fare": 2.5, "tip": 1, "at": 3.0}, {"fare", "at"})
    {'tip': 'integer'}
    """
    unknown = sorted(name for name in fields if name not in known)[:MAX_UNKNOWN]
    return {json_text.recorded_name(name): kind_of(fields[name]) for name in unknown}


def kind_of(value: Any) -> str:
    """Kind of a JSON value, as the contract names it; empty for null.

    >>> kind_of(2), kind_of(2.5), kind_of("a"), kind_of(True), kind_of(None)
    ('integer', 'number', 'text', 'boolean', '')
    """
    return _KINDS.get(type(value), "")


def merged_kinds(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Both, at most `MAX_UNKNOWN` names; where kinds differ, the one that covers all values.

    >>> merged_kinds({"a": "integer", "b": "text"}, {"a": "number", "b": "list", "c": ""})
    {'a': 'number', 'b': 'mixed', 'c': ''}
    """
    merged = dict(first)
    for name, kind in second.items():
        merged[name] = _wider(merged.get(name, ""), kind)
    return merged if len(merged) <= MAX_UNKNOWN else dict(sorted(merged.items())[:MAX_UNKNOWN])


def _wider(first: str, second: str) -> str:
    if first == second or not second:
        return first
    if not first:
        return second
    return "number" if {first, second} == {"integer", "number"} else "mixed"
