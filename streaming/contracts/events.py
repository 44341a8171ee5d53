"""Decodes one event and defines which events are usable.

The stream job decodes columns and uses this only for records that the columns' readers cannot read;
the retrain worker decodes every record with it, so both agree on which rows exist. Labels and
predictions are read by the same functions (`read_fields`, `key_of`, `time_of`, `value_of`).

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

from streaming.contracts import avro, cloudevents, json_text, values, wire_format
from streaming.contracts.documents import EMPTY, NOT_AN_OBJECT, OVERSIZE, read_document
from streaming.contracts.errors import DecodeError
from streaming.contracts.mapper import mapper
from streaming.contracts.mapping import RecordMapping
from streaming.contracts.model import FeatureKind, FeatureSpec, ModelContract
from streaming.contracts.raw_record import KafkaRecord, RawRecord
from streaming.contracts.registered import SchemaSource
from streaming.contracts.values import is_missing, kind_of, named_kind

_INT64 = 2**63
_TYPES: Mapping[FeatureKind, type] = {"integer": int, "number": float, "text": str}
MAX_UNKNOWN = 50
"""Names of unknown fields that are kept; an attacker could send any number of them."""


class Reason(StrEnum):
    """Why an event became a dead letter."""

    EMPTY = EMPTY
    OVERSIZE = OVERSIZE
    NOT_AN_OBJECT = NOT_AN_OBJECT
    NOT_JSON = json_text.NOT_JSON
    WRONG_TYPE = values.WRONG_TYPE
    MISSING_FIELD = "missing_field"
    NO_TIME = values.NO_TIME
    FUTURE_TIME = "future_time"
    PAST_TIME = "past_time"
    """The clock that stamped the event was never set."""
    NOT_A_CLOUDEVENT = cloudevents.NOT_A_CLOUDEVENT
    WRONG_MAGIC = wire_format.WRONG_MAGIC
    """The record does not begin as Confluent's wire format does."""
    TRUNCATED = wire_format.TRUNCATED
    REFUSED_SCHEMA = wire_format.REFUSED
    """Its schema is one of `refused_schemas`."""
    WRONG_SCHEMA = avro.WRONG_SCHEMA
    """Its schema is of another kind, or one that is not read."""
    SCHEMA_MISMATCH = avro.SCHEMA_MISMATCH
    """Its payload does not fit its schema."""
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


def decode_event(
    data: RawRecord | bytes | None,
    contract: ModelContract,
    *,
    now: float,
    schemas: SchemaSource | None = None,
) -> Event:
    """The event in `data`.

    Parameters
    ----------
    data:
        The record as it came from Kafka, or its value alone.
    contract:
        Names and kinds of the fields, and how events are read.
    now:
        Seconds since 1970; an event further ahead than `contract.future_seconds`, or further back
        than `contract.past_seconds`, is refused.
    schemas:
        The schemas of the registry, for formats that need them.

    Raises
    ------
    DecodeError
        With one of `Reason` as its `reason`.
    TemporaryError
        When the record's schema cannot be had from the registry now.
    """
    fields = read_fields(data, contract, contract.events, schemas)
    return event_of(fields, contract, now=now)


def event_of(fields: Mapping[str, Any], contract: ModelContract, *, now: float) -> Event:
    """The event in the fields of a record; raises `DecodeError`."""
    time = time_of(fields, contract, now)
    values: dict[str, int | float | str | None] = {}
    for spec in contract.features:
        value = value_of(fields, spec)
        if value is None and spec.required:
            raise missing_field(spec.name)
        values[spec.name] = value
    mapping = mapper(contract, contract.events)
    known = values.keys() | {contract.key, contract.time}
    if mapping is not None:
        known |= {name for name in fields if mapping.is_known(name)}
    return Event(key_of(fields, contract), time, values, unknown_fields(fields, known))


def read_fields(
    data: RawRecord | bytes | None,
    contract: ModelContract,
    mapping: RecordMapping | None = None,
    schemas: SchemaSource | None = None,
) -> dict[str, Any]:
    """The fields of a record by name: key, time and features as the mapping reads them.

    Parameters
    ----------
    data:
        The record, or its value alone.
    mapping:
        One of the contract's mappings; None = flat JSON.
    schemas:
        The schemas of the registry, for formats that need them.

    Raises
    ------
    DecodeError
        When the record cannot be read, or a mapped field holds what its rule cannot read.
    TemporaryError
        When the record's schema cannot be had from the registry now.
    """
    record = KafkaRecord(value=data) if data is None or isinstance(data, bytes) else data
    mapping = RecordMapping() if mapping is None else mapping
    document = read_document(record, contract.largest_event_bytes, mapping, schemas)
    compiled = mapper(contract, mapping)
    return document if compiled is None else compiled.flat(document, record)


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
    value: Any = fields.get(spec.name)
    usual: Any = _TYPES[spec.kind]
    is_usual = type(value) is usual and not spec.sentinels
    if is_usual and (value != "" if usual is str else -_INT64 < value < _INT64):  # most values
        return value  # type: ignore[no-any-return]
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


def missing_field(name: str) -> DecodeError:
    """The error of a required field that has no value."""
    return DecodeError(f"Field {name} is missing.", reason=Reason.MISSING_FIELD.value, field=name)


def _wrong_type(name: str, value: Any, expected: str) -> DecodeError:
    return DecodeError(
        f"Field {name} holds {named_kind(value)}; the contract has {expected}.",
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
