"""What mapped JSON records hold at each path, so that they are read as structs."""

from __future__ import annotations

from typing import Any

import msgspec

from streaming.contracts.mapper import MappedField, Mapper
from streaming.contracts.mapping import Path
from streaming.contracts.model import FeatureSpec
from streaming.windowing.flat_json import JSON_TYPES
from streaming.windowing.json_cells import INTEGER, JsonType, NotTyped

_TEXT, _NUMBER = JSON_TYPES["text"], JSON_TYPES["number"]
_BOOLEAN: JsonType = (bool | None, None)
_LIST: JsonType = (list[msgspec.Raw] | None, None)
_DECIMAL: JsonType = (str | INTEGER | float | None, None)
_KEY: JsonType = (str | INTEGER | None, None)


def json_types(features: tuple[FeatureSpec, ...], mapper: Mapper) -> dict[Path, JsonType]:
    """Path → type of the values there.

    Raises
    ------
    NotTyped
        When two features want different kinds of the same value.
    """
    types: dict[Path, JsonType] = {}

    def add(path: Path, type_: JsonType) -> None:
        if types.setdefault(path, type_) is not type_:
            raise NotTyped(path)

    mapped = {field.rule.name: field for field in mapper.fields}
    for spec in features:
        mapped_field = mapped.get(spec.name)
        if mapped_field is None:
            add((spec.name,), JSON_TYPES[spec.kind])
        else:
            add(mapped_field.path, _type(spec, mapped_field))
    if mapper.mapping.time_format != "broker":
        add(mapper.time_path, _time(mapper.mapping.time_format))
    if mapper.mapping.key_from == "field":
        add(mapper.key_path, _KEY)
    return types


def _type(spec: FeatureSpec, mapped: MappedField) -> JsonType:
    match mapped.rule.rule:
        case "value":
            return JSON_TYPES[spec.kind]
        case "boolean":
            return _BOOLEAN
        case "decimal":
            return _DECIMAL
        case "length":
            return _LIST
        case "categories":
            raise NotTyped(mapped.path)
        case _:
            return _time(mapped.rule.time_format)


def _time(time_format: Any) -> JsonType:
    return _TEXT if time_format == "rfc3339" else _NUMBER
