"""Requests that compute for minutes, or never end, hold up nobody else; every error is JSON."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from serving.engines.modelserver import http_server
from serving.engines.modelserver.protos import PREDICTION, ModelSpec, PredictRequest, call
from tests.serving.engines.modelserver.server_process import MODEL, Server, start, stop
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

STEPS = 60_000_000
"""Steps of minutes."""


@pytest.fixture(scope="module")
def looping(models: tuple[Path, dict[str, Any]]) -> Iterator[Server]:
    """A server of the model that takes as many steps as its request says; two seconds at most."""
    running = start(models[0] / "loop", "--versions", "1", "--run-seconds", "2")
    yield running
    log = stop(running)
    assert "Traceback" not in log


def _predict(server: Server, steps: int) -> httpx.Response:
    return httpx.post(f"{server.url}:predict", json={"inputs": steps}, timeout=30)


def _grpc_predict(server: Server, steps: int, seconds: float) -> Any:
    request = PredictRequest(model_spec=ModelSpec(name=MODEL))
    request.inputs["steps"].dtype = 9
    request.inputs["steps"].int64_val.append(steps)
    with server.channel() as channel:
        return call(channel, "Predict", request, timeout_seconds=seconds)


def test_long_runs_end_at_their_deadline_and_hold_up_nobody(looping: Server) -> None:
    assert _predict(looping, 3).json() == {"outputs": 1.5}
    answers: list[httpx.Response] = []
    late = _late_requests(looping)
    slow = [
        threading.Thread(target=lambda: answers.append(_predict(looping, STEPS))) for _ in range(6)
    ]
    for thread in slow:
        thread.start()
    answered = 0
    with httpx.Client(timeout=30) as client:
        while any(thread.is_alive() for thread in slow):
            assert client.post(f"{looping.url}:predict", json={"inputs": 3}).status_code == 200
            assert client.get(looping.url).status_code == 200
            answered += 1
    assert [answer.status_code for answer in answers] == [504] * 6
    assert all(
        answer.json() == {"error": "Timed out waiting for notification"} for answer in answers
    )
    assert answered > 5  # while the slow ones ran
    assert _late_requests(looping) == late + 6
    assert _predict(looping, 4).json() == {"outputs": 2.0}


def _late_requests(server: Server) -> float:
    line = r'^:tensorflow:serving:request_count{.*status="DEADLINE_EXCEEDED"} (.*)$'
    return sum(map(float, re.findall(line, server.metrics, re.M)))


def test_a_grpc_deadline_ends_the_run(looping: Server) -> None:
    with pytest.raises(grpc.RpcError) as error:
        _grpc_predict(looping, STEPS, seconds=0.5)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(grpc.RpcError) as error:
        _grpc_predict(looping, STEPS, seconds=60)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "Timed out waiting" in (error.value.details() or "")
    assert _grpc_predict(looping, 4, seconds=5).outputs["total"].float_val[0] == 2.0


def test_many_slow_calls_do_not_end_the_grpc_server(looping: Server) -> None:
    """grpc's serving thread ended for good when the workers refused a call."""
    over = threading.Event()

    def never() -> Iterator[bytes]:
        over.wait(60)
        yield from ()

    with looping.channel() as channel:
        half_sent = channel.stream_unary(f"/{PREDICTION}/Predict", bytes, bytes)
        calls = [half_sent.future(never()) for _ in range(80)]
        health = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
        wait_for(lambda: _is_refused(looping))
        assert health(b"", timeout=10) == b"\x08\x01"
        for call_ in calls:
            call_.cancel()  # type: ignore[no-untyped-call]
        over.set()
    wait_for(lambda: not _is_refused(looping))
    assert _grpc_predict(looping, 4, seconds=5).outputs["total"].float_val[0] == 2.0


def _is_refused(server: Server) -> bool:
    try:
        _grpc_predict(server, 3, seconds=10)
    except grpc.RpcError as error:
        return bool(error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
    return False


def test_cancelled_runs_leave_no_thread(looping: Server) -> None:
    def threads() -> int:
        return len(list(Path(f"/proc/{looping.process.pid}/task").iterdir()))

    _predict(looping, 3)
    before = threads()
    for _ in range(3):
        assert _predict(looping, STEPS).status_code == 504
    wait_for(lambda: threads() <= before + 2)


def _exchange(server: Server, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as client:
        client.sendall(content)
        answer = b""
        while part := client.recv(65_536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "content",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request_get_a_json_error(looping: Server, content: bytes) -> None:
    head, _, body = _exchange(looping, content).partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert b"application/json" in head
    assert "Malformed request" in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", 400),
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b"[" * 1_000_000, 400),
        (b'{"instances": [' + b'{"steps": 1},' * 3 + b"[]]}", 400),
        (b'{"inputs": 1e400}', 400),
        (b'{"inputs": ' + b"9" * 5_000 + b"}", 400),
        (b"\xff\xfe{}", 400),
        (b" " * (65 << 20), 413),
    ],
)
def test_a_hostile_body_gets_a_json_error(looping: Server, body: bytes, status: int) -> None:
    answer = httpx.post(f"{looping.url}:predict", content=body, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/json",
    )
    assert answer.json()["error"]


def test_a_small_message_cannot_ask_for_a_huge_tensor(looping: Server) -> None:
    request = PredictRequest(model_spec=ModelSpec(name=MODEL))
    request.inputs["steps"].dtype = 9
    request.inputs["steps"].int64_val.append(1)
    request.inputs["steps"].tensor_shape.dim.add().size = 1 << 27
    with looping.channel() as channel, pytest.raises(grpc.RpcError) as error:
        call(channel, "Predict", request, timeout_seconds=5)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_connection_that_sends_half_a_request_is_closed(
    models: tuple[Path, dict[str, Any]],
) -> None:
    server = start(models[0], "--versions", "1", "--head-seconds", "0.5")
    try:
        whole = f"GET /v1/models/{MODEL} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as client:
            client.sendall(whole)
            assert b"200 OK" in client.recv(65_536)
            client.sendall(whole[:20])
            assert client.recv(65_536) == b""  # closed
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=1.0) as idle:
            with pytest.raises(TimeoutError):
                idle.recv(1)  # an idle connection stays
            idle.sendall(whole)
            assert b"200 OK" in idle.recv(65_536)
    finally:
        stop(server)
    assert http_server.HEAD_SECONDS == 30
