"""Health of the endpoints, where the engines are not processes of this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

from deploy.app.deployment import Deployment
from deploy.services.endpoints import _any, endpoint_states, silent_for_submission
from tests.deploy.app.test_answers import talking, versions
from tests.deploy.cli.doubles import http_server
from tests.deploy.cli.runner import DEMO, UNUSED_PORTS


def health(**settings: str) -> dict[str, str]:
    patch = pytest.MonkeyPatch()
    for name, value in {"DRIFTLINE__LOCAL__PORT_OFFSET": UNUSED_PORTS, **settings}.items():
        patch.setenv(name, value)
    try:
        return {state.name: state.health for state in endpoint_states(Deployment.load(DEMO))}
    finally:
        patch.undo()


def test_nothing_answers_where_nothing_runs() -> None:
    assert set(health().values()) == {"no answer"}


@pytest.fixture
def grpc_address() -> Iterator[str]:
    """A gRPC server without any method: it answers every call with an error."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_engines_that_answer_are_ready(grpc_address: str) -> None:
    with http_server(lambda *_: (200, {})) as url:
        states = health(
            DRIFTLINE__ENDPOINTS__FLINK=url,
            DRIFTLINE__ENDPOINTS__PROMETHEUS=url,
            DRIFTLINE__ENDPOINTS__ENVOY=url,
            DRIFTLINE__ENDPOINTS__JOBSERVER=grpc_address,
            DRIFTLINE__ENDPOINTS__WORKERS="127.0.0.1:1",
        )
    assert states.pop("kafka") == "no answer"
    assert states.pop("beam-workers") == "no answer"
    assert set(states.values()) == {"ready"}


def test_a_connection_that_nobody_answers_is_no_answer() -> None:
    """As to a stopped process: the kernel accepts it."""
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        address = f"127.0.0.1:{stopped.getsockname()[1]}"
        states = health(
            DRIFTLINE__KAFKA__BOOTSTRAP=address,
            DRIFTLINE__ENDPOINTS__ENVOY=f"http://{address}",
            DRIFTLINE__ENDPOINTS__JOBSERVER=address,
            DRIFTLINE__ENDPOINTS__WORKERS=address,
        )
    assert set(states.values()) == {"no answer"}


def test_a_submission_needs_kafka_the_job_server_and_the_pool(
    grpc_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE__LOCAL__PORT_OFFSET", UNUSED_PORTS)
    monkeypatch.setenv("DRIFTLINE__ENDPOINTS__JOBSERVER", grpc_address)
    silent = silent_for_submission(Deployment.load(DEMO))
    assert silent == ("Kafka", "the pool of Python workers")


def test_an_error_of_the_engine_is_no_answer() -> None:
    with http_server(lambda *_: (500, {})) as url:
        assert health(DRIFTLINE__ENDPOINTS__FLINK=url)["flink"] == "no answer"


def test_one_broker_of_several_is_enough() -> None:
    with talking(versions()) as port:
        bootstrap = f"127.0.0.1:1,127.0.0.1:{port}"
        states = health(DRIFTLINE__KAFKA__BOOTSTRAP=bootstrap, DRIFTLINE__LOCAL__PORT_OFFSET="0")
    assert states["kafka"] == "ready"


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ("[::1]:9092", [("::1", 9092)]),
        ("[2001:db8::2]", [("2001:db8::2", 80)]),
        ("kafka-1:9093, [fe80::1]:9094", [("kafka-1", 9093), ("fe80::1", 9094)]),
        ("envoy", [("envoy", 80)]),
        ("host:port,::1,,[::1", []),
    ],
)
def test_an_address_is_asked_without_its_brackets(
    addresses: str, expected: list[tuple[str, int]]
) -> None:
    called: list[tuple[str, int]] = []

    def answers_at(host: str, port: int) -> bool:
        called.append((host, port))
        return False

    assert not _any(addresses, answers_at, port=80)
    assert called == expected


def test_a_broker_with_an_ipv6_address_answers() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            versions()(connection)

    with listener:
        threading.Thread(target=answer, daemon=True).start()
        bootstrap = f'"[::1]:{listener.getsockname()[1]}"'  # brackets mean a list in YAML
        states = health(DRIFTLINE__KAFKA__BOOTSTRAP=bootstrap, DRIFTLINE__LOCAL__PORT_OFFSET="0")
    assert states["kafka"] == "ready"
