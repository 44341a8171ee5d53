"""A real HTTP server on 127.0.0.1 that answers, hangs, dribbles or breaks off."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal

Behaviour = Literal["normal", "hangs", "dribbles-headers", "dribbles-body", "breaks-off", "rubbish"]

EMPTY = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()


class HungServer:
    """Serves each connection in a thread; `requests` counts what was asked."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = "normal"
        self.body = EMPTY
        self.requests = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while whole_request(stream):
                    with self._lock:
                        self.requests += 1
                    if not self._answer(connection):
                        return
            except OSError:
                return

    def _answer(self, connection: socket.socket) -> bool:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        whole = head + b"content-length: %d\r\n\r\n" % len(self.body) + self.body
        behaviour = self.behaviour
        if behaviour == "normal":
            connection.sendall(whole)
            return True
        if behaviour == "rubbish":
            connection.sendall(head + b"content-length: 9\r\n\r\n<html>no")
            return False
        if behaviour == "breaks-off":
            connection.sendall(head + b"content-length: 1000\r\n\r\n{")
            return False
        text = head + b"x: " if behaviour == "dribbles-headers" else head + b"\r\n"
        if behaviour != "hangs":
            connection.sendall(text)
        while not self._closed.wait(0.05):
            if behaviour != "hangs":
                connection.sendall(b" ")
        return False


def whole_request(stream: BinaryIO) -> bool:
    """Read the next request with its body; False at the end of the connection."""
    length = 0
    while (line := stream.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return bool(line) and len(stream.read(length)) == length


@contextmanager
def hung_server() -> Iterator[HungServer]:
    server = HungServer()
    try:
        yield server
    finally:
        server.close()
