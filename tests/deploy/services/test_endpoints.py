"""Health of the endpoints, where the engines are not processes of this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.services.endpoints import endpoint_states
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


def test_engines_that_answer_are_ready(tmp_path: Path) -> None:
    with http_server(lambda *_: (200, {})) as url, socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        states = health(
            DRIFTLINE__ENDPOINTS__FLINK=url,
            DRIFTLINE__ENDPOINTS__PROMETHEUS=url,
            DRIFTLINE__ENDPOINTS__ENVOY=url,
            DRIFTLINE__ENDPOINTS__JOBSERVER=address,
            DRIFTLINE__ENDPOINTS__WORKERS="127.0.0.1:1",
        )
    assert states.pop("kafka") == "no answer"
    assert states.pop("beam-workers") == "no answer"
    assert set(states.values()) == {"ready"}


def test_an_error_of_the_engine_is_no_answer() -> None:
    with http_server(lambda *_: (500, {})) as url:
        assert health(DRIFTLINE__ENDPOINTS__FLINK=url)["flink"] == "no answer"


def test_one_broker_of_several_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        bootstrap = f"127.0.0.1:1,127.0.0.1:{broker.getsockname()[1]}"
        states = health(DRIFTLINE__KAFKA__BOOTSTRAP=bootstrap, DRIFTLINE__LOCAL__PORT_OFFSET="0")
    assert states["kafka"] == "ready"
