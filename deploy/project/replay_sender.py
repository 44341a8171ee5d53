"""Sends rows as events, and their labels later, and counts what the broker has acknowledged."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from deploy.demo.clients import PredictRequest
from deploy.demo.sender import Producer
from deploy.project.broker_wait import BrokerWait
from deploy.project.replay_rows import Row
from deploy.project.replay_writers import ReplayWriters
from deploy.project.values import Value
from streaming.contracts.errors import UnavailableError
from streaming.contracts.model import ModelContract
from streaming.contracts.requests import answer_for_one_row, instance
from streaming.contracts.task import BINARY, Task

LOOK_SECONDS = 0.5
"""Pause between two looks whether waiting for the broker still has a purpose."""


@dataclass(slots=True)
class ReplaySender:
    """One producer for the events, labels and served predictions of a model."""

    producer: Producer
    contract: ModelContract
    writers: ReplayWriters
    label_delay: float
    """Seconds from an event to its label."""
    task: Task = BINARY
    """What the model predicts."""
    predictions_topic: str = ""
    """Empty = served predictions are not written."""
    predictions: int = 0
    """Served predictions that the broker has acknowledged."""
    failed: int = 0
    """Messages that the broker did not take."""
    wait: BrokerWait = field(default_factory=BrokerWait)
    samples: deque[PredictRequest] = field(default_factory=lambda: deque(maxlen=500))
    """Prediction requests for the newest events."""
    _labels: deque[tuple[float, Row, float]] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        """Rows whose label is not due yet."""
        return len(self._labels)

    def send_event(self, row: Row, at: float) -> None:
        """Send the row's event, with event time `at`."""
        present = {name: value for name, value in row.values.items() if value is not None}
        value = self.writers.events.write(present, row.key, at)
        self._produce(self.contract.events_topic, row.key, value)
        self.samples.append(PredictRequest(row.key, at, self._request(row.values)))
        self.keep_label(row, at)

    def keep_label(self, row: Row, at: float) -> None:
        """Send the row's label once it is due; its event has been sent."""
        self._labels.append((at + self.label_delay, row, at))

    def send_labels(self, now: float) -> int:
        """Send the labels that are due; returns the number of rows that are done with."""
        done = 0
        while self._labels and self._labels[0][0] <= now:
            _, row, at = self._labels.popleft()
            done += 1
            if row.label:
                value = self.writers.labels.write(row.label, row.key, at)
                self._produce(self.contract.labels_topic, row.key, value)
        return done

    def send_prediction(self, request: PredictRequest, version: int, response: bytes) -> None:
        """Write a served prediction, if the server said which version answered.

        Raises
        ------
        PermanentError
            When the answer is no prediction of the model's task.
        """
        if not self.predictions_topic or not version:
            return
        served = {"version": version, "prediction": answer_for_one_row(response, self.task)}
        value = self.writers.predictions.write(served, request.key, request.time)

        def delivered(error: object, _message: object) -> None:
            self.predictions += error is None

        self._produce(self.predictions_topic, request.key, value, delivered=delivered)

    def flush(self) -> None:
        """Wait until the broker has everything.

        Raises
        ------
        UnavailableError
            When it was taken down, or takes nothing for too long.
        """
        idle_since, before = time.monotonic(), -1
        while left := self.producer.flush(LOOK_SECONDS):
            if left != before:
                idle_since, before = time.monotonic(), left
            self.wait.check(seconds=time.monotonic() - idle_since, messages=left)
        self.wait.over()
        if self.failed:
            raise UnavailableError(
                f"Kafka did not take {self.failed} message(s); its log says why: `driftline logs "
                "kafka`. The same command goes on where this one stopped."
            )

    def _request(self, values: dict[str, Value]) -> bytes:
        row = instance(self.contract.features, values)
        return json.dumps({"instances": [row]}).encode()  # NaN is a missing number

    def _produce(self, topic: str, key: str, value: bytes, *, delivered: Any = None) -> None:
        full_since = time.monotonic()
        while True:
            try:
                self.producer.produce(topic, value, key, on_delivery=delivered or self._delivered)
            except BufferError:  # the queue is full until the broker takes something
                if not self.producer.poll(LOOK_SECONDS):
                    seconds = time.monotonic() - full_since
                    self.wait.check(seconds=seconds, messages=len(self.producer))
            else:
                return

    def _delivered(self, error: object, _message: object) -> None:
        self.failed += error is not None
