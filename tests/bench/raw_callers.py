"""Callers of a model server that cost next to nothing: prepared bytes on a plain socket.

Server and client share the processors in `tests.bench.modelserver`. A client of grpc in Python
costs as much as the server does, and the rate would be the client's.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY = 0, 1, 4, 6, 7
_END_STREAM = _ACK = 1
_END_HEADERS = 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WINDOW = struct.pack(">I", (1 << 31) - 1 - 65_535)  # never to be renewed while a bench runs


class RestCaller:
    """Sends the same request again and again over HTTP/1.1.

    Parameters
    ----------
    port:
        The REST port on this machine.
    path:
        The path of the request.
    body:
        Its body.
    """

    def __init__(self, port: int, path: str, body: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body
        self._connection = _connected(port)

    def __call__(self) -> None:
        """One request, until its response is whole.

        Raises
        ------
        RuntimeError
            When the response is no success.
        """
        self._connection.sendall(self._request)
        response = self._connection.recv(65_536)
        if not response.startswith(b"HTTP/1.1 200") or not response.endswith(b"}"):
            raise RuntimeError(response.decode())


class GrpcCaller:
    """Sends the same unary call again and again over HTTP/2, one at a time.

    Parameters
    ----------
    port:
        The gRPC port on this machine.
    method:
        The full name of the method, ``/package.Service/Method``.
    message:
        The serialized request.
    """

    def __init__(self, port: int, method: str, message: bytes) -> None:
        self._connection = _connected(port)
        self._buffer = b""
        self._stream = -1
        headers = b"".join(
            _literal(name, value)
            for name, value in (
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", method.encode()),
                (b":authority", b"bench"),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
            )
        )
        self._headers = headers
        self._message = b"\0" + struct.pack(">I", len(message)) + message
        settings, window = _frame(_SETTINGS, 0, 0, b""), _frame(8, 0, 0, _WINDOW)
        self._connection.sendall(_PREFACE + settings + window)

    def __call__(self) -> None:
        """One call, until its status has come.

        Raises
        ------
        RuntimeError
            When the call has no response message.
        """
        self._stream += 2
        self._connection.sendall(
            _frame(_HEADERS, _END_HEADERS, self._stream, self._headers)
            + _frame(_DATA, _END_STREAM, self._stream, self._message)
        )
        size = 0
        for kind, flags, content in self._frames():
            if kind == _DATA:
                size += len(content)
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                break
        if size <= 5:  # an error has a status, and no message
            raise RuntimeError("The call was refused.")

    def _frames(self) -> Iterator[tuple[int, int, bytes]]:
        """Frames of the server; settings and pings are acknowledged."""
        while True:
            while len(self._buffer) < 9 or len(self._buffer) < 9 + self._size():
                part = self._connection.recv(65_536)
                if not part:
                    raise RuntimeError("The server closed the connection.")
                self._buffer += part
            size, kind, flags = self._size(), self._buffer[3], self._buffer[4]
            content, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                reply = content if kind == _PING else b""
                self._connection.sendall(_frame(kind, _ACK, 0, reply))
            elif kind == _GOAWAY:
                raise RuntimeError(f"The server ends the connection: {content!r}")
            else:
                yield kind, flags, content

    def _size(self) -> int:
        return int.from_bytes(self._buffer[:3], "big")


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field that no table is needed for (RFC 7541, 6.2.2)."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value
