"""Writes events in the format that a model's settings name: JSON or Avro, flat or nested.

It is the other direction of `streaming.contracts.mapper`: what it writes is read as the same key,
time and values. The Avro schema follows from the features and the mapping.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.mapping import Path, parts
from streaming.contracts.model import FeatureSpec, ModelContract

FORMATS = ("json", "avro")
RULES = ("value", "boolean", "decimal")
_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_WRITTEN_TIMES = {"s": "double", "ms": "long", "us": "long", "ns": "long", "rfc3339": "string"}
"""Format of a time that is a field of the record → its type in Avro."""
_AVRO = {"integer": "long", "number": "double", "text": "string"}
_AVRO_OF_RULE = {"boolean": "boolean", "decimal": "string"}


@dataclass(slots=True)
class EventWriter:
    """Makes the values of a topic's records.

    Parameters
    ----------
    contract:
        Its mapping of events says how they are written.
    schema_id:
        Number of `avro_schema` in the registry, for Avro.

    Raises
    ------
    ConfigurationError
        When events cannot be written so that they are read as they were.
    """

    contract: ModelContract
    schema_id: int = 0
    _paths: dict[str, Path] = field(init=False)
    _rules: dict[str, str] = field(init=False)
    _schema: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        refuse_unwritable(self.contract)
        mapping = self.contract.events
        self._paths = {rule.name: parts(rule.path) for rule in mapping.fields}
        self._rules = {rule.name: rule.rule for rule in mapping.fields}
        if mapping.format == "avro":
            from fastavro import parse_schema

            self._schema = parse_schema(avro_schema(self.contract))

    def write(self, fields: Mapping[str, Any], key: str, at: float) -> bytes:
        """The record's value; a field that is no feature stays where it is, outermost.

        Parameters
        ----------
        at:
            Event time, seconds since 1970.
        """
        contract, mapping = self.contract, self.contract.events
        document: dict[str, Any] = {}
        if mapping.key_from == "field":
            _put(document, parts(contract.key), key)
        if mapping.time_format in _WRITTEN_TIMES:  # else the broker's own time is read
            _put(document, parts(contract.time), _written_time(at, mapping.time_format))
        for name, value in fields.items():
            rule = self._rules.get(name, "value")
            _put(document, self._paths.get(name, (name,)), _written(value, rule))
        if self._schema is None:
            return orjson.dumps(document)
        from fastavro import schemaless_writer

        for path in self._paths.values():  # a record without a value is there all the same
            _parent(document, path)
        target = io.BytesIO()
        target.write(b"\0" + self.schema_id.to_bytes(4, "big"))  # Confluent's wire format
        schemaless_writer(target, self._schema, document)
        return target.getvalue()


def refuse_unwritable(contract: ModelContract) -> None:
    """Raise `ConfigurationError` where the mapping has no other direction, with the reason."""
    mapping = contract.events
    reasons = [
        f"{rule.name} is read by the rule {rule.rule}"
        for rule in mapping.fields
        if rule.rule not in RULES
    ]
    if mapping.format not in FORMATS:
        reasons.append(f"the format is {mapping.format}")
    if mapping.key_from == "header":
        reasons.append("the key is read from a header")
    if reasons:
        raise ConfigurationError(
            f"Events of {contract.model} cannot be written from rows: {'; '.join(reasons)}. Rows "
            f"are written in {' or '.join(FORMATS)} with fields by path and the rules "
            f"{', '.join(RULES)}."
        )


def avro_schema(contract: ModelContract) -> dict[str, Any]:
    """The Avro schema of the model's events: nested records, every feature optional.

    >>> fare = FeatureSpec(name="fare", kind="number")
    >>> contract = ModelContract(
    ...     model="taxi", module="", events_topic="", labels_topic="", key="id", time="trip.at",
    ...     features=(fare,),
    ... )
    >>> [field["name"] for field in avro_schema(contract)["fields"]]
    ['id', 'trip', 'fare']
    """
    mapping = contract.events
    tree: dict[str, Any] = {}
    if mapping.key_from == "field":
        _put(tree, parts(contract.key), "string")
    if mapping.time_format in _WRITTEN_TIMES:
        _put(tree, parts(contract.time), _WRITTEN_TIMES[mapping.time_format])
    rules = {rule.name: rule for rule in mapping.fields}
    for spec in contract.features:
        rule = rules.get(spec.name)
        path = (spec.name,) if rule is None else parts(rule.path)
        _put(tree, path, ["null", _type(spec, "value" if rule is None else rule.rule)])
    return _record("Event", tree)


def schema_text(contract: ModelContract) -> str:
    """`avro_schema` as the registry takes it."""
    return json.dumps(avro_schema(contract))


def _type(spec: FeatureSpec, rule: str) -> str:
    return _AVRO_OF_RULE.get(rule, _AVRO[spec.kind])


def _record(name: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    fields: list[dict[str, Any]] = []
    for part, content in tree.items():
        if isinstance(content, dict):
            fields.append({"name": part, "type": _record(f"{name}_{part}", content)})
        elif isinstance(content, list):
            fields.append({"name": part, "type": content, "default": None})
        else:
            fields.append({"name": part, "type": content})
    return {"type": "record", "name": name, "fields": fields}


def _put(document: dict[str, Any], path: Path, value: Any) -> None:
    _parent(document, path)[path[-1]] = value


def _parent(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """The object that holds a path's last name; made where it is missing."""
    for part in path[:-1]:
        document = document.setdefault(part, {})
    return document


def _written(value: Any, rule: str) -> Any:
    match rule:
        case "decimal":
            return None if value is None else repr(value)
        case "boolean":
            return None if value is None else value in (1, "true")
        case _:
            return value


def _written_time(at: float, time_format: str) -> Any:
    if time_format == "rfc3339":
        return datetime.fromtimestamp(at, UTC).isoformat()
    return at if time_format == "s" else round(at * _UNITS[time_format])
