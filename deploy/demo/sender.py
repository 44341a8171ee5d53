"""Events and labels to Kafka, counted exactly.

The producer is idempotent, so a retry never doubles an event and the topic's end offsets grow by
exactly what is counted as sent.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from deploy.demo import messages
from deploy.demo.clients import Ask
from deploy.demo.control import Phase, TrafficConfig
from deploy.demo.replay import Replay
from deploy.demo.shift import shift, turn
from deploy.demo.trips import Trips, generate

BREAKAGES: tuple[messages.Breakage, ...] = ("renamed", "text", "respelled")
BLOCK = 2000
"""Trips made at a time."""


World = Literal["ordinary", "shifted", "turned"]
WORLDS: dict[str, World] = {"shifted": "shifted", "turned": "turned"}
"""By phase; the world is ordinary in every other."""


class Producer(Protocol):
    """What is used of confluent_kafka.Producer."""

    def produce(self, topic: str, value: bytes, key: str, on_delivery: Any = None) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...


class Source:
    """Endless trips, in the world of the current phase."""

    def __init__(self, seed: int, replay: Trips | None) -> None:
        self._rng = np.random.default_rng(seed)
        self._replay = Replay(replay, self._rng) if replay is not None else None
        self._ready: deque[tuple[dict[str, Any], float]] = deque()
        self._world: World = "ordinary"

    def next(self, world: World) -> tuple[dict[str, Any], float]:
        """The fields of a trip, and its tips."""
        if world != self._world:
            self._ready.clear()
            self._world = world
        if not self._ready:
            made = self._replay.next(BLOCK) if self._replay else generate(self._rng, BLOCK)
            if world != "ordinary":
                made = shift(made, self._rng) if world == "shifted" else turn(made, self._rng)
            self._ready.extend(zip(messages.rows(made), made.tips.tolist(), strict=True))
        return self._ready.popleft()


@dataclass(slots=True)
class Sender:
    """Sends events, and their labels later."""

    config: TrafficConfig
    producer: Producer
    source: Source
    sent: int = 0
    failed: int = 0
    broken: int = 0
    labels: int = 0
    predictions: int = 0
    """Served predictions that the broker has."""
    new_column: bool = False
    """Whether events carry a column that nobody has announced."""
    samples: deque[Ask] = field(default_factory=lambda: deque(maxlen=500))
    """Predict requests for the newest trips."""
    _made: int = 0
    _due: list[tuple[float, str, bytes]] = field(default_factory=list)
    _choose: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311  (no secret)

    def send(self, phase: Phase, at: float, *, label_at: float | None = None) -> None:
        """One event stamped `at`; its label falls due later, or at `label_at`."""
        row, tips = self.source.next(WORLDS.get(phase, "ordinary"))
        key = f"{self.config.run}-{self._made}"
        self._made += 1
        how = self._breakage() if phase == "broken" else None
        made = messages.extended(row) if self.new_column else row
        sent = messages.broken(made, how) if how else made
        is_broken = how in ("renamed", "text")
        key_pair, time_pair = (self.config.key, key), (self.config.time, at)
        value = messages.event(sent, key=key_pair, time=time_pair)
        self._produce(self.config.events_topic, key, value, is_broken=is_broken)
        if is_broken:
            return
        delay = self.config.label_delay_seconds * self._choose.uniform(0.5, 1.5)
        late = label_at if label_at is not None else at + delay
        outcome = messages.label(row, tips, key=key_pair, time=time_pair)
        heapq.heappush(self._due, (late, key, outcome))
        if self._made % 2 == 0:
            self.samples.append(Ask(key, at, messages.predict_body(row)))

    def _breakage(self) -> messages.Breakage | None:
        if self._choose.random() >= self.config.broken_share:
            return None
        return BREAKAGES[self._made % len(BREAKAGES)]

    def send_prediction(self, asked: Ask, version: int, answer: bytes) -> None:
        """Write down what a client was answered, where the server said by which version."""
        if not self.config.predictions_topic or not version:
            return
        key, time = (self.config.key, asked.key), (self.config.time, asked.time)
        value = messages.prediction(version, messages.score_of(answer), key=key, time=time)

        def delivered(error: object, _message: object) -> None:
            self.predictions += error is None

        self._queue(self.config.predictions_topic, asked.key, value, delivered)

    def send_labels(self, now: float) -> None:
        """Send the labels that are due by `now`."""
        while self._due and self._due[0][0] <= now:
            _, key, value = heapq.heappop(self._due)
            self._produce(self.config.labels_topic, key, value, is_broken=None)

    def finish(self, timeout: float) -> None:
        """Send what is left and wait until the broker has it all."""
        self.send_labels(float("inf"))
        self.failed += self.producer.flush(timeout)

    def _produce(self, topic: str, key: str, value: bytes, *, is_broken: bool | None) -> None:
        def delivered(error: object, _message: object) -> None:
            if is_broken is None:
                self.labels += error is None
            elif error is None:
                self.sent += 1
                self.broken += is_broken
            else:
                self.failed += 1

        self._queue(topic, key, value, delivered)

    def _queue(
        self, topic: str, key: str, value: bytes, delivered: Callable[[object, object], None]
    ) -> None:
        while True:
            try:
                self.producer.produce(topic, value, key, on_delivery=delivered)
            except BufferError:
                self.producer.poll(0.1)
            else:
                return
