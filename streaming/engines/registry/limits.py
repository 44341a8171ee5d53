"""Bounds on what a registry answers, so that a broken one costs a reader neither memory nor time.

The library's client reads an answer whole, whatever its length, and its timeout counts from one
byte to the next.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any


class TooLong(Exception):
    """An answer of more bytes than a schema may have, or a compressed one, which may have more."""


class TooSlow(Exception):
    """An answer, or all answers that one schema needs, that did not come in time."""


class AnswerLimits:
    """Limits of all requests of an HTTP session.

    Parameters
    ----------
    largest:
        Bytes of an answer.
    seconds:
        Longest time from a request to the last byte of its answer.
    """

    def __init__(self, largest: int, seconds: float) -> None:
        self._largest, self._seconds = largest, seconds
        self._until = self._answer_until = float("inf")

    def begin(self, seconds: float) -> None:
        """Give all requests from now on, until the next call, this time together."""
        self._until = time.monotonic() + seconds

    def attach(self, session: Any) -> None:
        """Apply them to an HTTPX session."""
        session.event_hooks = {"request": [self._before], "response": [self._after]}

    def _before(self, request: Any) -> None:
        now = time.monotonic()
        if now > self._until:
            raise TooSlow("the answers for one schema take too long")
        self._answer_until = min(self._until, now + self._seconds)
        request.headers["Accept-Encoding"] = "identity"

    def _after(self, response: Any) -> None:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise TooLong(f"an answer that is compressed ({encoding[:20]}), against the request")
        library = sys.modules[type(response).__module__.partition(".")[0]]
        response.stream = _bounded(library.SyncByteStream)(response.stream, self)

    def checked(self, chunks: Any) -> Iterator[bytes]:
        """The parts of an answer; raises when they are too many, or come too late."""
        read = 0
        for chunk in chunks:
            read += len(chunk)
            if read > self._largest:
                raise TooLong(f"an answer of more than {self._largest} bytes")
            if time.monotonic() > self._answer_until:
                raise TooSlow("an answer takes too long")
            yield chunk


@lru_cache
def _bounded(base: Any) -> Any:
    """A byte stream of an HTTP library with limits."""

    class Bounded(base):  # type: ignore[misc]
        def __init__(self, stream: Any, limits: AnswerLimits) -> None:
            self._stream, self._limits = stream, limits

        def __iter__(self) -> Iterator[bytes]:
            return self._limits.checked(self._stream)

        def close(self) -> None:
            self._stream.close()

    return Bounded
