"""Kinds of Protobuf messages that no fixed type of the other tests has: recursive, and JSON."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, json_format
from msgspec.structs import replace

from streaming.contracts.documents import compiled
from streaming.contracts.mapping import FieldRule
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.protobuf import ProtobufDecoder
from streaming.contracts.raw_record import KafkaRecord
from streaming.contracts.registered import RegisteredSchema
from tests.schema_registry import Schemas, wire
from tests.streaming.windowing.mapped_events import NOW, by_rule, check_equal, contract_of

_FIELD = descriptor_pb2.FieldDescriptorProto
JSON_KINDS = ("Struct", "Value", "ListValue")


def source_of(*fields: tuple[str, str]) -> Schemas:
    """A registry with a schema of one message, whose fields have these types, or are doubles."""
    file = descriptor_pb2.FileDescriptorProto(name="m.proto", package="p", syntax="proto3")
    file.dependency.extend(["google/protobuf/struct.proto", "google/protobuf/wrappers.proto"])
    message = file.message_type.add(name="M")
    for number, (name, kind) in enumerate(fields, 1):
        added = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
        added.type = _FIELD.TYPE_MESSAGE if kind else _FIELD.TYPE_DOUBLE
        if kind:
            added.type_name = kind
    text = base64.b64encode(file.SerializeToString()).decode()
    return Schemas({1: RegisteredSchema(schema_id=1, schema_type="PROTOBUF", text=text)})


def contract(**paths: str) -> ModelContract:
    """Numbers at these paths; key and time are Kafka's."""
    fields = tuple(FieldRule(name=name, path=path) for name, path in paths.items())
    mapped = contract_of(
        format="protobuf", key_from="kafka-key", time_format="broker", fields=fields
    )
    return replace(
        mapped,
        features=tuple(FeatureSpec(name=name, kind="number") for name in paths),
        key="key",
        time="time",
    )


def records(source: Schemas, *documents: dict[str, Any]) -> list[KafkaRecord]:
    """Documents as JSON has them, in the wire format."""
    decoder = compiled(source.known[1])
    assert isinstance(decoder, ProtobufDecoder)
    written = []
    for document in documents:
        message = decoder._message((0,))[0]()
        json_format.ParseDict(document, message)
        value = wire(1, b"\0" + message.SerializeToString())
        written.append(KafkaRecord(value=value, key=b"k", time=NOW))
    return written


@pytest.mark.parametrize("fields", [[("m", ".p.M"), ("x", "")], [("a", ".p.M"), ("b", ".p.M")]])
def test_a_message_that_holds_itself_is_read(fields: list[tuple[str, str]]) -> None:
    source = source_of(*fields, ("fare", ""))
    deep: dict[str, Any] = {"fare": 2.5}
    for _ in range(20):
        deep = {fields[0][0]: deep, "fare": 1.5}
    rows = records(source, {"fare": 2.5}, deep)
    check_equal(rows, contract(fare="fare"), source)
    events, _ = by_rule(rows, contract(fare="fare"), source)
    assert [event.values["fare"] for event in events.values()] == [2.5, 1.5]


def test_a_message_that_holds_itself_too_often_is_a_dead_letter() -> None:
    source = source_of(("m", ".p.M"), ("fare", ""))
    payload = b""
    for _ in range(300):
        size = len(payload)
        length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        payload = b"\x0a" + length + payload
    rows = [KafkaRecord(value=wire(1, b"\0" + payload), key=b"k", time=NOW)]
    check_equal(rows, contract(fare="fare"), source)
    _, refused = by_rule(rows, contract(fare="fare"), source)
    assert refused[0][0] == "schema_mismatch"


def test_a_struct_is_the_object_that_it_stands_for() -> None:
    source = source_of(*((kind.lower(), f".google.protobuf.{kind}") for kind in JSON_KINDS))
    document = {
        "struct": {"a": {"b": 1.5, "c": None}, "list": ["x", True, [2.0]]},
        "value": {"n": -1.0},
        "listvalue": [1.0, None, {"k": "v"}],
    }
    (row,) = records(source, document)
    decoder = compiled(source.known[1])
    assert decoder is not None
    assert decoder.document((row.value or b"")[5:]) == document
    read = contract(fare="struct.a.b", tip="value.n", seats="struct.a.c")
    check_equal([row, *records(source, {}, {"value": "text"})], read, source)
    events, _ = by_rule([row], read, source)
    assert events[0].values == {"fare": 1.5, "tip": -1.0, "seats": None}


def test_a_wrapper_is_its_value_and_one_that_is_not_set_is_missing() -> None:
    source = source_of(("fare", ".google.protobuf.DoubleValue"))
    rows = records(source, {"fare": 2.5}, {})
    events, _ = by_rule(rows, contract(fare="fare"), source)
    assert [event.values["fare"] for event in events.values()] == [2.5, None]
