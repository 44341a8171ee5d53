"""Decodes one event and defines which events are usable.

The stream job decodes columns and uses this only for records that Arrow cannot read; the retrain
worker decodes every record with it, so both agree on which rows exist.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec
import orjson

from streaming.contracts.errors import DecodeError
from streaming.contracts.model import FeatureSpec, ModelContract

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
    NOT_JSON = "not_json"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    NO_TIME = "no_time"
    FUTURE_TIME = "future_time"
    PAST_TIME = "past_time"
    """The clock that stamped the event was never set."""
    OUT_OF_RANGE = "out_of_range"
    """A prediction that is not a probability."""


class Event(msgspec.Struct, frozen=True):
    """A usable event."""

    key: str
    time: float
    """Event time, seconds since 1970."""
    values: dict[str, int | float | str | None]
    """Values of the contract's features."""
    non_finite: tuple[str, ...] = ()
    """Features whose number was NaN or infinite; their value is None."""
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
    fields = _parse(data, contract)
    time = _time(fields, contract, now)
    values: dict[str, int | float | str | None] = {}
    non_finite = []
    for spec in contract.features:
        value = _value(fields.get(spec.name), spec)
        if isinstance(value, float) and not math.isfinite(value):
            non_finite.append(spec.name)
            value = None
        elif value is None and spec.required:
            raise DecodeError(
                f"Field {spec.name} is missing.",
                reason=Reason.MISSING_FIELD.value,
                field=spec.name,
            )
        values[spec.name] = value
    unknown = unknown_fields(fields, values.keys() | {contract.key, contract.time})
    key = fields.get(contract.key)
    if not isinstance(key, str | int) or isinstance(key, bool) or key == "":
        raise DecodeError(f"Field {contract.key} is missing.", reason=Reason.MISSING_FIELD.value)
    return Event(str(key), time, values, tuple(non_finite), unknown)


def _parse(data: bytes | None, contract: ModelContract) -> dict[str, Any]:
    if data is None or not data.strip():
        raise DecodeError("The record is empty.", reason=Reason.EMPTY.value)
    if len(data) > contract.largest_event_bytes:
        raise DecodeError(
            f"The record has {len(data)} bytes; at most {contract.largest_event_bytes} are read.",
            reason=Reason.OVERSIZE.value,
        )
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        fields = _lenient(data)
    if not isinstance(fields, dict):
        raise DecodeError("The record is not a JSON object.", reason=Reason.NOT_AN_OBJECT.value)
    return fields


def _lenient(data: bytes) -> Any:
    """Parse JSON with NaN and Infinity literals; text must be valid UTF-8 (no lone surrogates)."""
    import json

    try:
        fields = json.loads(data, parse_int=_integer)
        json.dumps(fields, ensure_ascii=False).encode()
        return fields
    except (ValueError, RecursionError) as error:
        raise DecodeError(
            f"The record is not JSON: {error}.", reason=Reason.NOT_JSON.value
        ) from error


def _integer(text: str) -> int | float:
    """An integer; one that is too long for any number becomes infinite, as ``1e999`` does."""
    return int(text) if len(text) < 300 else float(text)


def _time(fields: dict[str, Any], contract: ModelContract, now: float) -> float:
    time = fields.get(contract.time)
    if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
        raise DecodeError(
            f"Field {contract.time} holds no time.",
            reason=Reason.NO_TIME.value,
            field=contract.time,
            value_kind="" if isinstance(time, float) else kind_of(time),
        )
    if time > now + contract.future_seconds:
        raise DecodeError(
            f"Field {contract.time} is {time - now:.0f} s ahead of the clock.",
            reason=Reason.FUTURE_TIME.value,
        )
    if time < now - contract.past_seconds:
        raise DecodeError(
            f"Field {contract.time} is {(now - time) / 86_400:.0f} days behind the clock, as from "
            "a clock that was never set.",
            reason=Reason.PAST_TIME.value,
        )
    return float(time)


def _value(value: Any, spec: FeatureSpec) -> int | float | str | None:
    """The value, converted to the feature's kind; None where it is missing."""
    if value is None:
        return None
    if spec.kind == "text" and isinstance(value, str):
        return value
    if spec.kind != "text" and isinstance(value, int | float) and not isinstance(value, bool):
        if spec.kind == "number":
            return float(value)
        if isinstance(value, int) and -_INT64 <= value < _INT64:
            return value
    raise DecodeError(
        f"Field {spec.name} holds a {type(value).__name__}; the contract has {spec.kind}.",
        reason=Reason.WRONG_TYPE.value,
        field=spec.name,
        value_kind=kind_of(value),
    )


def unknown_fields(fields: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Fields of an event that are not in `known`, at most `MAX_UNKNOWN` -> kind of the value.

    >>> unknown_fields({"fare": 2.5, "tip": 1, "at": 3.0}, {"fare", "at"})
    {'tip': 'integer'}
    """
    unknown = sorted(name for name in fields if name not in known)[:MAX_UNKNOWN]
    return {name: kind_of(fields[name]) for name in unknown}


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
