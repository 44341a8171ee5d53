"""The mapped events of the tests in Avro and in Protobuf."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import fastavro
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from msgspec.structs import replace

from streaming.contracts.mapping import FieldRule
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.registered import ReferencedSchema, RegisteredSchema
from tests.schema_registry import Schemas, wire
from tests.streaming.windowing.mapped_events import FEATURES, FIELDS, NOW, contract_of

AVRO_ID, SHORT_ID, PROTOBUF_ID = 7, 8, 9
MONEY = {
    "type": "record",
    "name": "shop.Money",
    "fields": [
        {
            "name": "amount",
            "type": [
                "null",
                {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            ],
        },
        {"name": "currency", "type": {"type": "enum", "name": "C", "symbols": ["USD", "EUR"]}},
    ],
}


def _trip(*, stops: bool) -> dict[str, Any]:
    fields: list[dict[str, Any]] = [
        {"name": "id", "type": "string"},
        {"name": "fare", "type": ["null", "shop.Money"], "default": None},
        {"name": "seats", "type": ["null", "int"]},
        {"name": "tip", "type": ["string", "null"]},
        {"name": "surge", "type": "float"},
    ]
    if stops:
        fields.append({"name": "stops", "type": {"type": "array", "items": "long"}})
    return {"type": "record", "name": "shop.Trip", "fields": fields}


def _event(*, stops: bool) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "shop.Event",
        "fields": [
            {"name": "trip", "type": _trip(stops=stops)},
            {"name": "shared", "type": ["null", "boolean"]},
            {"name": "company", "type": ["null", "string"]},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "note", "type": ["null", "string"], "default": None},
        ],
    }


AVRO = {
    schema_id: RegisteredSchema(
        schema_id=schema_id,
        schema_type="AVRO",
        text=json.dumps(_event(stops=schema_id == AVRO_ID)),
        references=(ReferencedSchema(name="shop.Money", text=json.dumps(MONEY)),),
    )
    for schema_id in (AVRO_ID, SHORT_ID)
}


def avro_contract() -> ModelContract:
    """The contract of the mapped events in Avro."""
    times = {"hour", "weekday"}
    fields = tuple(
        rule
        if rule.name not in times
        else FieldRule(name=rule.name, path="at", rule=rule.rule, time_format="ms", zone=rule.zone)
        for rule in FIELDS
    )
    return contract_of(format="avro", time_format="ms", fields=fields, refused_schemas=(66,))


def avro_document(**changes: Any) -> dict[str, Any]:
    """A good event as fastavro writes it."""
    trip = {
        "id": "a",
        "fare": {"amount": Decimal("12.50"), "currency": "EUR"},
        "seats": 2,
        "tip": "1.25",
        "surge": 1.5,
        "stops": [1, 2],
    }
    for name in list(changes):
        if name in trip:
            trip[name] = changes.pop(name)
    at = round(NOW * 1000) - 5
    return {"trip": trip, "shared": True, "company": "Bläu", "at": at, "note": None} | changes


def avro_payload(document: dict[str, Any], schema_id: int = AVRO_ID) -> bytes:
    """The payload of a document."""
    known: dict[str, Any] = {}
    fastavro.parse_schema(MONEY, named_schemas=known)
    schema = fastavro.parse_schema(_event(stops=schema_id == AVRO_ID), named_schemas=known)
    target = io.BytesIO()
    fastavro.schemaless_writer(target, schema, document)
    return target.getvalue()


def avro_value(document: dict[str, Any], schema_id: int = AVRO_ID) -> bytes:
    """A value in the wire format."""
    return wire(schema_id, avro_payload(document, schema_id))


# -------------------------------------------------------------------- Protobuf

_SCALAR = descriptor_pb2.FieldDescriptorProto


def _field(message: Any, name: str, kind: int, *, optional: bool = False, of: str = "") -> Any:
    number = len(message.field) + 1
    added = message.field.add(name=name, number=number, type=kind, label=_SCALAR.LABEL_OPTIONAL)
    if of:
        added.type_name = of
    if optional:
        added.proto3_optional = True
        added.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")
    return added


def _files() -> tuple[Any, Any]:
    money = descriptor_pb2.FileDescriptorProto(name="money.proto", package="shop", syntax="proto3")
    message = money.message_type.add(name="Money")
    _field(message, "amount", _SCALAR.TYPE_DOUBLE, optional=True)
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="shop", syntax="proto3")
    file.dependency.extend(["money.proto", "google/protobuf/timestamp.proto"])
    file.message_type.add(name="Unused")
    event = file.message_type.add(name="Event")
    trip = event.nested_type.add(name="Trip")
    _field(trip, "id", _SCALAR.TYPE_STRING)
    _field(trip, "fare", _SCALAR.TYPE_MESSAGE, of=".shop.Money")
    _field(trip, "seats", _SCALAR.TYPE_INT64, optional=True)
    _field(trip, "tip", _SCALAR.TYPE_STRING)
    _field(trip, "stops", _SCALAR.TYPE_INT32).label = _SCALAR.LABEL_REPEATED
    _field(event, "trip", _SCALAR.TYPE_MESSAGE, of=".shop.Event.Trip")
    _field(event, "shared", _SCALAR.TYPE_BOOL, optional=True)
    _field(event, "company", _SCALAR.TYPE_STRING)
    _field(event, "at", _SCALAR.TYPE_MESSAGE, of=".google.protobuf.Timestamp")
    _field(event, "note", _SCALAR.TYPE_STRING, optional=True)
    return money, file


_MONEY, _EVENT = _files()
PROTOBUF = RegisteredSchema(
    schema_id=PROTOBUF_ID,
    schema_type="PROTOBUF",
    text=base64.b64encode(_EVENT.SerializeToString()).decode(),
    references=(
        ReferencedSchema(
            name="money.proto", text=base64.b64encode(_MONEY.SerializeToString()).decode()
        ),
    ),
)
SCHEMAS = Schemas({**AVRO, PROTOBUF_ID: PROTOBUF})


def _event_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    times = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(times)
    for file in (times, _MONEY, _EVENT):
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Event"))


EVENT_CLASS = _event_class()


def protobuf_contract(features: Sequence[FeatureSpec] = FEATURES) -> ModelContract:
    """The contract of the mapped events in Protobuf."""
    names = {spec.name for spec in features}
    fields = tuple(
        rule
        if rule.name not in {"hour", "weekday"}
        else FieldRule(name=rule.name, path="at", rule=rule.rule, time_format="s", zone=rule.zone)
        for rule in FIELDS
    )
    fields = tuple(rule for rule in fields if rule.name in names)
    contract = contract_of(format="protobuf", time_format="s", fields=fields)
    return replace(contract, features=tuple(features))


def protobuf_message(**changes: Any) -> Any:
    """A good event."""
    message = EVENT_CLASS(shared=True, company="Bläu", note="n")
    message.trip.id, message.trip.tip, message.trip.seats = "a", "1.25", 2
    message.trip.stops.extend([1, 2])
    message.trip.fare.amount = 12.5
    message.at.seconds = round(NOW) - 5
    for path, value in changes.items():
        target = message.trip if hasattr(message.trip, path) else message
        setattr(target, path, value)
    return message


def protobuf_value(message: Any, indexes: bytes = b"\x02\x02") -> bytes:
    """A value in the wire format; the event is the second message of its file."""
    return wire(PROTOBUF_ID, indexes + message.SerializeToString())
