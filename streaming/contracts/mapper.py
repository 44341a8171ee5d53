"""Maps the document of a record to the flat fields that the rule for events reads.

A document is what a record's value holds: objects, lists and values, whatever its format. The flat
fields have the contract's key, its time in seconds since 1970, and each mapped feature under its
own name; the other fields of the outermost object stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from streaming.contracts.errors import DecodeError
from streaming.contracts.event_times import has_calendar, hour, seconds_of, weekday
from streaming.contracts.listed import EXPECTED, joined
from streaming.contracts.mapping import FieldRule, Path, RecordMapping, is_flat, parts
from streaming.contracts.model import FeatureKind, ModelContract
from streaming.contracts.raw_record import RawRecord, header
from streaming.contracts.values import NO_TIME, WRONG_TYPE, is_missing, kind_of, shortened

ATTRIBUTE = "ce_"
"""Prefix of the attributes of a CloudEvent, in its document as in Kafka's headers."""
_DECIMAL = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)

Convert = Callable[[Any], Any]
"""Turns a value into that of a feature; raises `ValueError` where it is of another kind."""


@dataclass(frozen=True, slots=True)
class MappedField:
    """One feature that is read by path."""

    rule: FieldRule
    path: Path
    convert: Convert
    expected: str
    """What the value has to be, in words."""

    def value(self, document: Mapping[str, Any]) -> Any:
        """The feature's value; None where it is missing. Raises `DecodeError`."""
        value = looked_up(document, self.path, self.rule.name)
        if is_missing(value):
            return None
        try:
            return self.convert(value)
        except (ValueError, OverflowError) as error:
            raise DecodeError(
                f"Field {self.rule.name} ({self.rule.path}) holds {shortened(value)}, not "
                f"{self.expected}.",
                reason=WRONG_TYPE,
                field=self.rule.name,
                value_kind=kind_of(value),
            ) from error


@dataclass(frozen=True, slots=True)
class Mapper:
    """The mapping of one topic, compiled."""

    mapping: RecordMapping
    key: str
    """The contract's name of the key."""
    time: str
    """The contract's name of the time."""
    key_path: Path
    time_path: Path
    fields: tuple[MappedField, ...]
    roots: frozenset[str]
    """Fields of the outermost object that the mapping reads."""

    def flat(self, document: dict[str, Any], record: RawRecord) -> dict[str, Any]:
        """The flat fields of a document; raises `DecodeError`."""
        flat = dict(document)
        for field in self.fields:
            flat[field.rule.name] = field.value(document)
        if self.mapping.time_format != "none":
            flat[self.time] = self.seconds(document, record)
        flat[self.key] = self.key_value(document, record)
        return flat

    def key_value(self, document: Mapping[str, Any], record: RawRecord) -> Any:
        """The key as it is written; None where it is missing."""
        match self.mapping.key_from:
            case "field":
                return looked_up(document, self.key_path, self.key)
            case "kafka-key":
                return self._text(record.key)
            case "header":
                return self._text(header(record, self.mapping.key or self.key))

    def _text(self, data: bytes | None) -> str | None:
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError as error:
            raise DecodeError(
                f"The key ({self.mapping.key_from}) is not UTF-8 text.",
                reason=WRONG_TYPE,
                field=self.key,
                value_kind="bytes",
            ) from error

    def seconds(self, document: Mapping[str, Any], record: RawRecord) -> float | None:
        """The event time, seconds since 1970; None where it is missing."""
        if self.mapping.time_format in ("broker", "none"):
            return record.time
        value = looked_up(document, self.time_path, self.time)
        if is_missing(value):
            return None
        seconds = seconds_of(value, self.mapping.time_format)
        if seconds is None:
            raise DecodeError(
                f"Field {self.time} holds {shortened(value)}, not a time in the format "
                f"{self.mapping.time_format}.",
                reason=NO_TIME,
                field=self.time,
                value_kind=kind_of(value),
            )
        return seconds

    def is_known(self, name: str) -> bool:
        """Whether a field of the outermost object is read by the mapping."""
        is_attribute = self.mapping.format == "cloudevents" and name.startswith(ATTRIBUTE)
        return name in self.roots or is_attribute


def mapper(contract: ModelContract, mapping: RecordMapping) -> Mapper | None:
    """The compiled mapping; None for flat records, which need none."""
    if is_flat(mapping, key=contract.key, time=contract.time):
        return None
    mapped = {rule.name for rule in mapping.fields}
    kinds = tuple((spec.name, spec.kind) for spec in contract.features if spec.name in mapped)
    return _compiled(mapping, contract.key, contract.time, kinds)


@lru_cache(maxsize=256)
def _compiled(
    mapping: RecordMapping, key: str, time: str, kinds: tuple[tuple[str, FeatureKind], ...]
) -> Mapper:
    key_path, time_path = parts(mapping.key or key), parts(mapping.time or time)
    known = dict(kinds)
    fields = tuple(_field(rule, known.get(rule.name, "number")) for rule in mapping.fields)
    roots = {field.path[0] for field in fields}
    roots |= {key_path[0]} if mapping.key_from == "field" else set()
    roots |= {time_path[0]} if mapping.time_format not in ("broker", "none") else set()
    return Mapper(mapping, key, time, key_path, time_path, fields, frozenset(roots))


def looked_up(document: Mapping[str, Any], path: Path, name: str) -> Any:
    """The value at a path; None where an object on the way is missing.

    Raises
    ------
    DecodeError
        When a value on the way is no object.
    """
    value: Any = document
    for index, part in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise DecodeError(
                f"Field {name}: {'.'.join(path[:index])} holds {shortened(value)}, not an object.",
                reason=WRONG_TYPE,
                field=name,
                value_kind=kind_of(value),
            )
        value = value.get(part)
    return value


def _field(rule: FieldRule, kind: FeatureKind) -> MappedField:
    convert, expected = _conversion(rule, kind)
    return MappedField(rule, parts(rule.path), convert, expected)


def _conversion(rule: FieldRule, kind: FeatureKind) -> tuple[Convert, str]:
    match rule.rule:
        case "value":
            return _plain, "a value"
        case "boolean":
            words = ("false", "true") if kind == "text" else (0, 1)
            return lambda value: words[_checked(value, bool)], "true or false"
        case "decimal":
            return (_whole if kind == "integer" else _decimal), "a number written as text"
        case "length":
            return lambda value: len(_checked(value, list)), "a list"
        case "categories":
            return lambda value: joined(_checked(value, list)), EXPECTED
        case "hour" | "weekday":
            part = hour if rule.rule == "hour" else weekday

            def of_time(value: Any) -> int:
                seconds = seconds_of(value, rule.time_format)
                if seconds is None or not has_calendar(seconds):
                    raise ValueError("no time")
                return part(seconds, rule.zone)

            return of_time, f"a time of the years 1 to 9998 in the format {rule.time_format}"


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"no {kind.__name__}")
    return value


def _decimal(value: Any) -> float:
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value) is None:
            raise ValueError("no decimal")
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("no decimal")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, str):
        if _INTEGER.fullmatch(value) is None:
            raise ValueError("no integer")
    elif isinstance(value, bool) or not isinstance(value, int | Decimal) or value != int(value):
        raise ValueError("no integer")
    return int(value)
