"""Whether a server answers a request, in its own protocol.

A connection proves nothing: the kernel accepts it for a stopped process too. Each function here
sends the smallest request that the process itself must answer, and waits a short time for it.
"""

from __future__ import annotations

import http.client
import socket
import struct
import time

TIMEOUT_SECONDS = 2.0
GET_JOBS = "/org.apache.beam.model.job_management.v1.JobService/GetJobs"
"""Beam's job server lists its jobs."""
STOP_WORKER = "/org.apache.beam.model.fn_execution.v1.BeamFnExternalWorkerPool/StopWorker"
"""A pool of Python workers stops the worker without a name: there is none."""
_NO_ERROR = 0
_API_VERSIONS = 18
_CORRELATION = 0x0D21F7
_DATA, _HEADERS, _RESET, _SETTINGS = 0, 1, 3, 4
_END_STREAM, _END_HEADERS = 1, 4


def listening(host: str, port: int, *, seconds: float = TIMEOUT_SECONDS) -> bool:
    """Whether something holds the port; a stopped process does too."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except OSError:
        return False


def http_text(
    host: str, port: int, path: str, *, seconds: float = TIMEOUT_SECONDS
) -> tuple[int, str] | None:
    """Status and text of the answer to a GET; None when there is no answer in time."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def kafka_answers(host: str, port: int, *, seconds: float = TIMEOUT_SECONDS) -> bool:
    """Whether a broker answers an ApiVersions request (version 0, which every broker knows)."""
    head = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, -1)  # -1: no client id
    try:
        with _Connection(host, port, seconds) as broker:
            broker.send(struct.pack(">i", len(head)) + head)
            _length, correlation, error = struct.unpack(">iih", broker.receive(10))
    except (OSError, EOFError):
        return False
    return bool(correlation == _CORRELATION and error == _NO_ERROR)


def grpc_answers(host: str, port: int, method: str, *, seconds: float = TIMEOUT_SECONDS) -> bool:
    """Whether a gRPC server responds to a call of `method` with an empty message.

    Any response counts, an error too: the server has read the call and handled it. The frames are
    written by hand (RFC 9113, RFC 7541) because this runs every few seconds in the supervisor,
    where a gRPC channel would cost more threads and memory than everything else.

    Parameters
    ----------
    method:
        ``/package.Service/Method``; shorter than 127 characters.
    """
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = (
        b"\x83\x86"  # :method POST, :scheme http
        + b"\x04" + _text(method)  # :path
        + b"\x01" + _text(authority)  # :authority
        + b"\x0f\x10" + _text("application/grpc")  # content-type
        + b"\x00" + _text("te") + _text("trailers")
    )  # fmt: skip
    request = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, bytes(5))  # an empty message: not compressed, no bytes
    )
    try:
        with _Connection(host, port, seconds) as server:
            server.send(request)
            while True:
                head = server.receive(9)
                kind, stream = head[3], int.from_bytes(head[5:9], "big")
                server.receive(int.from_bytes(head[:3], "big"))
                if stream == 1 and kind in (_HEADERS, _RESET):
                    return True
    except (OSError, EOFError):
        return False


def _text(value: str) -> bytes:
    """A string literal of HPACK without Huffman coding, shorter than 127 characters."""
    return bytes([len(value)]) + value.encode("ascii")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    length = len(payload).to_bytes(3, "big")
    return length + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class _Connection:
    """A TCP connection whose whole exchange takes at most `seconds`."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._socket = socket.create_connection((host, port), timeout=seconds)

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, content: bytes) -> None:
        """Send all of it; raises `OSError`."""
        self._limit()
        self._socket.sendall(content)

    def receive(self, count: int) -> bytes:
        """Exactly `count` bytes; raises `OSError`, or `EOFError` when the server closes."""
        content = b""
        while len(content) < count:
            self._limit()
            part = self._socket.recv(count - len(content))
            if not part:
                raise EOFError
            content += part
        return content

    def _limit(self) -> None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)
