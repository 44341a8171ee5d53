"""The clients of the served model: predictions at a fixed rate, counted as a client sees them.

Open loop: a request leaves at its time, however many are still under way. The client does not
retry; what it gets is what a user would get.
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

SLOW_SECONDS = 0.2
GIVE_UP_SECONDS = 5.0
ARM_HEADER = "x-driftline-arm"
VERSION_HEADER = "x-model-version"
MAX_UNDER_WAY = 500
"""More than this under way means that nothing answers: the next ones count as errors at once."""


@dataclass(slots=True)
class Tally:
    """Counts answers by second of sending and by arm."""

    requests: int = 0
    errors: int = 0
    first_error: str = ""
    _open: dict[int, dict[str, ArmCount]] = field(default_factory=dict)

    def add(self, sent_at: float, seconds: float, arm: str, error: str) -> None:
        """Count one request; `error` is empty when the answer was good."""
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

    def closed(self, before: float) -> list[Second]:
        """Hand over the seconds that end before `before`, oldest first; each once."""
        done = sorted(second for second in self._open if second + 1 <= before)
        return [Second(at=second, arms=self._open.pop(second)) for second in done]


class Ask(NamedTuple):
    """A predict request: the trip's key and time, and the body."""

    key: str
    time: float
    body: bytes


class Clients:
    """Sends predict requests until cancelled.

    Parameters
    ----------
    url:
        The predict address.
    rate:
        Requests per second.
    next_ask:
        Gives the next request.
    answered:
        Called with each good answer: the request, the version that answered (0 where the server
        does not say) and the answer's body.
    """

    def __init__(
        self,
        url: str,
        rate: float,
        next_ask: Callable[[], Ask],
        users: int,
        answered: Callable[[Ask, int, bytes], None] = lambda ask, version, body: None,
    ) -> None:
        self._url = url
        self._gap = 1.0 / rate
        self._next_ask = next_ask
        self._answered = answered
        self._users = users
        self._under_way: set[asyncio.Task[None]] = set()
        self._choose = random.Random(7)  # noqa: S311  (which user asks is no secret)
        self.tally = Tally()
        self.asking = False

    async def run(self) -> None:
        """Pace the requests while `asking`; returns only by cancellation."""
        timeout = aiohttp.ClientTimeout(total=GIVE_UP_SECONDS)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            due = time.monotonic()
            while True:
                now = time.monotonic()
                if not self.asking:
                    due = now + 0.1
                while due <= now:
                    self._send(session)
                    due += self._gap
                await asyncio.sleep(max(due - time.monotonic(), 0.001))

    async def drain(self) -> None:
        """Wait for the answers that are still under way."""
        self.asking = False
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=GIVE_UP_SECONDS + 1)

    def _send(self, session: aiohttp.ClientSession) -> None:
        if len(self._under_way) >= MAX_UNDER_WAY:
            self.tally.add(time.time(), 0.0, "", "Too many requests are unanswered.")
            return
        task = asyncio.create_task(self._ask(session))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        at, started = time.time(), time.perf_counter()
        arm, error, asked = "", "", self._next_ask()
        headers = {
            "content-type": "application/json",
            "x-user-id": f"user-{self._choose.randrange(self._users)}",
        }
        try:
            async with session.post(self._url, data=asked.body, headers=headers) as answer:
                body = await answer.read()
                arm = answer.headers.get(ARM_HEADER, "")
                if answer.status != 200:
                    error = f"{answer.status}: {body[:200].decode(errors='replace')}"
                else:
                    version = answer.headers.get(VERSION_HEADER, "")
                    self._answered(asked, int(version) if version.isdigit() else 0, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        self.tally.add(at, time.perf_counter() - started, arm, error)
