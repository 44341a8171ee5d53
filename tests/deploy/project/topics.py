"""Topics of trips in every format, for `driftline init --from-topic`."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import fastavro

from streaming.contracts.log import MemoryLog
from streaming.contracts.registered import RegisteredSchema
from tests.schema_registry import Schemas, wire
from tests.streaming.windowing.format_events import PROTOBUF, protobuf_message, protobuf_value

ROWS = 300
START = 1_767_225_600.0
Row = dict[str, Any]
TRIP: Row = {
    "type": "record",
    "name": "Trip",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "shared", "type": "boolean"},
        {
            "name": "trip",
            "type": {
                "type": "record",
                "name": "Ride",
                "fields": [
                    {"name": "miles", "type": "double"},
                    {"name": "seats", "type": ["null", "int"]},
                    {"name": "tags", "type": {"type": "array", "items": "string"}},
                ],
            },
        },
    ],
}
AVRO_ID, JSON_ID = 21, 22


def trips(count: int = ROWS, *, seed: int = 4) -> list[Row]:
    """Nested events; the tip is the label."""
    chance = random.Random(seed)
    rows: list[Row] = []
    for number in range(count):
        at = datetime.fromtimestamp(START + number, UTC).isoformat().replace("+00:00", "Z")
        ride = {
            "started": at,
            "fare": {"amount": f"{chance.uniform(3, 60):.2f}", "currency": "USD"},
            "miles": round(chance.uniform(0.5, 20), 2),
            "seats": chance.choice([1, 2, 4, None]),
            "tags": chance.sample(["airport", "pool", "night", "card"], chance.randint(0, 3)),
            "stops": [{"city": "a"}] * chance.randint(1, 3),
        }
        rows.append(
            {"trip": ride, "meta": {"trip.id": f"t{number}"}, "shared": chance.random() < 0.3}
        )
    return rows


def labels(rows: list[Row], *, seed: int = 5) -> list[Row]:
    """The label records of these events."""
    chance = random.Random(seed)
    return [{"paid": {"tip": chance.random() < 0.4}, "ref": row["meta"]["trip.id"]} for row in rows]


def json_log() -> MemoryLog:
    """Nested JSON with labels in another topic, at other paths."""
    log, rows = MemoryLog(), trips()
    log.append_raw("trips", [(None, json.dumps(row).encode()) for row in rows])
    log.append_raw("tips", [(None, json.dumps(row).encode()) for row in labels(rows)])
    return log


def cloudevents(*, structured: bool) -> MemoryLog:
    """Nested events as CloudEvents."""
    log, rows = MemoryLog(), trips()
    for number, row in enumerate(rows):
        attributes = {
            "specversion": "1.0",
            "id": row["meta"]["trip.id"],
            "source": "/meters",
            "type": "trip.ended",
            "time": row["trip"]["started"],
        }
        data = {key: value for key, value in row.items() if key != "meta"}
        if structured:
            body = json.dumps(attributes | {"data": data}).encode()
            headers = [("content-type", b"application/cloudevents+json")]
        else:
            body = json.dumps(data).encode()
            headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
        log.append_raw("trips", [(None, body)], headers=[tuple(headers)])
        tip = labels([row], seed=number)[0]["paid"]["tip"]
        log.append_raw("tips", [(attributes["id"].encode(), json.dumps({"tip": tip}).encode())])
    return log


def flat_trips() -> list[Row]:
    """The events with fewer fields and times in milliseconds."""
    return [
        {
            "id": row["meta"]["trip.id"],
            "at": round((START + number) * 1000),
            "shared": row["shared"],
            "trip": {name: row["trip"][name] for name in ("miles", "seats", "tags")},
        }
        for number, row in enumerate(trips())
    ]


def registered(encode: Callable[[Row], bytes]) -> MemoryLog:
    """Events in the wire format, with flat labels."""
    log, rows = MemoryLog(), flat_trips()
    log.append_raw("trips", [(None, encode(row)) for row in rows])
    chance = random.Random(6)
    tips = [{"id": row["id"], "tip": round(chance.uniform(0, 9), 2)} for row in rows]
    log.append_raw("tips", [(None, json.dumps(tip).encode()) for tip in tips])
    return log


def avro(row: Row) -> bytes:
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(TRIP), row)
    return wire(AVRO_ID, target.getvalue())


def json_schema(row: Row) -> bytes:
    return wire(JSON_ID, json.dumps(row).encode())


def protobuf(row: Row) -> bytes:
    message = protobuf_message(id=row["id"], shared=row["shared"])
    message.company = "Blue" if row["shared"] else "Red"
    message.at.seconds = row["at"] // 1000
    message.trip.seats = row["trip"]["seats"] or 3
    del message.trip.stops[:]
    message.trip.stops.extend(range(len(row["trip"]["tags"])))
    message.trip.fare.amount = row["trip"]["miles"]
    return protobuf_value(message)


SCHEMAS = Schemas(
    {
        AVRO_ID: RegisteredSchema(schema_id=AVRO_ID, schema_type="AVRO", text=json.dumps(TRIP)),
        JSON_ID: RegisteredSchema(
            schema_id=JSON_ID, schema_type="JSON", text=json.dumps({"type": "object"})
        ),
        PROTOBUF.schema_id: PROTOBUF,
    }
)
