"""Plays a file as live events and labels, with requests for predictions once a version is live.

Open loop: rows are sent on time, whatever the stack does. The position is written once a second,
after the broker has acknowledged everything; what was sent since is sent again after a crash, with
the same keys.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import aiohttp
import msgspec

from deploy.demo.clients import Clients, PredictRequest
from deploy.project.replay_rows import ReplayRows, Row
from deploy.project.replay_sender import ReplaySender
from deploy.project.replay_state import ReplayState, write_state

LOOP_SECONDS = 0.05
SAVE_SECONDS = 1.0
LIVE_SECONDS = 2.0
"""Pause between two looks whether a version is live."""
BURST = 2_000
"""Rows that are sent before labels, requests and the position get their turn."""
USERS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """How fast and how long."""

    rows_per_second: float
    """Infinite = as fast as the broker takes them."""
    total: int
    """Rows of the whole replay, over all rounds; unlimited when `seconds` ends it."""
    seconds: float = 0.0
    """The file is repeated for this long; 0 = until `total`."""
    requests_per_second: float = 100.0
    """Requests for predictions once a version is live; 0 = none."""
    model_url: str = ""
    """Address of the model behind the traffic router, ``http://host:port/v1/models/NAME``."""


@dataclass(slots=True, kw_only=True)
class ReplayCounts:
    """What was sent so far."""

    events: int
    """Events of the whole replay, those before an interruption included."""
    rounds: float
    """How often the file was played."""
    labels: int
    predictions: int
    requests: int
    errors: int
    first_error: str
    live: bool
    """Whether a version of the model answers requests."""


@dataclass(slots=True)
class ReplayRun:
    """One run of the command."""

    rows: ReplayRows
    sender: ReplaySender
    plan: ReplayPlan
    state: ReplayState
    folder: Path
    on_progress: Callable[[ReplayCounts], None] = lambda counts: None
    _clients: Clients = field(init=False)
    _events: int = field(init=False)
    _labels: int = field(init=False)

    def __post_init__(self) -> None:
        self._events, self._labels = self.state.events, self.state.labels
        self._clients = Clients(
            f"{self.plan.model_url}:predict",
            rate=max(self.plan.requests_per_second, 0.001),
            next_request=self._next_request,
            users=USERS,
            on_response=self.sender.send_prediction,
        )

    @property
    def stopping(self) -> bool:
        """Whether the user has ended the replay: it saves its position and ends."""
        return self.sender.wait.stopping

    def stop(self) -> None:
        """End the replay soon; may be called by a signal."""
        self.sender.wait.stopping = True

    async def run(self) -> ReplayCounts:
        """Play until the end, the time limit, or `stopping`; returns the counts.

        Raises
        ------
        UnavailableError
            When Kafka was taken down, or takes no messages for too long.
        """
        tasks = [asyncio.create_task(self._clients.run()), asyncio.create_task(self._watch())]
        started = time.time()
        rows = self._remaining(started)
        due = saved = started
        pause = 1.0 / self.plan.rows_per_second
        try:
            while not self._is_over(started):
                now = time.time()
                ready = BURST if pause == 0 else min(BURST, int((now - due) / pause) + 1)
                for row in islice(rows, max(0, ready)):
                    self.sender.send_event(row, now)
                    self._events += 1
                    due += pause
                self._labels += self.sender.send_labels(now)
                self.sender.producer.poll(0)
                if now - saved >= SAVE_SECONDS:
                    await self._save()
                    saved = now
                await asyncio.sleep(LOOP_SECONDS if pause else 0)
            return await self._finish()
        finally:
            for task in tasks:
                task.cancel()

    def counts(self) -> ReplayCounts:
        """What was sent so far."""
        counter = self._clients.counter
        return ReplayCounts(
            events=self._events,
            rounds=self._events / self.rows.rows,
            labels=self._labels,
            predictions=self.sender.predictions,
            requests=counter.requests,
            errors=counter.errors,
            first_error=counter.first_error,
            live=self._clients.sending,
        )

    def _remaining(self, now: float) -> Iterator[Row]:
        """The rows that are still to be sent; labels that an interruption held back are due now."""
        if self._events > self._labels:
            for row in islice(self.rows.read(self._labels), self._events - self._labels):
                self.sender.keep_label(row, now - self.sender.label_delay)
        limit = None if self.plan.seconds else max(0, self.plan.total - self._events)
        return islice(self.rows.read(self._events), limit)

    def _is_over(self, started: float) -> bool:
        if self.stopping:
            return True
        if self.plan.seconds:
            return time.time() >= started + self.plan.seconds
        return self._events >= self.plan.total

    async def _finish(self) -> ReplayCounts:
        """Wait for the last labels, unless the user ended it, and save the position."""
        while self.sender.waiting and not self.stopping:
            self._labels += self.sender.send_labels(time.time())
            self.on_progress(self.counts())
            await asyncio.sleep(LOOP_SECONDS)
        await self._clients.drain()
        over = not self.plan.seconds and self._events >= self.plan.total
        await self._save(finished=over and not self.stopping)
        return self.counts()

    async def _save(self, *, finished: bool = False) -> None:
        """Write the position, once the broker has acknowledged everything up to it."""
        position = msgspec.structs.replace(
            self.state, events=self._events, labels=self._labels, finished=finished
        )
        await asyncio.to_thread(self.sender.flush)  # requests go on meanwhile
        self.state = position
        write_state(self.folder, self.state)
        self.on_progress(self.counts())

    async def _watch(self) -> None:
        """Send requests while a version of the model is live."""
        if not self.plan.requests_per_second:
            return
        timeout = aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                live = await _is_live(session, self.plan.model_url)
                self._clients.sending = live and bool(self.sender.samples)
                await asyncio.sleep(LIVE_SECONDS)

    def _next_request(self) -> PredictRequest:
        """The newest request that was not sent yet; the last one again where there is none."""
        samples = self.sender.samples
        return samples.pop() if len(samples) > 1 else samples[0]


async def _is_live(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200 and b'"AVAILABLE"' in await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
