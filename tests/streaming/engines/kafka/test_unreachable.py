"""A Kafka that is not running or does not respond is an error within three seconds."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from streaming.contracts.errors import NotFoundError, UnavailableError
from streaming.contracts.topics import COMMANDS
from streaming.engines.kafka.clients import accepting_address, translated
from streaming.engines.kafka.log import KafkaLog
from tests.waiting import undelayed_seconds

ADDRESS = "127.0.0.1:1"
CALLS = {
    "spans": lambda log: log.spans("commands"),
    "ensure": lambda log: log.ensure([COMMANDS]),
    "append": lambda log: log.append_raw("commands", [(b"key", b"value")]),
    "follow": lambda log: next(log.follow(["commands"], from_start=True)),
}
HTTP_REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@contextlib.contextmanager
def listener(respond: Callable[[socket.socket], object] | None) -> Iterator[str]:
    """An address that accepts connections; `respond` handles each, None leaves it silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while respond is not None:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        respond(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        with contextlib.suppress(OSError):  # ends the thread's `accept`
            server.shutdown(socket.SHUT_RDWR)


def refuse_like_http(connection: socket.socket) -> None:
    connection.settimeout(1.0)
    connection.recv(1024)
    connection.sendall(HTTP_REFUSAL)


def greet(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP\r\n")
    connection.settimeout(1.0)
    connection.recv(1024)


@every_call
def test_an_unreachable_kafka_is_an_error_with_the_next_command(
    call: Callable[[KafkaLog], object],
) -> None:
    began = undelayed_seconds()
    with pytest.raises(UnavailableError) as caught:
        call(KafkaLog(ADDRESS))
    assert undelayed_seconds() - began < 3.0
    for words in (ADDRESS, "no broker accepts a connection", "driftline up", "driftline status"):
        assert words in str(caught.value)


def check_no_response(address: str, bootstrap: str, call: Callable[[KafkaLog], object]) -> None:
    """The call fails within three seconds; its error names the address and what to do."""
    began = undelayed_seconds()
    with pytest.raises(UnavailableError) as caught:
        call(KafkaLog(bootstrap))
    assert undelayed_seconds() - began < 3.0
    message = str(caught.value)
    assert f"A program answers at {address} that is not Kafka, or Kafka hangs" in message
    assert "driftline status" in message
    for words in ("Local:", "Broker:", "transport", "metadata"):
        assert words not in message, "the library's own text"


@every_call
def test_a_silent_listener_is_an_error_within_three_seconds(
    call: Callable[[KafkaLog], object],
) -> None:
    with listener(None) as address:
        check_no_response(address, address, call)


@pytest.mark.parametrize(
    "respond",
    [lambda connection: None, refuse_like_http, greet],
    ids=["closes at once", "HTTP", "speaks first"],
)
def test_a_program_that_is_not_kafka_is_an_error_within_three_seconds(
    respond: Callable[[socket.socket], object],
) -> None:
    with listener(respond) as address:
        check_no_response(address, address, CALLS["spans"])


@pytest.mark.parametrize("template", ["{refused},{silent}", "{silent},{refused}", "x,{silent}"])
def test_a_list_with_a_silent_listener_names_that_address(template: str) -> None:
    with listener(None) as silent:
        bootstrap = template.format(refused=ADDRESS, silent=silent)
        check_no_response(silent, bootstrap, CALLS["spans"])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, NotFoundError),
        (KafkaError._TIMED_OUT, UnavailableError),
        (KafkaError._ALL_BROKERS_DOWN, UnavailableError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, UnavailableError),
    ],
)
def test_translated_errors_do_not_repeat_the_librarys_text(
    code: int, kind: type[Exception]
) -> None:
    error = translated(KafkaException(KafkaError(code, "the library's text")), ADDRESS)
    assert type(error) is kind
    assert ADDRESS in str(error)
    assert "library" not in str(error)


def test_one_of_several_brokers_is_enough() -> None:
    with listener(None) as address:
        assert accepting_address(f"{ADDRESS},{address}", 1.0) == address
    assert accepting_address(f"{ADDRESS},not-an-address", 1.0) is None
