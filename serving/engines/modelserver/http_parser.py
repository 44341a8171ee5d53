"""Parses the bytes of one connection to requests, with llhttp (of ``httptools``).

The size of a head is limited here, and that of a body by the handler, which sees each part of it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from serving.engines.modelserver.codes import Refused
from serving.engines.modelserver.http_messages import Request

MAX_LINE = 8_190
"""Longest path, and longest name or value of a header."""
MAX_HEADERS = 128
MAX_HEAD = 1 << 16


class BodyHandler(Protocol):
    """Decides what happens to a body; called in threads."""

    def begin(self, request: Request) -> None:
        """Called with the head; raises `Refused` to refuse the body."""

    def add(self, request: Request, part: bytes) -> None:
        """Add a part of the body, or raise `Refused`."""


class RequestReader:
    """The requests of one connection.

    Parameters
    ----------
    handler:
        Takes the bodies.
    head_seconds:
        Longest time between the first byte of a head and its last one.
    run_seconds:
        Longest time between the end of the head and the response.
    """

    def __init__(self, handler: BodyHandler, *, head_seconds: float, run_seconds: float) -> None:
        self._handler, self._head_seconds, self._run_seconds = handler, head_seconds, run_seconds
        self.ready: deque[Request] = deque()
        """Requests that are whole, or refused."""
        self.receiving: Request | None = None
        """The request whose body is not whole yet."""
        self.head_until: float | None = None
        """When a head that is not whole yet must be whole; None without one."""
        self.error = ""
        """Why the bytes are no request; nothing is parsed after them."""
        self.ended = False
        """Whether no further request is read."""
        self.wants_continue = False
        """Whether the client waits for "100 Continue" before it sends the body."""
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._path, self._headers, self._count, self._head_bytes = b"", {}, 0, 0  # type: tuple[bytes, dict[bytes, bytes], int, int]

    def feed(self, part: bytes) -> None:
        """Parse bytes."""
        if self.ended or self.error or self._parser is None:
            return
        try:
            self._parser.feed_data(part)
        except HttpParserUpgrade:  # no other protocol is spoken here
            self.ended = True
        except HttpParserError as error:
            self.error = str(error.__context__ or error)
        if self.head_until is not None:
            self._head_bytes += len(part)
            if self._head_bytes > MAX_HEAD:
                self.error = f"A head of more than {MAX_HEAD:,} bytes."

    def close(self) -> None:
        """Free the parser, which refers to this object."""
        self._parser = None

    # the parser calls these ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self.head_until = time.monotonic() + self._head_seconds
        self._path, self._headers, self._count, self._head_bytes = b"", {}, 0, 0

    def on_url(self, part: bytes) -> None:
        """A part of the path.

        Raises
        ------
        ValueError
            When it is too long.
        """
        self._path += part
        if len(self._path) > MAX_LINE:
            raise ValueError(f"The path has more than {MAX_LINE:,} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer of a body.

        Raises
        ------
        ValueError
            When it is too long, or there are too many.
        """
        self._count += 1
        if self._count > MAX_HEADERS or len(name) > MAX_LINE or len(value) > MAX_LINE:
            raise ValueError(
                f"More than {MAX_HEADERS} headers, or one of more than {MAX_LINE:,} bytes."
            )
        if self.head_until is not None:
            self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        assert self._parser is not None
        self.head_until = None
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=self._path.decode("utf-8", "surrogateescape"),
            headers=self._headers,
            until=time.monotonic() + self._run_seconds,
            started_ns=time.perf_counter_ns(),
        )
        self.receiving = request
        if b"connection" in self._headers or b"expect" in self._headers:
            request.is_old = self._parser.get_http_version() == "1.0"
        try:
            self._handler.begin(request)
        except Refused as refused:
            self._refuse(request, refused)
            return
        expected = self._headers.get(b"expect", b"").lower() == b"100-continue"
        self.wants_continue = expected and not request.is_old

    def on_body(self, part: bytes) -> None:
        """A part of a body."""
        request = self.receiving
        if request is not None:
            try:
                self._handler.add(request, part)
            except Refused as refused:
                self._refuse(request, refused)

    def on_message_complete(self) -> None:
        """The request is whole."""
        assert self._parser is not None
        request, self.receiving, self.wants_continue = self.receiving, None, False
        if request is not None:
            request.keeps_alive = self._parser.should_keep_alive()
            self.ready.append(request)

    def _refuse(self, request: Request, refused: Refused) -> None:
        """Answer without the rest of the body, which ends the connection."""
        request.refused, self.receiving, self.ended = refused, None, True
        self.ready.append(request)
