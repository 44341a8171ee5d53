"""A server answers, or it does not: also one that the kernel accepts connections for."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest

from deploy.app import answers
from tests.deploy.cli.doubles import http_server
from tests.waiting import undelayed_seconds

HOST = "127.0.0.1"


@contextmanager
def talking(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that handles one connection; gives its port."""
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):  # the client may hang up first
                handle(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]


def versions(error: int = 0, correlation_change: int = 0) -> Callable[[socket.socket], None]:
    """A broker that answers a request for its versions."""

    def handle(connection: socket.socket) -> None:
        head = connection.recv(14)
        assert struct.unpack(">ihh", head[:8]) == (10, 18, 0)
        (correlation,) = struct.unpack(">i", head[8:12])
        body = struct.pack(">ih", correlation + correlation_change, error) + bytes(4)
        connection.sendall(struct.pack(">i", len(body)) + body)

    return handle


def test_a_broker_that_answers_is_heard() -> None:
    with talking(versions()) as port:
        assert answers.kafka_answers(HOST, port)


@pytest.mark.parametrize(
    "handle",
    [
        versions(error=35),
        versions(correlation_change=1),
        lambda connection: connection.recv(14) and connection.sendall(b"HTTP/1.1 400 Bad\r\n"),
        lambda connection: connection.recv(14) and connection.sendall(b"\0\0"),
        lambda connection: None,
        lambda connection: time.sleep(1.0),
    ],
    ids=["error", "another answer", "another protocol", "cut off", "closes", "silent"],
)
def test_anything_else_is_no_answer(handle: Callable[[socket.socket], None]) -> None:
    with talking(handle) as port:
        assert not answers.kafka_answers(HOST, port, seconds=0.5)


def test_an_answer_that_drips_is_cut_off_in_time() -> None:
    def drip(connection: socket.socket) -> None:
        for _ in range(100):
            connection.sendall(b"\0")
            time.sleep(0.1)

    began = undelayed_seconds()
    with talking(drip) as port:
        assert not answers.grpc_answers(HOST, port, "/a.B/C", seconds=0.5)
    assert undelayed_seconds() - began < 2.0


class Service(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Knows one method."""

    def __init__(self) -> None:
        self.called: list[bytes] = []

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if details.method != "/a.B/Known":
            return None
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, request: bytes, context: object) -> bytes:
        self.called.append(request)
        return b""


@pytest.mark.parametrize("method", ["/a.B/Known", "/a.B/Unknown"])
def test_a_grpc_server_is_heard_and_reads_an_empty_message(method: str) -> None:
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[service])
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        assert answers.grpc_answers(HOST, port, method)
    finally:
        server.stop(0).wait()
    assert service.called == ([b""] if method.endswith("/Known") else [])


def test_a_listener_that_never_reads_is_only_listening() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert answers.listening(HOST, port)
        assert not answers.kafka_answers(HOST, port, seconds=0.3)
        assert not answers.grpc_answers(HOST, port, "/a.B/C", seconds=0.3)
        assert answers.http_text(HOST, port, "/", seconds=0.3) is None


def test_nobody_there_is_no_answer() -> None:
    for answer in (
        answers.listening(HOST, 1),
        answers.kafka_answers(HOST, 1),
        answers.grpc_answers(HOST, 1, "/a.B/C"),
        answers.http_text(HOST, 1, "/") is not None,
        answers.kafka_answers("no-such-host.invalid", 1),
    ):
        assert answer is False


def test_status_and_text_are_told() -> None:
    with http_server(lambda *_: (503, {"a": 1})) as url:
        port = int(url.rpartition(":")[2])
        assert answers.http_text(HOST, port, "/x") == (503, '{"a": 1}')


def test_a_stopped_process_still_listens_and_does_not_answer() -> None:
    code = (
        "import http.server as h; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler);"
    )
    code += "print(s.server_port, flush=True); s.serve_forever()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert answers.http_text(HOST, port, "/") is not None
        os.kill(process.pid, signal.SIGSTOP)
        assert answers.listening(HOST, port)
        assert answers.http_text(HOST, port, "/", seconds=0.5) is None
        os.kill(process.pid, signal.SIGCONT)
        assert answers.http_text(HOST, port, "/") is not None
    finally:
        process.kill()
        process.communicate()
