"""Requests in odd forms: each gets a JSON error or a right answer, and others are answered."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from serving.engines.modelserver.protos import PREDICTION, ModelSpec, PredictRequest, call
from tests.serving.engines.modelserver.server_process import MODEL, Server, start, stop

pytestmark = pytest.mark.engine

POST = f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = f"{POST}Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def looping(models: tuple[Path, dict[str, Any]]) -> Iterator[Server]:
    """A server that waits for half a request for two seconds, and for a body for three."""
    running = start(
        models[0] / "loop", "--versions", "1", "--head-seconds", "2", "--run-seconds", "3"
    )
    yield running
    assert "Traceback" not in stop(running)


@pytest.fixture(autouse=True)
def _others_are_answered(looping: Server) -> Iterator[None]:
    yield
    answer = httpx.post(f"{looping.url}:predict", json={"inputs": 3}, timeout=10)
    assert answer.json() == {"outputs": 1.5}


def _exchange(server: Server, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(65_536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "content",
    [
        CHUNKED + "fffffffffffffffff\r\n{}\r\n",
        CHUNKED + "-5\r\n{}\r\n0\r\n\r\n",
        CHUNKED + "2;" + "a=b;" * 20_000 + "\r\n{}\r\n0\r\n\r\n",
        CHUNKED + "2\r\n{}XX0\r\n\r\n",
        POST + "Content-Length: 13\r\nContent-Length: 14\r\n\r\n" + '{"inputs": 3} ',
        POST + "Content-Length: +13\r\n\r\n" + '{"inputs": 3}',
        POST + "Content-Length: 1_3\r\n\r\n" + '{"inputs": 3}',
        POST + "Content-Length: " + "9" * 400 + "\r\n\r\n",
        POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + "Content-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\n{}",
        POST + "X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
        POST + "Content-Length : 2\r\n\r\n{}",
        "GET http://other:1/v1/models/%00/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET  /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
        f"{CHUNKED}d\r\n" + '{"inputs": 3}' + "\r\n0\r\nX: " + "y" * 100_000 + "\r\n\r\n",
    ],
)
def test_a_form_that_is_wrong_gets_a_json_error(looping: Server, content: str) -> None:
    head, _, body = _exchange(looping, content.encode("latin-1")).partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert 400 <= status < 502, head
    assert b"application/json" in head
    assert json.loads(body)["error"]


def test_a_body_of_chunks_that_never_ends_is_given_up(looping: Server) -> None:
    with socket.create_connection(("127.0.0.1", looping.rest_port), timeout=1.0) as client:
        client.sendall(CHUNKED.encode())
        for _ in range(60):
            client.sendall(b"1\r\n \r\n")
            with suppress(TimeoutError):
                answer = client.recv(65_536)
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    assert json.loads(body)["error"]


def test_a_body_that_unpacks_to_gigabytes_is_refused(looping: Server) -> None:
    bomb = gzip.compress(b" " * (200 << 20), 1)
    answer = httpx.post(
        f"{looping.url}:predict", content=bomb, headers={"Content-Encoding": "gzip"}, timeout=30
    )
    assert answer.status_code == 413
    assert answer.json()["error"]


def test_the_last_of_two_equal_keys_counts_or_the_body_is_refused(looping: Server) -> None:
    answer = httpx.post(f"{looping.url}:predict", content=b'{"inputs": 5, "inputs": 3}', timeout=10)
    assert answer.json() == {"outputs": 1.5} or answer.json()["error"]


def test_requests_that_come_together_are_answered_in_order_up_to_the_broken_one(
    looping: Server,
) -> None:
    body = '{"inputs": 3}'
    right = f"{POST}Content-Length: {len(body)}\r\n\r\n{body}"
    broken = f"{POST}Content-Length: 5\r\n\r\n{{{{{{{{{{"
    answer = _exchange(looping, (right + broken + right + "GARBAGE\r\n\r\n").encode())
    parts = answer.split(b"HTTP/1.1 ")[1:]
    assert [part[:3] for part in parts] == [b"200", b"400", b"200", b"400"]


@pytest.mark.parametrize("keep", ["", "Connection: keep-alive\r\n"])
def test_a_client_of_http_1_0_gets_its_answer(looping: Server, keep: str) -> None:
    body = '{"inputs": 3}'
    request = f"{POST}{keep}Content-Length: {len(body)}\r\n\r\n{body}".replace("1.1", "1.0", 1)
    answer = _exchange(looping, request.encode())
    assert b" 200 " in answer.splitlines()[0]
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"outputs": 1.5}


def _request(**changes: Any) -> PredictRequest:
    request = PredictRequest(model_spec=ModelSpec(name=MODEL))
    tensor = request.inputs["steps"]
    tensor.dtype = changes.get("dtype", 9)
    for size in changes.get("sizes", ()):
        tensor.tensor_shape.dim.add().size = size
    tensor.int64_val.extend(changes.get("values", (3,)))
    tensor.string_val.extend(changes.get("strings", ()))
    request.model_spec.signature_name = changes.get("signature", "")
    request.model_spec.version_label = changes.get("label", "")
    return request


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "no\x00such"},
        {"signature": "x" * 100_000},
        {"label": "nobody"},
        {"dtype": 77},
        {"dtype": 0},
        {"dtype": 20},
        {"dtype": 7, "strings": (b"a", b"b"), "values": (), "sizes": (3,)},
        {"dtype": 7, "strings": (b"a",) * 9, "values": (), "sizes": (2,)},
        {"sizes": (-1,)},
        {"sizes": (-(1 << 62), 4)},
        {"sizes": (1 << 62, 1 << 62)},
        {"sizes": (1,) * 300},
        {"sizes": (0,)},
        {"values": (3,) * 1_000, "sizes": (2,)},
    ],
)
def test_a_tensor_or_signature_that_cannot_be_is_refused(
    looping: Server, changes: dict[str, Any]
) -> None:
    with looping.channel() as channel, pytest.raises(grpc.RpcError) as error:
        call(channel, "Predict", _request(**changes), timeout_seconds=10)
    refused = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
    assert error.value.code().name in refused, error.value.details()


def test_a_message_that_is_no_request_is_refused(looping: Server) -> None:
    with looping.channel() as channel:
        for content in (b"\xff" * 50, b"\x0a\xff\xff\xff\xff\x0f", b"\x12" * 5_000_000):
            method = channel.unary_unary(f"/{PREDICTION}/Predict", bytes, bytes)
            with pytest.raises(grpc.RpcError):
                method(content, timeout=10)
