"""Clients of the served model: send prediction requests at a fixed rate and count the responses.

Open loop: a request is sent on time, however many are still unanswered. The clients do not retry,
so they observe what a user would.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp

from deploy.demo.control import ArmCount, Second
from streaming.contracts.errors import DriftlineError

SLOW_SECONDS = 0.2
TIMEOUT_SECONDS = 5.0
ARM_HEADER = "x-driftline-arm"
VERSION_HEADER = "x-model-version"
MAX_IN_FLIGHT = 500
"""With more unanswered requests than this, further ones count as errors at once."""


@dataclass(slots=True)
class RequestCounter:
    """Counts responses by the second of sending and by arm."""

    requests: int = 0
    errors: int = 0
    first_error: str = ""
    _open: dict[int, dict[str, ArmCount]] = field(default_factory=dict)

    def add(self, sent_at: float, seconds: float, arm: str, error: str) -> None:
        """Count one request; `error` is empty when the response was good."""
        count = self._open.setdefault(int(sent_at), {}).setdefault(arm, ArmCount())
        self.requests += 1
        count.requests += 1
        count.seconds += seconds
        count.last_at = max(count.last_at, sent_at)
        if error:
            self.errors += 1
            count.errors += 1
            self.first_error = self.first_error or error
        if seconds > SLOW_SECONDS:
            count.slow += 1
            count.first_slow_at = min(count.first_slow_at or sent_at, sent_at)

    def pop_complete(self, before: float) -> list[Second]:
        """Remove and return the seconds that end before `before`, oldest first."""
        complete = sorted(second for second in self._open if second + 1 <= before)
        return [Second(at=second, arms=self._open.pop(second)) for second in complete]


class PredictRequest(NamedTuple):
    """A prediction request: key and time of the trip, and the body."""

    key: str
    time: float
    body: bytes


OnResponse = Callable[[PredictRequest, int, bytes], None]


class Clients:
    """Sends prediction requests until cancelled.

    Parameters
    ----------
    url:
        The predict address.
    rate:
        Requests per second.
    next_request:
        Returns the next request.
    users:
        Number of different user ids.
    on_response:
        Called with each good response: the request, the version that answered (0 where the server
        does not state it) and the response's body. What it refuses counts as an error.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        next_request: Callable[[], PredictRequest],
        users: int,
        on_response: OnResponse = lambda request, version, body: None,
    ) -> None:
        self._url = url
        self._interval = 1.0 / rate
        self._next_request = next_request
        self._on_response = on_response
        self._users = users
        self._in_flight: set[asyncio.Task[None]] = set()
        self._user_choice = random.Random(7)  # noqa: S311  (which user sends is no secret)
        self.counter = RequestCounter()
        self.sending = False

    async def run(self) -> None:
        """Send requests while `sending`; returns only by cancellation."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            due = time.monotonic()
            while True:
                now = time.monotonic()
                if not self.sending:
                    due = now + 0.1
                while due <= now:
                    self._start_request(session)
                    due += self._interval
                await asyncio.sleep(max(due - time.monotonic(), 0.001))

    async def drain(self) -> None:
        """Stop sending and wait for the outstanding responses."""
        self.sending = False
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=TIMEOUT_SECONDS + 1)

    def _start_request(self, session: aiohttp.ClientSession) -> None:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            self.counter.add(time.time(), 0.0, "", "Too many requests are unanswered.")
            return
        task = asyncio.create_task(self._request(session))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _request(self, session: aiohttp.ClientSession) -> None:
        at, started = time.time(), time.perf_counter()
        arm, error, request = "", "", self._next_request()
        headers = {
            "content-type": "application/json",
            "x-user-id": f"user-{self._user_choice.randrange(self._users)}",
        }
        try:
            async with session.post(self._url, data=request.body, headers=headers) as response:
                body = await response.read()
                arm = response.headers.get(ARM_HEADER, "")
                if response.status != 200:
                    error = f"{response.status}: {body[:200].decode(errors='replace')}"
                else:
                    version = response.headers.get(VERSION_HEADER, "")
                    self._on_response(request, int(version) if version.isdigit() else 0, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        except DriftlineError as failure:
            error = str(failure)
        self.counter.add(at, time.perf_counter() - started, arm, error)
