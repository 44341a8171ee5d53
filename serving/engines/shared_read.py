"""One read of an engine serves every caller that asks for the same at the same time.

Models are observed side by side. Fifty of them that each ask a hung Prometheus would wait, and load
it, fifty times; so the first caller reads, the others take its result, and a failure is told for a
moment without asking again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import httpx

from streaming.contracts.errors import UnavailableError

T = TypeVar("T")

FRESH_SECONDS = 0.4
"""A result serves this long: less than a tick, so that each tick has its own."""
FAILED_SECONDS = 1.0
"""After a failure the engine is left alone for this long."""
ABANDONED_SECONDS = 10.0
"""A read that has not ended after this long is given up, and a new one may begin."""


@dataclass(slots=True, eq=False)
class _Read(Generic[T]):
    """One read in a thread of its own; its fields are written before `done` is set."""

    started: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    ended: float = 0.0
    result: T | None = None
    error: Exception | None = None

    def serves(self) -> bool:
        """Whether a caller may take it instead of reading anew."""
        now = time.monotonic()
        if not self.done.is_set():
            return now - self.started < ABANDONED_SECONDS
        return now - self.ended < (FRESH_SECONDS if self.error is None else FAILED_SECONDS)


class SharedRead(Generic[T]):
    """Reads of one engine; safe for threads.

    Parameters
    ----------
    what:
        The engine's name and address, for errors.
    wait_seconds:
        How long a caller waits.
    """

    def __init__(self, what: str, *, wait_seconds: float) -> None:
        self._what = what
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._reads: dict[Hashable, _Read[T]] = {}

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """The result of `read`, or of one for the same key that is under way or just ended.

        Raises
        ------
        UnavailableError
            When the read does not end in time, or raised it.
        """
        with self._lock:
            shared = self._reads.get(key)
            if shared is None or not shared.serves():
                for known in [known for known, entry in self._reads.items() if not entry.serves()]:
                    del self._reads[known]
                shared = self._reads[key] = _Read()
                # a daemon thread: a read that hangs never holds up the end of the process
                threading.Thread(
                    target=_run, args=(shared, read), name=f"read {self._what}", daemon=True
                ).start()
        if not shared.done.wait(self._wait_seconds):
            raise UnavailableError(
                f"{self._what} does not answer within {self._wait_seconds:.1f} s."
            )
        if isinstance(shared.error, UnavailableError):
            raise UnavailableError(str(shared.error), delay_seconds=shared.error.delay_seconds)
        if shared.error is not None:
            raise UnavailableError(f"{self._what} could not be read: {shared.error!r}.")
        return shared.result  # type: ignore[return-value]


def _run(shared: _Read[T], read: Callable[[], T]) -> None:
    try:
        shared.result = read()
    except Exception as error:  # noqa: BLE001 - told to every caller
        shared.error = error
    shared.ended = time.monotonic()
    shared.done.set()


def request_within(
    client: httpx.Client,
    method: str,
    path: str,
    *,
    seconds: float,
    data: dict[str, str] | None = None,
) -> bytes:
    """The body of a response, as `response_within` reads it."""
    return response_within(client, method, path, seconds=seconds, data=data)[0]


def response_within(
    client: httpx.Client,
    method: str,
    path: str,
    *,
    seconds: float,
    data: dict[str, str] | None = None,
) -> tuple[bytes, str]:
    """Body and `Date` header of a response that is complete within about `seconds`.

    A server that sends a byte now and then never exceeds httpx's own limits, which are for one read
    each; it is given up here.

    Raises
    ------
    httpx.HTTPError
        When the server does not answer in time.
    """
    body = bytearray()
    end = time.monotonic() + seconds
    with client.stream(method, path, data=data, timeout=seconds) as response:
        if response.is_server_error or response.status_code == httpx.codes.NOT_FOUND:
            response.raise_for_status()
        for chunk in response.iter_bytes():
            body += chunk
            if time.monotonic() > end:
                raise httpx.ReadTimeout(f"no whole response in {seconds:.1f} s")
    return bytes(body), response.headers.get("date", "")
