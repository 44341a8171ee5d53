"""What the writer makes of an event is read by the mapping as the same event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.cli.commands.services import demo_file
from deploy.demo import messages
from deploy.demo.event_writer import EventWriter, avro_schema, schema_text
from deploy.demo.registry import register, serve_registry
from deploy.demo.trips import generate
from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.events import decode_event
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.raw_record import KafkaRecord
from streaming.contracts.registered import RegistryAddress
from streaming.engines.registry import Registry

AVRO = Deployment.load(demo_file("avro")).contract("big_tipper")
JSON = replace(AVRO, events=replace(AVRO.events, format="json"))
ROWS = list(messages.rows(generate(np.random.default_rng(3), 300)))
AT = 1_767_225_600.123456


@pytest.fixture(name="registry")
def _registry() -> Iterator[RegistryAddress]:
    server = serve_registry(0)
    yield RegistryAddress(url=f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("contract", [AVRO, JSON], ids=["avro", "json"])
def test_an_event_is_read_as_it_was_written(
    registry: RegistryAddress, contract: ModelContract
) -> None:
    number = register(registry, "taxi.trips-value", schema_text(AVRO))
    writer, source = EventWriter(contract, number), Registry(registry)
    for row in ROWS:
        record = KafkaRecord(value=writer.write(row, "a-1", AT))
        event = decode_event(record, contract, now=AT + 1.0, schemas=source)
        assert (event.key, event.time, dict(event.unknown)) == ("a-1", AT, {})
        assert {name: value for name, value in event.values.items() if value is not None} == row


def test_the_events_are_nested_with_times_as_text() -> None:
    document = json.loads(EventWriter(JSON).write({"fare": 12.5, "trip_miles": 3.1}, "a-1", AT))
    assert document == {
        "trip": {
            "id": "a-1",
            "ended": "2026-01-01T00:00:00.123456+00:00",
            "fare": {"amount": "12.5"},
            "miles": 3.1,
        }
    }
    (trip,) = (field for field in avro_schema(AVRO)["fields"] if field["name"] == "trip")
    assert {"id", "ended", "fare", "pickup"} <= {field["name"] for field in trip["type"]["fields"]}


def test_the_registry_gives_one_number_to_one_schema(registry: RegistryAddress) -> None:
    first = register(registry, "taxi.trips-value", schema_text(AVRO))
    assert first == register(registry, "taxi.trips-value", schema_text(AVRO))
    other = replace(AVRO, features=AVRO.features[:3])
    assert register(registry, "others-value", schema_text(other)) == first + 1
    assert Registry(registry).schema(first).text == schema_text(AVRO)
    assert httpx.get(f"{registry.url}/schemas/ids/9").status_code == 404
    with pytest.raises(UnavailableError, match="does not know it"):
        Registry(registry).schema(9)


def test_a_registry_elsewhere_that_does_not_answer_is_told() -> None:
    address = RegistryAddress(url="http://192.0.2.1:9", timeout_seconds=0.2)
    with pytest.raises(UnavailableError, match=r"192\.0\.2\.1.*taxi"):
        register(address, "taxi.trips-value", schema_text(AVRO))


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"format": "protobuf"}, "the format is protobuf"),
        ({"key_from": "header"}, "the key is read from a header"),
        ({"fields": (FieldRule(name="n", path="at", rule="hour"),)}, "n is read by the rule hour"),
    ],
)
def test_what_has_no_other_direction_is_refused(mapping: dict[str, Any], reason: str) -> None:
    contract = ModelContract(
        model="m", module="", events_topic="", labels_topic="", key="id", time="at",
        features=(FeatureSpec(name="n", kind="integer"),), events=RecordMapping(**mapping),
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match=reason):
        EventWriter(contract)


@pytest.mark.parametrize(
    ("time_format", "written"),
    [("s", AT), ("ms", 1_767_225_600_123), ("us", 1_767_225_600_123_456)],
)
def test_times_are_written_in_their_unit(time_format: Any, written: float) -> None:
    contract = ModelContract(
        model="m", module="", events_topic="", labels_topic="", key="id", time="at",
        features=(FeatureSpec(name="paid", kind="integer"),),
        events=RecordMapping(
            time_format=time_format, fields=(FieldRule(name="paid", path="paid", rule="boolean"),)
        ),
    )  # fmt: skip
    document = json.loads(EventWriter(contract).write({"paid": 1}, "a", AT))
    assert document == {"id": "a", "at": written, "paid": True}
