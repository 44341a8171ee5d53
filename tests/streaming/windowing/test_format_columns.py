"""Avro, Protobuf, JSON Schema and CloudEvents: columns hold what the row rule accepts."""

from __future__ import annotations

import base64
import json
import struct
import warnings
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streaming.contracts.errors import TemporaryError
from streaming.contracts.mapping import FieldRule
from streaming.contracts.model import FeatureSpec
from streaming.contracts.raw_record import KafkaRecord
from streaming.contracts.registered import RegisteredSchema
from tests.schema_registry import Schemas, wire
from tests.streaming.windowing.format_events import (
    AVRO_ID,
    PROTOBUF_ID,
    SCHEMAS,
    SHORT_ID,
    avro_contract,
    avro_document,
    avro_payload,
    avro_value,
    protobuf_contract,
    protobuf_message,
    protobuf_value,
)
from tests.streaming.windowing.mapped_events import (
    FEATURES,
    NOW,
    by_columns,
    by_rule,
    check_equal,
    contract_of,
    documents,
    encoded,
    event,
)

ROW = {
    "fare": 12.5,
    "seats": 2,
    "company": "Bläu",
    "shared": 1,
    "shared_word": "true",
    "tip": 1.25,
    "stops": 2,
    "hour": 17,
    "weekday": 3.0,
}


def records(values: Sequence[bytes]) -> list[KafkaRecord]:
    return [KafkaRecord(value=value, time=NOW) for value in values]


DECIMALS = st.decimals(-99_999, 99_999, places=2, allow_nan=False, allow_infinity=False)


@st.composite
def avro_documents(draw: st.DrawFn) -> dict[str, Any]:
    amount = draw(st.none() | DECIMALS)
    fare = draw(st.none() | st.just({"amount": amount, "currency": "USD"}))
    return avro_document(
        id=draw(st.sampled_from(["a", "", "ü"])),
        fare=fare,
        seats=draw(st.none() | st.integers(-(2**31), 2**31 - 1)),
        tip=draw(st.none() | st.sampled_from(["", "1.5", "x", "-1"])),
        surge=draw(st.floats(width=32)),
        stops=draw(st.lists(st.integers(-5, 5), max_size=3)),
        shared=draw(st.none() | st.booleans()),
        company=draw(st.none() | st.text(max_size=4)),
        at=draw(st.just(round(NOW * 1000)) | st.integers(-(2**63), 2**63 - 1)),
        note=draw(st.none() | st.just("n")),
    )


def spoilt(draw: st.DrawFn, payload: bytes) -> bytes:
    """A payload as it is, cut, longer or with other bytes."""
    kind = draw(st.sampled_from(["good", "good", "cut", "longer", "changed"]))
    if kind == "cut":
        return payload[: draw(st.integers(0, len(payload)))]
    if kind == "longer":
        return payload + draw(st.binary(min_size=1, max_size=4))
    if kind == "changed" and payload:
        at = draw(st.integers(0, len(payload) - 1))
        return payload[:at] + draw(st.binary(max_size=12)) + payload[at + 1 :]
    return payload


@st.composite
def avro_values(draw: st.DrawFn) -> bytes:
    schema_id = draw(st.sampled_from([AVRO_ID, SHORT_ID, SHORT_ID]))
    return wire(schema_id, spoilt(draw, avro_payload(draw(avro_documents()), schema_id)))


@settings(max_examples=200, deadline=None)
@given(st.lists(avro_values() | st.binary(max_size=6), max_size=20))
def test_columns_and_row_rule_agree_on_avro(values: list[bytes]) -> None:
    values = [value for value in values if value[:1] != b"\0" or value[1:4] == b"\0\0\0"]
    schemas = Schemas(dict.fromkeys(range(256), SCHEMAS.known[PROTOBUF_ID]) | SCHEMAS.known)
    check_equal(records(values), avro_contract(), schemas)


@st.composite
def protobuf_values(draw: st.DrawFn) -> bytes:
    message = protobuf_message(
        id=draw(st.sampled_from(["a", ""])), tip=draw(st.sampled_from(["", "1.5", "x"]))
    )
    for name in draw(st.sets(st.sampled_from(["at", "shared", "company", "note", "trip"]))):
        message.ClearField(name)
    for name in draw(st.sets(st.sampled_from(["stops", "fare", "seats"]))):
        message.trip.ClearField(name)
    if draw(st.booleans()):
        message.at.nanos = draw(st.integers(-(2**31), 2**31 - 1))
    return wire(PROTOBUF_ID, spoilt(draw, b"\x02\x02" + message.SerializeToString()))


@settings(max_examples=150, deadline=None)
@given(st.lists(protobuf_values(), max_size=10))
def test_columns_and_row_rule_agree_on_protobuf(values: list[bytes]) -> None:
    check_equal(records(values), protobuf_contract(), SCHEMAS)
    without_list = [spec for spec in FEATURES if spec.name != "stops"]
    check_equal(records(values), protobuf_contract(features=without_list), SCHEMAS)


@pytest.mark.parametrize("schema_id", [AVRO_ID, SHORT_ID])
def test_an_avro_event_is_read(schema_id: int) -> None:
    decoded = by_columns(
        records([avro_value(avro_document(), schema_id)]), avro_contract(), SCHEMAS
    )
    expected = ROW if schema_id == AVRO_ID else ROW | {"stops": None}
    assert decoded.batch.to_pylist() == [expected]
    assert decoded.unknown == {"note": ""}


def test_a_protobuf_event_is_read() -> None:
    decoded = by_columns(
        records([protobuf_value(protobuf_message())]), protobuf_contract(), SCHEMAS
    )
    assert decoded.batch.to_pylist() == [ROW]
    assert decoded.unknown == {"note": "text"}


@pytest.mark.parametrize(
    ("value", "reason", "words"),
    [
        (b"\1abc", "wrong_magic", "begins with the byte 1"),
        (b"{}", "wrong_magic", "begins with the byte 123"),
        (b"\0\0\0", "truncated", "within the number of its schema"),
        (avro_value(avro_document())[:-3], "truncated", "ends before its fields do"),
        (avro_value(avro_document()) + b"x", "schema_mismatch", "1 bytes are left over"),
        (wire(PROTOBUF_ID, b"\0"), "wrong_schema", "is one of PROTOBUF; the topic has avro"),
        (wire(66, b""), "refused_schema", "refused_schemas"),
        (wire(SHORT_ID, b"\x02\xff"), "schema_mismatch", "does not fit its schema 8"),
        (b"", "empty", "empty"),
        (wire(AVRO_ID, bytes(3_000)), "oversize", "at most 2000"),
    ],
)
def test_what_is_wrong_with_an_avro_record_is_named(value: bytes, reason: str, words: str) -> None:
    _, refused = by_rule(records([value]), avro_contract(), SCHEMAS)
    assert refused[0][0] == reason
    assert words in refused[0][2]
    check_equal(records([value]), avro_contract(), SCHEMAS)


@pytest.mark.parametrize(
    ("value", "reason", "words"),
    [
        (wire(PROTOBUF_ID, b"\x04\x02"), "truncated", "message indexes"),
        (wire(PROTOBUF_ID, b"\x7e"), "truncated", "63 message indexes"),
        (protobuf_value(protobuf_message(), b"\x02\x08"), "wrong_schema", "no message at [4]"),
        (wire(PROTOBUF_ID, b"\x80"), "truncated", "message indexes"),
        (protobuf_value(protobuf_message())[:-2], "schema_mismatch", "does not fit shop.Event"),
    ],
)
def test_what_is_wrong_with_a_protobuf_record_is_named(
    value: bytes, reason: str, words: str
) -> None:
    _, refused = by_rule(records([value]), protobuf_contract(), SCHEMAS)
    assert refused[0][0] == reason
    assert words in refused[0][2]


def doubling(levels: int) -> dict[str, Any]:
    """A schema that is twice as long with each level when it is written out."""
    inner: Any = "long"
    for level in range(levels):
        first = {"name": "a", "type": inner}
        second = {"name": "b", "type": inner if level == 0 else f"L{level - 1}"}
        inner = {"type": "record", "name": f"L{level}", "fields": [first, second]}
    return inner  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "record", "name": "L", "fields": [
            {"name": "next", "type": ["null", "L"]}]}, "refers to itself"),
        ({"type": "record", "name": "L", "fields": [
            {"name": "a", "type": {"type": "array", "items": "null"}}]}, "take no bytes"),
        ("string", "is no record"),
        (doubling(40), "10000 parts"),
    ],
)  # fmt: skip
def test_a_schema_that_could_need_memory_without_bound_is_refused(schema: Any, words: str) -> None:
    source = Schemas(
        {1: RegisteredSchema(schema_id=1, schema_type="AVRO", text=json.dumps(schema))}
    )
    bomb = wire(1, b"\x80\x80\x80\x80\x80\x80\x80\x80\x40" + b"\0")
    _, refused = by_rule(records([bomb]), avro_contract(), source)
    assert refused[0][0] == "wrong_schema"
    assert words in refused[0][2]
    check_equal(records([bomb]), avro_contract(), source)


def test_a_schema_that_is_not_there_stops_the_fetch_before_anything_is_counted() -> None:
    with pytest.raises(TemporaryError):
        by_columns(
            records([avro_value(avro_document()), wire(999, b"x")]), avro_contract(), SCHEMAS
        )


@settings(max_examples=40, deadline=None)
@given(st.lists(documents(), max_size=8))
def test_columns_and_row_rule_agree_on_json_schema(rows: list[dict[str, Any]]) -> None:
    source = Schemas({3: RegisteredSchema(schema_id=3, schema_type="JSON", text="{}")})
    values = [wire(3, encoded(row)) for row in rows]
    check_equal(records(values), contract_of(format="json-schema"), source)


ATTRIBUTES = {"id": "7", "source": "/pos", "specversion": "1.0", "type": "sale"}


def structured(row: Any, **changes: Any) -> KafkaRecord:
    body = {name: value for name, value in {**ATTRIBUTES, "data": row, **changes}.items() if value}
    headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    return KafkaRecord(value=json.dumps(body).encode(), headers=headers, time=NOW)


def binary(row: Any, content: bytes = b"application/json", **changes: Any) -> KafkaRecord:
    attributes = {**ATTRIBUTES, **changes}
    headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items() if value)
    return KafkaRecord(value=encoded(row), headers=(*headers, ("content-type", content)), time=NOW)


@settings(max_examples=40, deadline=None)
@given(st.lists(documents(), max_size=8))
def test_columns_and_row_rule_agree_on_cloudevents(rows: list[dict[str, Any]]) -> None:
    contract = contract_of(format="cloudevents")
    check_equal([*map(binary, rows), *map(structured, rows)], contract)


def test_a_cloudevent_is_read_alike_in_both_modes() -> None:
    fields = contract_of().events.fields
    contract = contract_of(format="cloudevents", key="ce_id", time="ce_time", fields=fields)
    at = "2025-12-31T23:59:50Z"
    in_base64 = base64.b64encode(encoded(event())).decode()
    rows = [
        binary(event(), time=at),
        structured(event(), time=at),
        structured(None, time=at, data_base64=in_base64),
    ]
    events, refused = by_rule(rows, contract)
    assert refused == {}
    assert [(one.key, one.time, dict(one.unknown)) for one in events.values()] == [
        ("7", NOW - 10.0, {})
    ] * 3


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (KafkaRecord(value=encoded(event())), "without the header ce_specversion"),
        (binary(event(), specversion="0.3"), "of version '0.3'"),
        (binary(event(), id=""), "without the attribute id"),
        (binary(event(), b"application/xml"), "'application/xml'"),
        (binary(event(), b"application/cloudevents-batch+json"), "a batch"),
        (binary(event(), b"application/cloudevents+avro"), "of the media type"),
        (structured([1]), "whose data is list"),
        (structured(None, data_base64="%%"), "no base64"),
    ],
)
def test_what_is_no_cloudevent_is_named(record: KafkaRecord, words: str) -> None:
    _, refused = by_rule([record], contract_of(format="cloudevents"))
    assert refused[0][0] == "not_a_cloudevent"
    assert words in refused[0][2]


_AT: dict[str, tuple[Any, bytes]] = {
    "decimal": ({"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2},
                b"\x0c" + (176_722_559_050).to_bytes(6, "big")),
    "double": ("double", struct.pack("<d", NOW - 9.5)),
    "signalling NaN": ("double", b"\1\0\0\0\0\0\xf0\x7f"),
    "signalling NaN of 32 bits": ("float", b"\1\0\x80\x7f"),
}  # fmt: skip


@pytest.mark.parametrize("kind", _AT)
def test_a_time_is_read_from_every_kind_of_number(kind: str) -> None:
    """As the time of the event, and by the rules for hour and weekday."""
    of_time, payload = _AT[kind]
    schema = {"type": "record", "name": "E", "fields": [{"name": "at", "type": of_time}]}
    text = json.dumps(schema)
    source = Schemas({1: RegisteredSchema(schema_id=1, schema_type="AVRO", text=text)})
    hour = FieldRule(name="hour", path="at", rule="hour", time_format="s", zone="UTC")
    contract = contract_of(format="avro", key_from="kafka-key", time_format="s", fields=(hour,))
    contract = replace(contract, features=(FeatureSpec(name="hour", kind="integer"),))
    values = [KafkaRecord(value=wire(1, payload), key=b"k", time=NOW)] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_equal(values, contract, source)
    events, _ = by_rule(values, contract, source)
    assert [(one.time, one.values) for one in events.values()] == (
        [] if "NaN" in kind else [(NOW - 9.5, {"hour": 23})] * 3
    )


def test_a_large_decimal_is_exact() -> None:
    amounts = [Decimal("9999999.99"), Decimal("-0.01"), Decimal("0.00")]
    values = [
        avro_value(avro_document(fare={"amount": one, "currency": "USD"}), SHORT_ID)
        for one in amounts
    ]
    decoded = by_columns(records(values), avro_contract(), SCHEMAS)
    assert decoded.batch["fare"].to_pylist() == [float(one) for one in amounts]
