"""Mapped events for tests: a contract with every rule, and records of it, good and odd."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.raw_record import KafkaRecord, RawRecord
from streaming.contracts.registered import SchemaSource
from streaming.windowing.decode import Decoded, Decoder

NOW = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""
FEATURES = (
    FeatureSpec(name="fare", kind="number", required=True, sentinels=(-1.0,)),
    FeatureSpec(name="seats", kind="integer"),
    FeatureSpec(name="company", kind="text"),
    FeatureSpec(name="shared", kind="integer"),
    FeatureSpec(name="shared_word", kind="text"),
    FeatureSpec(name="tip", kind="number"),
    FeatureSpec(name="stops", kind="integer"),
    FeatureSpec(name="hour", kind="integer"),
    FeatureSpec(name="weekday", kind="number"),
)
FIELDS = (
    FieldRule(name="fare", path="trip.fare.amount"),
    FieldRule(name="seats", path="trip.seats"),
    FieldRule(name="shared", path="shared", rule="boolean"),
    FieldRule(name="shared_word", path="shared", rule="boolean"),
    FieldRule(name="tip", path="trip.tip", rule="decimal"),
    FieldRule(name="stops", path="trip.stops", rule="length"),
    FieldRule(name="hour", path="at", rule="hour", zone="America/Chicago"),
    FieldRule(name="weekday", path="at", rule="weekday", zone="Asia/Kolkata"),
)


def contract_of(**mapping: Any) -> ModelContract:
    """The contract with a mapping; times are RFC 3339 text unless `mapping` says otherwise."""
    values: dict[str, Any] = {"time_format": "rfc3339", "fields": FIELDS} | mapping
    return ModelContract(
        model="m", module="", events_topic="e", labels_topic="l", key="trip.id", time="at",
        features=FEATURES, events=RecordMapping(**values), largest_event_bytes=2_000,
    )  # fmt: skip


def by_documents(contract: ModelContract) -> ModelContract:
    """The contract with one value as two kinds, so that records are read as whole documents."""
    events = contract.events
    return replace(
        contract,
        features=(*contract.features, FeatureSpec(name="seats_number", kind="number")),
        events=replace(
            events, fields=(*events.fields, FieldRule(name="seats_number", path="trip.seats"))
        ),
    )


def with_lists(contract: ModelContract) -> ModelContract:
    """The contract with a list of categories."""
    events = contract.events
    rule = FieldRule(name="tags", path="trip.tags", rule="categories")
    spec = FeatureSpec(name="tags", kind="text", categorical=True, multivalent=True)
    return replace(
        contract,
        features=(*contract.features, spec),
        events=replace(events, fields=(*events.fields, rule)),
    )


TAGS = st.one_of(
    st.text(max_size=3),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.none(),
    st.floats(width=64),
    st.lists(st.none(), max_size=1),
    st.just({"a": 1}),
    st.sampled_from(["bar", "a\nb", "x" * 300, "\u2028", "7"]),
)
LISTS = st.one_of(
    st.lists(st.sampled_from(["wifi", "bar", "pool"]), max_size=4),
    st.lists(TAGS, max_size=6),
    st.integers(90, 120).map(lambda count: [f"t{number}" for number in range(count)]),
    st.sampled_from([["x" * 4_000, "y" * 200], ["é" * 2_049]]),
    TAGS,
)
"""Lists of categories, good and hostile."""


def event(**changes: Any) -> dict[str, Any]:
    """A good event as JSON."""
    trip = {
        "id": "a",
        "fare": {"amount": 12.5, "currency": "USD"},
        "seats": 2,
        "tip": "1.25",
        "stops": [1, {"name": "x"}],
    }
    return {"trip": trip, "shared": True, "company": "Blue", "at": "2026-01-01T00:30:00+01:00"} | (
        changes
    )


TIMES = st.one_of(
    st.sampled_from(
        [
            "2025-12-31T23:59:59.123456789Z",
            "2026-01-01t00:00:00z",
            "2026-01-01 00:00:00-05:30",
            "2026-02-30T00:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01",
            "9999-12-31T23:59:59Z",
            "0001-01-01T00:00:00+14:00",
            "1970-01-01T00:00:00Z",
            "２０２６-01-01T00:00:00Z",
        ]
    ),
    st.datetimes().map(lambda time: time.isoformat() + "+02:00"),
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(width=64),
    st.sampled_from(["", "12.5", "-7", "1e3", " 1", "1_000", "nan", "ü", "true", -1.0, 2**63, 1.0]),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.sampled_from(["amount", "id", "x"]), st.integers(), max_size=2),
    TIMES,
)


PATHS = (
    *("trip", "trip.id", "trip.fare", "trip.fare.amount", "trip.seats", "trip.tip", "trip.stops"),
    *("shared", "company", "at", "new"),
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """An event of which up to three values are odd or missing."""
    document = event(at=draw(st.one_of(st.just("2026-01-01T00:30:00+01:00"), TIMES)))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(PATHS))
        *parents, name = path.split(".")
        target: Any = document
        for parent in parents:
            target = target.get(parent)
            if not isinstance(target, dict):
                break
        if isinstance(target, dict):
            if draw(st.booleans()):
                target[name] = draw(ODD)
            else:
                target.pop(name, None)
    return document


def encoded(document: Any) -> bytes:
    """A document as JSON, with NaN and infinity as the literals that producers write."""
    return json.dumps(document, ensure_ascii=False).encode()


def by_rule(
    records: Sequence[RawRecord], contract: ModelContract, schemas: SchemaSource | None = None
) -> tuple[dict[int, Event], dict[int, tuple[str, str, str]]]:
    """What the row rule makes of records: events, and reason, field and detail of the others."""
    events, refused = {}, {}
    for at, record in enumerate(records):
        try:
            events[at] = decode_event(record, contract, now=NOW, schemas=schemas)
        except DecodeError as error:
            refused[at] = (error.reason, error.field, str(error))
    return events, refused


def by_columns(
    records: Sequence[RawRecord], contract: ModelContract, schemas: SchemaSource | None = None
) -> Decoded:
    """What the columns' reader makes of records."""
    decoder = Decoder(contract, min_column_records=0, schemas=schemas)
    values = [record.value for record in records]
    return decoder.decode(values, now=NOW, record_at=lambda at: records[at])


def check_equal(
    records: Sequence[RawRecord], contract: ModelContract, schemas: SchemaSource | None = None
) -> None:
    """Assert that columns and row rule agree on every record."""
    events, refused = by_rule(records, contract, schemas)
    decoded = by_columns(records, contract, schemas)
    assert decoded.index.tolist() == list(events)
    assert {d.index: (d.reason, d.field, d.detail) for d in decoded.dead} == refused
    assert decoded.times.tolist() == [one.time for one in events.values()]
    rows = decoded.batch.to_pylist()
    assert rows == [one.values for one in events.values()]


def plain(documents_: Sequence[Any]) -> list[KafkaRecord]:
    """Documents as records whose value is JSON."""
    return [KafkaRecord(value=encoded(document), time=NOW - 5.0) for document in documents_]
