"""One connection of the REST API: its requests are answered by the thread that reads them.

A thread that was told that bytes have come has the connection until it gives it back to the poll,
so that a quick request needs no other thread.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from math import inf
from typing import Protocol

from serving.engines.modelserver.http_messages import Request, Response
from serving.engines.modelserver.http_parser import BodyHandler, RequestReader
from serving.engines.modelserver.log import log

_AT_ONCE = 1 << 16
_LINGER_SECONDS = 10.0
"""How long a client may go on sending after the last response: a connection that is closed with
bytes that nobody has read loses the response."""


class Handler(BodyHandler, Protocol):
    """Answers requests; called in threads."""

    def delay_seconds(self, request: Request) -> float:
        """How long a request has to wait; for tests."""

    def answer(self, request: Request) -> Response | None:
        """The response; None when `late` has answered meanwhile. Raises nothing."""

    def late(self, request: Request) -> Response | None:
        """The response to a request that took too long; None when `answer` has answered it."""

    def drop(self, request: Request) -> None:
        """Forget a request that is not answered any more."""

    def not_http(self, message: str) -> Response:
        """The response to bytes that are no request."""


class Owner(Protocol):
    """What a connection needs of its server; see `http_server`."""

    handler: Handler
    head_seconds: float
    run_seconds: float
    waiting: set[Connection]
    is_stopping: bool

    def poll_again(self, connection: Connection) -> None:
        """Have a thread attend to a connection although nothing has come."""

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""


class Connection:
    """One connection.

    Who has its `lock` may call `attend`, which releases it, and `expire`.
    """

    def __init__(self, server: Owner, client: socket.socket) -> None:
        self._server, self._handler, self._client = server, server.handler, client
        self.number = client.fileno()
        self.lock, self._giving_up = threading.Lock(), threading.Lock()
        self.until = inf
        """Monotonic time of `expire`; it counts while the connection is one of those waiting."""
        self._reader = RequestReader(
            server.handler, head_seconds=server.head_seconds, run_seconds=server.run_seconds
        )
        self._answering: Request | None = None
        self._delayed: Request | None = None
        self._unsent: memoryview | None = None
        self._lingers = self._closed = False
        self.changed = False
        """Whether the poll told of another change while a thread had the lock."""
        self.client_ended = False
        """Whether the poll told that nothing else will come: it does so once, perhaps together with
        the last bytes, and an idle connection is waited for without limit."""

    def attend(self) -> None:
        """Do what the poll has told; releases the lock.

        The poll tells of each change once. If it told another thread of one while this thread had
        the lock, this thread does that too.
        """
        while True:
            self.changed = False
            try:
                if not self._closed:
                    self._go_on()
            except OSError:  # the client has gone
                self.close()
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread goes on
                log.error("connection.failed", error=f"{type(error).__name__}: {error}"[:300])
                self.close()
            self.lock.release()
            if not self.changed or not self.lock.acquire(blocking=False):
                return

    def _go_on(self) -> None:
        if self._unsent is not None:
            if not self._send(self._unsent):
                return
            if self._lingers:
                self._end(b"")
        if self._delayed is not None:
            if time.monotonic() < self.until:
                return
            request, self._delayed = self._delayed, None
            if not self._answer(request):
                return
        while self._answer_all():
            part = self._read()
            if part is None:
                return
            if not part or (self._lingers and time.monotonic() > self.until):
                self.close()
                return
            self._reader.feed(part)
            if len(part) < _AT_ONCE and not self.client_ended:  # nothing else has come
                self._answer_all()
                return

    def _read(self) -> bytes | None:
        """What has come, empty at the end of the connection; None for nothing yet."""
        try:
            return self._client.recv(_AT_ONCE)
        except BlockingIOError:
            return None

    def _answer_all(self) -> bool:
        """Answer the requests that are whole; whether to go on reading."""
        reader = self._reader
        while reader.ready:
            request = reader.ready.popleft()
            seconds = self._handler.delay_seconds(request)
            if seconds > 0:
                self._delayed = request
                self._wait(time.monotonic() + seconds)
                return False
            if not self._answer(request):
                return False
        if self._lingers:
            return True
        if reader.error:
            log.info("request.not_http", error=reader.error[:300])
            response = self._handler.not_http(f"Malformed request: {reader.error}")
            self._end(response.content(None, keeps_alive=False))
        elif reader.receiving is not None:
            self._wait(reader.receiving.until)
            if reader.wants_continue:
                reader.wants_continue = False
                self._client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif reader.ended or self._server.is_stopping:
            self._end(b"")
        elif reader.head_until is not None:
            self._wait(reader.head_until)
        else:
            self._server.waiting.discard(self)
        return True

    def _answer(self, request: Request) -> bool:
        """Answer one request; whether its response was sent."""
        self._wait(request.until)
        self._answering = request
        response = self._handler.answer(request)
        self._answering = None
        if response is None:
            with self._giving_up:  # until the other thread has sent its response
                self.close()
            return False
        if not request.keeps_alive or self._server.is_stopping:
            return self._end(response.content(request, keeps_alive=False))
        sent = self._send(response.content(request, keeps_alive=True))
        if not sent:
            self._wait(time.monotonic() + self._server.run_seconds)
        return sent

    def _wait(self, until: float) -> None:
        """Have `expire` called then."""
        self.until = until
        self._server.waiting.add(self)

    def _send(self, content: bytes | memoryview) -> bool:
        """Send what can be sent; whether that is all."""
        try:
            sent = self._client.send(content)
        except BlockingIOError:
            sent = 0
        self._unsent = None if sent == len(content) else memoryview(content)[sent:]
        return self._unsent is None

    def _end(self, content: bytes) -> bool:
        """Send the last bytes, and wait until the client closes the connection."""
        self._lingers = self._reader.ended = True
        self._drop_all()
        if content and not self._send(content):
            self._wait(time.monotonic() + self._server.run_seconds)
            return False
        self._client.shutdown(socket.SHUT_WR)
        self._wait(time.monotonic() + _LINGER_SECONDS)
        return True

    # the watching thread calls these -----------------------------------------------------------

    def expire(self) -> None:
        """What had to come or to be sent until now did not; a delayed request is answered."""
        reader = self._reader
        waits = self in self._server.waiting
        if self._closed or not waits or self.until > time.monotonic():
            return
        if self._delayed is not None:
            self._server.poll_again(self)
            return
        request = reader.receiving
        with suppress(OSError):  # the client has gone
            if request is not None and (response := self._handler.late(request)) is not None:
                self._end(response.content(request, keeps_alive=False))
                return
        if reader.head_until is not None:
            log.info("connection.half_sent")
        self.close()

    def give_up(self) -> None:
        """Answer the request that is being computed by another thread, if it is too late."""
        request = self._answering
        if request is None or time.monotonic() < request.until:
            return
        with self._giving_up:
            response = self._handler.late(request)
            if response is None:
                return
            with suppress(OSError):  # the client has gone
                self._client.send(response.content(request, keeps_alive=False))
                self._client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        if not self._closed:
            self._closed = True
            self._server.forget(self)
            self._drop_all()
            self._reader.close()
            self._client.close()

    def close_if_idle(self) -> None:
        """Close the connection if it has no request, neither a part of one."""
        reader, busy = self._reader, self._delayed is not None or self._unsent is not None
        if self._closed or busy or reader.ready or reader.receiving is not None:
            return
        try:
            self._client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            self.close()  # else a thread will see what has come
        except OSError:
            self.close()

    def _drop_all(self) -> None:
        """Forget the requests that will not be answered."""
        reader = self._reader
        for request in (*reader.ready, reader.receiving, self._delayed):
            if request is not None:
                self._handler.drop(request)
        reader.ready.clear()
        reader.receiving = self._delayed = None
