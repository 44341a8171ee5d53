"""Sends events, labels and served predictions to Kafka and counts them exactly.

The producer is idempotent: a retry never duplicates an event, and the topic's end offsets grow by
exactly the number that is counted as sent.
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
from deploy.demo.clients import PredictRequest
from deploy.demo.control import TrafficConfig, TrafficPhase
from deploy.demo.event_writer import EventWriter
from deploy.demo.replay import Replay
from deploy.demo.shift import concept_shift, shift
from deploy.demo.trips import Trips, generate

BREAKAGES: tuple[messages.Breakage, ...] = ("renamed", "text", "respelled")
BLOCK = 2000
"""Number of trips generated at a time."""


Distribution = Literal["ordinary", "shifted", "concept_shift"]
DISTRIBUTIONS: dict[str, Distribution] = {
    "shifted": "shifted",
    "concept_shift": "concept_shift",
}
"""Distribution of the trips by traffic phase; ``ordinary`` in all other phases."""


class Producer(Protocol):
    """The part of confluent_kafka.Producer that is used."""

    def produce(self, topic: str, value: bytes, key: str, on_delivery: Any = None) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...
    def __len__(self) -> int: ...


class Source:
    """Endless trips in the distribution of the current phase."""

    def __init__(self, seed: int, replay: Trips | None) -> None:
        self._rng = np.random.default_rng(seed)
        self._replay = Replay(replay, self._rng) if replay is not None else None
        self._ready: deque[tuple[dict[str, Any], float]] = deque()
        self._distribution: Distribution = "ordinary"

    def next(self, distribution: Distribution) -> tuple[dict[str, Any], float]:
        """Fields and tips of the next trip."""
        if distribution != self._distribution:
            self._ready.clear()
            self._distribution = distribution
        if not self._ready:
            trips = self._replay.next(BLOCK) if self._replay else generate(self._rng, BLOCK)
            if distribution == "shifted":
                trips = shift(trips, self._rng)
            elif distribution == "concept_shift":
                trips = concept_shift(trips, self._rng)
            self._ready.extend(zip(messages.rows(trips), trips.tips.tolist(), strict=True))
        return self._ready.popleft()


@dataclass(slots=True)
class Sender:
    """Sends events, and their labels with a delay."""

    config: TrafficConfig
    producer: Producer
    source: Source
    writer: EventWriter | None = None
    """Writes the events; None = flat JSON."""
    sent: int = 0
    failed: int = 0
    broken: int = 0
    labels: int = 0
    predictions: int = 0
    """Served predictions that the broker acknowledged."""
    new_column: bool = False
    """Whether events carry the unannounced column."""
    samples: deque[PredictRequest] = field(default_factory=lambda: deque(maxlen=500))
    """Prediction requests for the newest trips."""
    _count: int = 0
    _due: list[tuple[float, str, bytes]] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311  (no secret)

    def send(self, phase: TrafficPhase, at: float, *, label_at: float | None = None) -> None:
        """Send one event with event time `at`; its label is due later, or at `label_at`."""
        row, tips = self.source.next(DISTRIBUTIONS.get(phase, "ordinary"))
        key = f"{self.config.run}-{self._count}"
        self._count += 1
        how = self._breakage() if phase == "broken" else None
        fields = messages.with_new_column(row) if self.new_column else row
        sent = messages.broken(fields, how) if how else fields
        is_broken = how in ("renamed", "text")
        key_pair, time_pair = (self.config.key, key), (self.config.time, at)
        if self.writer is None:
            value = messages.event(sent, key=key_pair, time=time_pair)
        else:
            value = self.writer.write(sent, key, at)
        self._produce(self.config.events_topic, key, value, is_broken=is_broken)
        if is_broken:
            return
        delay = self.config.label_delay_seconds * self._random.uniform(0.5, 1.5)
        due = label_at if label_at is not None else at + delay
        outcome = messages.label(row, tips, key=key_pair, time=time_pair)
        heapq.heappush(self._due, (due, key, outcome))
        if self._count % 2 == 0:
            self.samples.append(PredictRequest(key, at, messages.predict_body(row)))

    def _breakage(self) -> messages.Breakage | None:
        if self._random.random() >= self.config.broken_share:
            return None
        return BREAKAGES[self._count % len(BREAKAGES)]

    def send_prediction(self, request: PredictRequest, version: int, response: bytes) -> None:
        """Write a served prediction, if the server stated which version answered."""
        if not self.config.predictions_topic or not version:
            return
        key, time = (self.config.key, request.key), (self.config.time, request.time)
        value = messages.prediction(version, response, key=key, time=time)

        def delivered(error: object, _message: object) -> None:
            self.predictions += error is None

        self._queue(self.config.predictions_topic, request.key, value, delivered)

    def send_labels(self, now: float) -> None:
        """Send the labels that are due by `now`."""
        while self._due and self._due[0][0] <= now:
            _, key, value = heapq.heappop(self._due)
            self._produce(self.config.labels_topic, key, value, is_broken=None)

    def finish(self, timeout: float) -> None:
        """Send the remaining labels and wait until the broker has acknowledged everything."""
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
