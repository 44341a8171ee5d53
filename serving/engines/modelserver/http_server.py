"""aiohttp's server with JSON errors and without connections that never finish a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from serving.engines.modelserver.log import log

HEAD_SECONDS = 30.0
"""A connection that has not sent the whole head of its request by then is closed."""

ErrorResponse = Callable[[int, str], web.Response]


class HttpServer(web.Server):
    """Serves one handler; `error_response` makes the response to bytes that are no request."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        request_factory: Callable[..., web.BaseRequest],
        error_response: ErrorResponse,
        *,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        super().__init__(handler, request_factory=request_factory)
        self.error_response = error_response
        self.head_seconds = head_seconds

    def __call__(self) -> RequestHandler:
        """The protocol of one connection."""
        return _Connection(self, loop=self._loop)


class _Connection(RequestHandler):
    """One connection."""

    __slots__ = ("_error_response", "_half_sent", "_head_seconds")

    def __init__(self, server: HttpServer, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,  # `gzip_body` does it, outside the event loop
        )
        self._error_response = server.error_response
        self._head_seconds = server.head_seconds
        self._half_sent: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Parse bytes; the head of a request must be whole within `HEAD_SECONDS`."""
        super().data_received(data)
        if self._waiter is not None and not self._waiter.done():  # it still waits for a head
            if self._half_sent is None:
                self._half_sent = self._loop.call_later(self._head_seconds, self._close_half_sent)
        else:
            self._stop_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._half_sent is not None:
            self._half_sent.cancel()
            self._half_sent = None

    def _close_half_sent(self) -> None:
        log.info("connection.half_sent", peer=str(self.peername))
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to bytes that are no request, or to a failed handler; closes the
        connection.

        Raises
        ------
        ConnectionError
            When part of a response has been sent.
        """
        log.info("request.not_http", status=status, error=f"{type(exc).__name__}: {exc}"[:300])
        if request.writer is not None and request.writer.output_size > 0:
            raise ConnectionError("Part of the response has been sent.")
        response = self._error_response(status, f"Malformed request: {message or exc}")
        response.force_close()
        return response
