"""A Kafka that is not running is an error within three seconds, with the next command."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from streaming.contracts.errors import UnavailableError
from streaming.contracts.topics import COMMANDS
from streaming.engines.kafka import log as module
from streaming.engines.kafka.clients import reachable
from streaming.engines.kafka.log import KafkaLog

ADDRESS = "127.0.0.1:1"


@pytest.mark.parametrize(
    "call",
    [
        lambda log: log.spans("commands"),
        lambda log: log.ensure([COMMANDS]),
        lambda log: log.append_raw("commands", [(b"key", b"value")]),
        lambda log: next(log.follow(["commands"], from_start=True)),
    ],
    ids=["spans", "ensure", "append", "follow"],
)
def test_an_unreachable_kafka_is_an_error_with_the_next_command(
    call: Callable[[KafkaLog], object],
) -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        call(KafkaLog(ADDRESS))
    assert time.monotonic() - began < 3.0
    for words in (ADDRESS, "no broker accepts a connection", "driftline up", "driftline status"):
        assert words in str(caught.value)


def test_a_kafka_that_accepts_connections_and_is_silent_is_a_different_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="accepts connections but does not answer"):
            KafkaLog(address).spans("commands")


def test_one_of_several_brokers_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert reachable(f"{ADDRESS},{address}", 1.0)
    assert not reachable(f"{ADDRESS},not-an-address", 1.0)
