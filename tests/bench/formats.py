"""Decoding of one model's events in JSON, Avro and Protobuf, side by side.

Each event has 17 fields; as flat JSON it has about 440 bytes. A round decodes the same events in
every format in turn, so that all of them meet the same load, and the best CPU time of each counts.
"""

from __future__ import annotations

import base64
import io
import json
import random
import time
from collections.abc import Sequence
from typing import Any

import fastavro
import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from msgspec.structs import replace

from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.raw_record import KafkaRecord
from streaming.contracts.registered import RegisteredSchema
from streaming.windowing.decode import Decoder
from tests.schema_registry import Schemas, wire

EVENTS, ROUNDS = 5_000, 7
NOW = 1_767_225_600.0
_NUMBERS = [f"average_of_the_last_{index}_days" for index in range(1, 8)]
_INTEGERS = [f"trips_in_the_last_{index}_days" for index in range(1, 5)]
_TEXTS = ["payment_type", "company_name", "pickup_area", "dropoff_area"]
_KINDS = {"integer": "long", "number": "double", "text": "string"}
FEATURES = (
    *(FeatureSpec(name=name, kind="number") for name in _NUMBERS),
    *(FeatureSpec(name=name, kind="integer") for name in _INTEGERS),
    *(FeatureSpec(name=name, kind="text") for name in _TEXTS),
)
CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="trip_id", time="event_time",
    features=FEATURES,
)  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """The events; a tenth of the values is missing."""
    chance = random.Random(7)  # no secret
    texts = ["Cash", "Credit Card", "Unknown", "Mobile"]

    def row(number: int) -> dict[str, Any]:
        values: dict[str, Any] = {name: round(chance.random() * 50, 2) for name in _NUMBERS}
        values |= {name: chance.randrange(1000) for name in _INTEGERS}
        values |= {name: chance.choice(texts) for name in _TEXTS}
        kept = {name: None if chance.random() < 0.1 else value for name, value in values.items()}
        return {"trip_id": f"trip-{number:08}", "event_time": NOW - chance.random()} | kept

    return [row(number) for number in range(EVENTS)]


def _avro(events: Sequence[dict[str, Any]]) -> tuple[str, list[bytes]]:
    fields = [{"name": "trip_id", "type": "string"}, {"name": "event_time", "type": "double"}]
    fields += [{"name": s.name, "type": ["null", _KINDS[s.kind]]} for s in FEATURES]  # type: ignore[dict-item]
    schema = {"type": "record", "name": "Trip", "fields": fields}
    parsed, values = fastavro.parse_schema(schema), []
    for event in events:
        target = io.BytesIO()
        fastavro.schemaless_writer(target, parsed, event)
        values.append(wire(1, target.getvalue()))
    return json.dumps(schema), values


def _protobuf(events: Sequence[dict[str, Any]]) -> tuple[str, list[bytes]]:
    scalar = descriptor_pb2.FieldDescriptorProto
    kinds = {"integer": scalar.TYPE_INT64, "number": scalar.TYPE_DOUBLE, "text": scalar.TYPE_STRING}
    file = descriptor_pb2.FileDescriptorProto(name="trip.proto", syntax="proto3")
    message = file.message_type.add(name="Trip")
    message.field.add(name="trip_id", number=1, type=scalar.TYPE_STRING, label=1)
    message.field.add(name="event_time", number=2, type=scalar.TYPE_DOUBLE, label=1)
    for number, spec in enumerate(FEATURES):
        message.oneof_decl.add(name=f"_{spec.name}")
        message.field.add(
            name=spec.name, number=number + 3, type=kinds[spec.kind], label=1,
            proto3_optional=True, oneof_index=number,
        )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    trip = message_factory.GetMessageClass(pool.FindMessageTypeByName("Trip"))
    values = []
    for event in events:
        present = {name: value for name, value in event.items() if value is not None}
        values.append(wire(2, b"\0" + trip(**present).SerializeToString()))
    return base64.b64encode(file.SerializeToString()).decode(), values


def _paths(event: dict[str, Any]) -> bytes:
    """The event with its features two objects deep, and a list in place of an integer."""
    features = {spec.name: event[spec.name] for spec in FEATURES[:-1]}
    stops = [{"area": index} for index in range((event[FEATURES[7].name] or 0) % 4)]
    head = {"id": event["trip_id"], "at": int(event["event_time"] * 1000)}
    return orjson.dumps({"head": head, "trip": {"known": features, "stops": stops}})


_BY_PATH = tuple(
    FieldRule(name=spec.name, path=f"trip.known.{spec.name}") for spec in FEATURES[:-1]
)


def cases() -> dict[str, tuple[Decoder, list[bytes]]]:
    """Name → a decoder and a fetch for it.

    ``mapped`` is JSON with RFC 3339 times, ``paths`` has its fields two objects deep, the length of
    a list as one of them, and times in milliseconds.
    """
    events = rows()
    avro, avro_values = _avro(events)
    protobuf, protobuf_values = _protobuf(events)
    schemas = Schemas(
        {
            1: RegisteredSchema(schema_id=1, schema_type="AVRO", text=avro),
            2: RegisteredSchema(schema_id=2, schema_type="PROTOBUF", text=protobuf),
        }
    )
    mapped = [orjson.dumps(event | {"event_time": "2025-12-31T23:59:58.5Z"}) for event in events]
    rules = (*_BY_PATH, FieldRule(name=FEATURES[7].name, path="trip.stops", rule="length"))
    by_path = RecordMapping(
        fields=tuple({rule.name: rule for rule in rules}.values()),
        key="head.id", time="head.at", time_format="ms",
    )  # fmt: skip
    fetches: dict[str, tuple[RecordMapping, list[bytes]]] = {
        "json": (RecordMapping(), [orjson.dumps(event) for event in events]),
        "avro": (RecordMapping(format="avro"), avro_values),
        "protobuf": (RecordMapping(format="protobuf"), protobuf_values),
        "mapped": (RecordMapping(time_format="rfc3339"), mapped),
        "paths": (by_path, [_paths(event) for event in events]),
    }
    return {
        name: (Decoder(replace(CONTRACT, events=mapping), schemas=schemas), values)
        for name, (mapping, values) in fetches.items()
    }


def measured(rounds: int = ROUNDS) -> dict[str, float]:
    """Format → microseconds of CPU an event."""
    best: dict[str, float] = {}
    all_cases = cases()
    for _ in range(rounds):
        for name, (decoder, fetch) in all_cases.items():
            began = time.process_time()
            decoded = decoder.decode(
                fetch,
                now=NOW,
                record_at=lambda at, fetch=fetch: KafkaRecord(value=fetch[at]),  # type: ignore[misc]
            )
            spent = (time.process_time() - began) / EVENTS * 1e6
            assert len(decoded.times) == EVENTS
            best[name] = min(spent, best.get(name, spent))
    return best


if __name__ == "__main__":
    figures = measured()
    for name, spent in figures.items():
        print(f"{name:9} {spent:6.2f} us an event, {figures['json'] / spent:.2f} x JSON")  # noqa: T201
