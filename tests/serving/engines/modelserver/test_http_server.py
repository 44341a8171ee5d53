"""The HTTP server on real sockets, with a handler whose time the tests decide."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from serving.engines.modelserver import http_connection, http_parser
from serving.engines.modelserver import http_server as module
from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.http_messages import Request, Response
from serving.engines.modelserver.http_server import HttpServer
from tests.free_ports import free_port
from tests.waiting import wait_for

MAX_BODY = 1 << 20
HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\n"


class Echo:
    """Answers with the body; the path tells what else it does."""

    def __init__(self) -> None:
        self.held: set[Request] = set()
        self.go_on = threading.Event()
        self.running = 0
        self.delayed = 0.0

    def begin(self, request: Request) -> None:
        request.keeps_body = True
        self.held.add(request)

    def add(self, request: Request, part: bytes) -> None:
        request.body += part
        if len(request.body) > MAX_BODY:
            raise Refused(Code.RESOURCE_EXHAUSTED, "too large")

    def drop(self, request: Request) -> None:
        self.held.discard(request)

    def delay_seconds(self, request: Request) -> float:
        return self.delayed

    def answer(self, request: Request) -> Response | None:
        content = bytes(request.body)
        if request.path == "/wait":
            self.running += 1
            self.go_on.wait(20)
        elif request.path == "/raise":
            raise ZeroDivisionError
        elif request.path == "/large":
            content = b"x" * (20 << 20)
        self.drop(request)
        status = 413 if request.refused is not None else 200
        return Response(status, content, "text/plain") if request.claim() else None

    def late(self, request: Request) -> Response | None:
        self.drop(request)
        return Response(504, b"late") if request.claim() else None

    def not_http(self, message: str) -> Response:
        return Response(400, message.encode())


@contextmanager
def _served(**seconds: float) -> Iterator[tuple[HttpServer, Echo, int]]:
    handler, port = Echo(), free_port()
    limits = {"head_seconds": 20.0, "run_seconds": 20.0} | seconds
    server = HttpServer(handler, "127.0.0.1", port, quick=2, **limits)
    server.start()
    try:
        yield server, handler, port
    finally:
        handler.go_on.set()
        server.stop(5)
    wait_for(lambda: not handler.held)


@pytest.fixture
def served() -> Iterator[tuple[HttpServer, Echo, int]]:
    with _served() as server:
        yield server


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def _post(path: bytes, body: bytes, more: bytes = b"") -> bytes:
    return HEAD % path + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _response(client: socket.socket) -> tuple[int, bytes, bytes]:
    """Status, head and body of one response; nothing that follows is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, head
        head += byte
    size = next(int(li.split(b":")[1]) for li in head.split(b"\r\n") if b"Content-Length" in li)
    body = b""
    while len(body) < size:
        body += client.recv(size - len(body))
    return int(head.split(b" ")[1]), head, body


def _exchange(port: int, content: bytes) -> bytes:
    """Everything until the server closes the connection."""
    with _connect(port) as client:
        client.sendall(content)
        received = b""
        while part := client.recv(65_536):
            received += part
    return received


def test_requests_of_one_connection_are_answered_in_order(
    served: tuple[HttpServer, Echo, int],
) -> None:
    with _connect(served[2]) as client:
        client.sendall(b"".join(_post(b"/", b"%d" % number) for number in range(300)))
        assert [_response(client)[2] for _ in range(300)] == [b"%d" % n for n in range(300)]
        for byte in _post(b"/", b"slowly"):
            client.sendall(bytes((byte,)))
        assert _response(client)[2] == b"slowly"


def test_a_chunked_body_and_a_large_one_are_whole(served: tuple[HttpServer, Echo, int]) -> None:
    with _connect(served[2]) as client:
        chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\ntrailer: x\r\n\r\n"
        client.sendall(HEAD % b"/" + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert _response(client)[2] == b"abcde"
        client.sendall(_post(b"/", b"y" * MAX_BODY))
        assert _response(client)[2] == b"y" * MAX_BODY


def test_a_client_that_reads_slowly_gets_everything(served: tuple[HttpServer, Echo, int]) -> None:
    with _connect(served[2]) as slow, _connect(served[2]) as quick:
        slow.sendall(_post(b"/large", b"") + _post(b"/", b"next"))
        for _ in range(20):
            quick.sendall(_post(b"/", b"q"))
            assert _response(quick)[2] == b"q"
        assert len(_response(slow)[2]) == 20 << 20
        assert _response(slow)[2] == b"next"


@pytest.mark.parametrize(
    ("head", "closes", "word"),
    [
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", True, b"Connection: close"),
        (b"GET / HTTP/1.0\r\n\r\n", True, b"Connection: close"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False, b"Connection: keep-alive"),
        (b"GET / HTTP/1.1\r\n\r\n", False, b"200 OK"),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", True, b"200 OK"),
    ],
)
def test_a_connection_stays_open_as_its_client_says(
    served: tuple[HttpServer, Echo, int], head: bytes, closes: bool, word: bytes
) -> None:
    with _connect(served[2]) as client:
        client.sendall(head)
        status, received, _ = _response(client)
        assert (status, word in received) == (200, True), received
        if closes:
            assert client.recv(1) == b""
        else:
            client.sendall(_post(b"/", b"again"))
            assert _response(client)[2] == b"again"


def test_a_connection_that_its_client_has_half_closed_is_closed_after_the_response(
    served: tuple[HttpServer, Echo, int],
) -> None:
    """The request and the end of the connection come together: the poll tells of both at once."""
    for size in [1, 10, 100, 40_000] * 5:
        with _connect(served[2]) as client:
            client.sendall(_post(b"/", b"x" * size))
            client.shutdown(socket.SHUT_WR)
            assert _response(client)[0] == 200
            assert client.recv(1) == b""


def test_a_head_request_has_no_body(served: tuple[HttpServer, Echo, int]) -> None:
    with _connect(served[2]) as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab" + _post(b"/", b"next"))
        content = b""
        while not content.endswith(b"next"):
            content += client.recv(65_536)
    assert b"Content-Length: 2\r\n" in content
    assert content.count(b"\r\n\r\n") == 2
    assert content.split(b"\r\n\r\n")[1].startswith(b"HTTP/1.1 200")


def test_a_client_that_waits_for_it_is_told_to_send_its_body(
    served: tuple[HttpServer, Echo, int],
) -> None:
    with _connect(served[2]) as client:
        client.sendall(HEAD % b"/" + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert _response(client)[2] == b"abc"


def test_a_refused_body_is_answered_although_its_client_goes_on_sending(
    served: tuple[HttpServer, Echo, int],
) -> None:
    with _connect(served[2]) as client:
        client.sendall(HEAD % b"/" + b"Content-Length: 50000000\r\n\r\n")
        for _ in range(100):
            client.sendall(b"z" * 100_000)  # all of it is read, so that the response is not lost
        assert _response(client)[0] == 413
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * http_parser.MAX_HEADERS + b"c: d\r\n\r\n", "head"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * http_parser.MAX_HEAD * 3, "head"),
        (b"GET /" + b"a" * http_parser.MAX_LINE, "path"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Malformed"),
    ],
)
def test_a_head_is_limited_and_correct(
    served: tuple[HttpServer, Echo, int], content: bytes, text: str
) -> None:
    received = _exchange(served[2], content)
    assert received.startswith(b"HTTP/1.1 400")
    assert text.encode() in received


def test_what_precedes_broken_bytes_is_answered(served: tuple[HttpServer, Echo, int]) -> None:
    received = _exchange(served[2], _post(b"/", b"good") + b"\x16\x03\x01\r\n\r\n")
    assert received.count(b"HTTP/1.1 200") == 1
    assert received.count(b"HTTP/1.1 400") == 1


def test_slow_requests_hold_up_nobody(served: tuple[HttpServer, Echo, int]) -> None:
    server, handler, port = served
    slow = [_connect(port) for _ in range(12)]
    for client in slow:
        client.sendall(_post(b"/wait", b"slow"))
    with _connect(port) as quick:
        times = []
        while server.slow_runs < 12 or handler.running < 12:
            began = time.monotonic()
            quick.sendall(_post(b"/", b"quick"))
            assert _response(quick)[2] == b"quick"
            times.append(time.monotonic() - began)
        handler.go_on.set()
    assert [_response(client)[2] for client in slow] == [b"slow"] * 12
    for client in slow:
        client.close()
    wait_for(lambda: sum(t.name == "rest" for t in threading.enumerate()) == 2)


def test_a_request_that_takes_too_long_is_answered_in_time() -> None:
    with _served(run_seconds=0.3) as (_, handler, port):
        with _connect(port) as client:
            client.sendall(_post(b"/wait", b""))
            assert _response(client)[0] == 504
            assert client.recv(1) == b""
        assert handler.running == 1  # it still runs
        handler.go_on.set()
        assert _exchange(port, _post(b"/", b"a", b"Connection: close\r\n")).endswith(b"a")


def test_half_a_body_is_refused_and_half_a_head_closed() -> None:
    with _served(run_seconds=0.3, head_seconds=0.3) as (server, _, port):
        assert _exchange(port, _post(b"/", b"abc")[:-1]).startswith(b"HTTP/1.1 504")
        assert _exchange(port, _post(b"/", b"abc")[:9]) == b""
        with _connect(port) as client:
            assert _bytes_until_closed(client) < 1_000  # each byte does not give it more time
        assert not server.waiting


def _bytes_until_closed(client: socket.socket) -> int:
    """Send a path byte by byte until the server closes the connection; the number of bytes."""
    client.sendall(b"GET /")
    client.settimeout(0.02)
    for sent in range(1_000):
        try:
            if client.recv(1) == b"":
                return sent
        except ConnectionResetError:  # it was closed between two bytes
            return sent
        except TimeoutError:
            with suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(b"a")
    return 1_000


def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "_LINGER_SECONDS", 0.2)
    with _served(run_seconds=0.3) as (server, _, port), _connect(port) as client:
        client.sendall(_post(b"/large", b""))
        wait_for(lambda: bool(server.waiting))
        wait_for(lambda: not server._connections)


def test_a_delayed_request_needs_no_thread(served: tuple[HttpServer, Echo, int]) -> None:
    server, handler, port = served
    handler.delayed = 0.3
    clients = [_connect(port) for _ in range(30)]
    began = time.monotonic()
    for client in clients:
        client.sendall(_post(b"/", b"late"))
    assert [_response(client)[2] for client in clients] == [b"late"] * 30
    assert time.monotonic() - began >= 0.3
    assert server.slow_runs == 0
    for client in clients:
        client.close()


def test_a_handler_that_fails_ends_only_its_connection(
    served: tuple[HttpServer, Echo, int],
) -> None:
    for _ in range(4):
        assert _exchange(served[2], _post(b"/raise", b"")) == b""
    assert _exchange(served[2], _post(b"/", b"a", b"Connection: close\r\n")).endswith(b"a")
    served[1].held.clear()


def test_a_stop_waits_for_running_requests_and_closes_idle_connections() -> None:
    with _served() as (server, handler, port), _connect(port) as idle, _connect(port) as busy:
        busy.sendall(_post(b"/wait", b"last"))
        wait_for(lambda: handler.running == 1)
        stopping = threading.Thread(target=server.stop, args=(20,))
        stopping.start()
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            _connect(port)
        handler.go_on.set()
        status, head, body = _response(busy)
        assert (status, body) == (200, b"last")
        assert b"Connection: close" in head
        busy.close()
        stopping.join(timeout=20)
        assert not stopping.is_alive()
    wait_for(lambda: not any(thread.name == "rest" for thread in threading.enumerate()))


def test_connections_are_accepted_again_after_too_many_open_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.1)
    with _served() as (server, _, port):
        failures = [OSError(errno.EMFILE, "Too many open files")] * 3
        add = server._add

        def limited(client: socket.socket) -> None:
            add(client)
            if failures:
                raise failures.pop()

        monkeypatch.setattr(server, "_add", limited)
        for _ in range(5):
            assert _exchange(port, _post(b"/", b"a", b"Connection: close\r\n")).endswith(b"a")


def test_a_port_in_use_is_refused(served: tuple[HttpServer, Echo, int]) -> None:
    with pytest.raises(OSError, match="in use"):
        HttpServer(Echo(), "127.0.0.1", served[2], quick=1, run_seconds=1)
