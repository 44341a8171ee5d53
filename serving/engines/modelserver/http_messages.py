"""Requests and responses of the REST API's server."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

from serving.engines.modelserver.codes import Refused

_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_LINES[499] = b"HTTP/1.1 499 Client Closed Request\r\n"


@dataclass(slots=True, eq=False)
class Request:
    """One request; its body grows while it is received."""

    method: str
    path: str
    """The path as sent, with its query."""
    headers: dict[bytes, bytes]
    """The first value of each header by its name in lower case."""
    until: float
    """Monotonic time at which it must have been answered."""
    started_ns: int
    """When its head was whole; of ``time.perf_counter_ns``."""
    keeps_body: bool = False
    """Whether the body is of use."""
    received: int = 0
    """Bytes of the body so far."""
    body: bytearray = field(default_factory=bytearray)
    refused: Refused | None = None
    """Why the rest of the body is not read."""
    keeps_alive: bool = False
    """Whether the connection stays open after the response."""
    is_old: bool = False
    """Whether its client speaks HTTP/1.0."""
    _unanswered: list[None] = field(default_factory=lambda: [None])

    def header(self, name: bytes) -> str:
        """The first value of a header, empty without it."""
        return self.headers.get(name, b"").decode("latin-1")

    def claim(self) -> bool:
        """Whether the caller may answer: one thread only, whichever comes first."""
        try:
            self._unanswered.pop()  # of two threads, only one succeeds
        except IndexError:
            return False
        return True


@dataclass(slots=True, frozen=True)
class Response:
    """One response."""

    status: int
    body: bytes
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def content(self, request: Request | None, *, keeps_alive: bool) -> bytes:
        """The bytes to send; to bytes that were no request without a `request`."""
        connection = "" if keeps_alive else "Connection: close\r\n"
        if keeps_alive and request is not None and request.is_old:
            connection = "Connection: keep-alive\r\n"
        kind = f"Content-Type: {self.content_type}\r\n" if self.content_type else ""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = f"{kind}Content-Length: {len(self.body)}\r\nDate: {_date()}\r\n{connection}{more}"
        line = _LINES.get(self.status) or f"HTTP/1.1 {self.status} Unknown\r\n".encode()
        body = b"" if request is not None and request.method == "HEAD" else self.body
        return b"".join((line, head.encode("latin-1", "replace"), b"\r\n", body))


_last_date = (0, "")


def _date() -> str:
    """The time of the Date header, formatted once a second."""
    global _last_date  # noqa: PLW0603 - one tuple is replaced, which is safe between threads
    second = int(time.time())
    if _last_date[0] != second:
        _last_date = (second, formatdate(second, usegmt=True))
    return _last_date[1]
