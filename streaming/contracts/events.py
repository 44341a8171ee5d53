"""What makes one event usable: the row-by-row rule.

The stream job decodes columns and comes here only for the records that a batch choked on; the
retrain worker replays through the same rule, so both agree on which rows exist.
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
"""Names of unknown fields that are kept: an attacker can invent any number."""
_KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}


class Reason(StrEnum):
    """Why an event went to the dead letters."""

    EMPTY = "empty"
    OVERSIZE = "oversize"
    NOT_AN_OBJECT = "not_an_object"
    NOT_JSON = "not_json"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    NO_TIME = "no_time"
    FUTURE_TIME = "future_time"
    OUT_OF_RANGE = "out_of_range"
    """A prediction that is no probability."""


class Event(msgspec.Struct, frozen=True):
    """A usable event: key, event time in seconds, and the values of the contract's features.

    `non_finite` names the features whose number was NaN or infinite; their value is None.
    """

    key: str
    time: float
    values: dict[str, int | float | str | None]
    non_finite: tuple[str, ...] = ()
    unknown: Mapping[str, str] = MappingProxyType({})
    """Fields that the contract does not know, at most `MAX_UNKNOWN` -> kind of the value."""


def decode_event(data: bytes | None, contract: ModelContract, *, now: float) -> Event:
    """The event in `data`.

    Parameters
    ----------
    data:
        The record's value as it came from Kafka.
    contract:
        Which fields exist and of what kind they are.
    now:
        Seconds since 1970; an event further ahead than `contract.future_seconds` is refused.

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
        raise DecodeError("The record is no JSON object.", reason=Reason.NOT_AN_OBJECT.value)
    return fields


def _lenient(data: bytes) -> Any:
    """JSON with NaN and Infinity literals; text must be fit for UTF-8 (no lone surrogates)."""
    import json

    try:
        fields = json.loads(data, parse_int=_whole)
        json.dumps(fields, ensure_ascii=False).encode()
        return fields
    except (ValueError, RecursionError) as error:
        raise DecodeError(
            f"The record is not JSON: {error}.", reason=Reason.NOT_JSON.value
        ) from error


def _whole(text: str) -> int | float:
    """An integer; one too long for any number is as infinite as ``1e999`` is."""
    return int(text) if len(text) < 300 else float(text)


def _time(fields: dict[str, Any], contract: ModelContract, now: float) -> float:
    time = fields.get(contract.time)
    if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
        raise DecodeError(f"Field {contract.time} holds no time.", reason=Reason.NO_TIME.value)
    if time > now + contract.future_seconds:
        raise DecodeError(
            f"Field {contract.time} lies {time - now:.0f} s ahead of the clock.",
            reason=Reason.FUTURE_TIME.value,
        )
    return float(time)


def _value(value: Any, spec: FeatureSpec) -> int | float | str | None:
    """The value in the feature's kind; None where it is missing."""
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
        f"Field {spec.name} holds a {type(value).__name__}; the contract says {spec.kind}.",
        reason=Reason.WRONG_TYPE.value,
        field=spec.name,
        found=kind_of(value),
    )


def unknown_fields(fields: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """Fields of an event beside the known ones, at most `MAX_UNKNOWN` -> kind of the value.

    >>> unknown_fields({"fare": 2.5, "tip": 1, "at": 3.0}, {"fare", "at"})
    {'tip': 'integer'}
    """
    others = [name for name in fields if name not in known]
    return {name: kind_of(fields[name]) for name in sorted(others)[:MAX_UNKNOWN]} if others else {}


def kind_of(value: Any) -> str:
    """What a JSON value is, in the contract's words; empty for null.

    >>> kind_of(2), kind_of(2.5), kind_of("a"), kind_of(True), kind_of(None)
    ('integer', 'number', 'text', 'boolean', '')
    """
    return _KINDS.get(type(value), "")


def joined(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Both, at most `MAX_UNKNOWN` names; where kinds differ, the one that holds all values.

    >>> joined({"a": "integer", "b": "text"}, {"a": "number", "b": "list", "c": ""})
    {'a': 'number', 'b': 'mixed', 'c': ''}
    """
    both = dict(one)
    for name, kind in other.items():
        both[name] = _wider(both.get(name, ""), kind)
    return both if len(both) <= MAX_UNKNOWN else dict(sorted(both.items())[:MAX_UNKNOWN])


def _wider(one: str, other: str) -> str:
    if one == other or not other:
        return one
    if not one:
        return other
    return "number" if {one, other} == {"integer", "number"} else "mixed"
