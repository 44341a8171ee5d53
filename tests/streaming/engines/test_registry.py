"""The registry's client: what it reads, and that whatever goes wrong is temporary."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.contracts.documents import compiled
from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.registered import RegistryAddress
from streaming.engines.registry import Registry, client
from tests.schema_registry import RegistryState, schema_registry
from tests.streaming.windowing.format_events import AVRO, AVRO_ID, MONEY, PROTOBUF, PROTOBUF_ID


@pytest.fixture(name="state")
def _state(monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryState]:
    monkeypatch.setattr(client, "RETRY_SECONDS", 0.0)
    with schema_registry() as state:
        money = {"name": "shop.Money", "subject": "money", "version": 3}
        state.add(1, json.dumps(MONEY))
        state.add(AVRO_ID, AVRO[AVRO_ID].text, references=[money])
        state.subjects["money", "3"] = 1
        file = {"name": "money.proto", "subject": "money-proto", "version": 1}
        state.add(2, "syntax…", "PROTOBUF", serialized=PROTOBUF.references[0].text)
        state.add(PROTOBUF_ID, "syntax…", "PROTOBUF", references=[file], serialized=PROTOBUF.text)
        state.subjects["money-proto", "1"] = 2
        yield state


def registry(state: RegistryState) -> Registry:
    return Registry(RegistryAddress(url=state.url, timeout_seconds=2.0))


@pytest.mark.parametrize("schema_id", [AVRO_ID, PROTOBUF_ID])
def test_a_schema_comes_with_what_it_refers_to_and_is_kept(
    state: RegistryState, schema_id: int
) -> None:
    source = registry(state)
    schema = source.schema(schema_id)
    expected = AVRO[AVRO_ID] if schema_id == AVRO_ID else PROTOBUF
    assert (schema.text, schema.references) == (expected.text, expected.references)
    assert compiled(schema) is not None
    requests, state.status = state.requests, 503
    assert source.schema(schema_id) is schema
    assert state.requests == requests


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (503, None, "status 503"),
        (404, b'{"error_code": 40403, "message": "no"}', "does not know it"),
        (200, b"<html>", "what is no schema"),
        (200, b'{"schema": "{", "schemaType": "AVRO"}', "no Avro schema"),
        (200, b'{"schema": "\\"nothing\\"", "schemaType": "AVRO"}', "no Avro schema"),
        (200, b'{"schema": "x", "schemaType": "XML"}', "unknown type"),
        (200, b'{"schema": "%%", "schemaType": "PROTOBUF"}', "no Protobuf schema"),
        (200, b'{"schema": "[1", "schemaType": "JSON"}', "no JSON Schema"),
        (200, b'{"schemaType": "AVRO"}', ""),
        (200, b'{"schema": 7, "schemaType": "AVRO"}', ""),
    ],
)
def test_a_registry_that_is_down_or_lies_is_temporary(
    state: RegistryState, status: int, body: bytes | None, cause: str
) -> None:
    source = registry(state)
    state.status, state.body = status, body
    for _ in range(2):
        with pytest.raises(UnavailableError, match="cannot be had from") as raised:
            source.schema(AVRO_ID)
        assert cause in str(raised.value)
    state.status, state.body = 200, None
    assert source.schema(AVRO_ID).references


def test_a_registry_that_is_not_there_is_temporary() -> None:
    source = Registry(RegistryAddress(url="http://127.0.0.1:9", timeout_seconds=2.0))
    with pytest.raises(UnavailableError, match="does not answer"):
        source.schema(AVRO_ID)


def test_a_number_is_not_asked_for_again_at_once(
    state: RegistryState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RETRY_SECONDS", 60.0)
    source = registry(state)
    for _ in range(3):
        with pytest.raises(UnavailableError, match="does not know it"):
            source.schema(99)
    assert state.requests == 1


def test_references_in_a_circle_are_refused(state: RegistryState) -> None:
    state.add(5, '"string"', references=[{"name": "b", "subject": "b", "version": 1}])
    state.add(6, '"string"', references=[{"name": "c", "subject": "b", "version": 1}])
    state.subjects["b", "1"] = 6
    with pytest.raises(UnavailableError, match="circle of references"):
        registry(state).schema(5)
    assert state.requests < 5


def test_a_chain_of_references_has_an_end(
    state: RegistryState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_REFERENCES", 3)
    for number in range(20, 30):
        below = {"name": f"r{number}", "subject": f"r{number}", "version": 1}
        state.add(number, '"string"', references=[below])
        state.subjects[f"r{number}", "1"] = number + 1
    with pytest.raises(UnavailableError, match="more than 3 references"):
        registry(state).schema(20)
    assert state.requests < 6


@pytest.mark.parametrize("compressed", [False, True])
def test_an_answer_costs_no_memory_without_bound(
    state: RegistryState, monkeypatch: pytest.MonkeyPatch, compressed: bool
) -> None:
    monkeypatch.setattr(client, "_ANSWER_BYTES", 100_000)
    source = registry(state)
    state.body = b" " * 200_000
    if compressed:
        state.body, state.encoding = gzip.compress(state.body), "gzip"
    cause = "that is compressed" if compressed else "of more than 100000 bytes"
    with pytest.raises(UnavailableError, match=f"sends an answer {cause}"):
        source.schema(AVRO_ID)
    state.body, state.encoding = None, ""
    assert source.schema(AVRO_ID).references


def test_an_answer_that_comes_byte_by_byte_does_not_hold_the_reader(state: RegistryState) -> None:
    source = Registry(RegistryAddress(url=state.url, timeout_seconds=0.5))
    state.pause = threading.Event()
    with pytest.raises(UnavailableError, match="does not answer"):
        source.schema(AVRO_ID)
    assert state.requests == 1
    with pytest.raises(UnavailableError, match="TooSlow"):
        source.schema(PROTOBUF_ID)
    assert state.requests == 1  # as long as the registry is not asked, others are read
    state.pause.set()


def test_answers_that_are_slow_together_do_not_hold_the_reader(
    state: RegistryState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ANSWERS", 0.0)
    with pytest.raises(UnavailableError, match="does not answer"):
        registry(state).schema(AVRO_ID)


def test_a_password_that_cannot_be_read_is_a_matter_of_configuration(tmp_path: Path) -> None:
    address = RegistryAddress(url="http://127.0.0.1:9", user="u", password_file=str(tmp_path / "p"))
    with pytest.raises(ConfigurationError, match="password_file"):
        Registry(address).schema(1)


def test_a_registry_that_does_not_answer_leaves_the_reader_time_for_other_partitions() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        source = Registry(RegistryAddress(url=url, timeout_seconds=0.3))
        spent = []
        for schema_id in range(5):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="does not answer"):
                source.schema(schema_id)
            spent.append(time.monotonic() - began)
    assert spent[0] > 0.2
    assert sum(spent[1:]) < spent[0]
