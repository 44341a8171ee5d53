"""Writes records to their topics: queued while a bundle runs, durable before it ends.

A bundle that is run again writes the same records with the same ids, and readers drop the
duplicates.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import apache_beam as beam
from confluent_kafka import KafkaError, Producer

from streaming.contracts.errors import UnavailableError
from streaming.engines.kafka.clients import produce, producer

_PRODUCERS: dict[str, Producer] = {}
_LOCK = threading.Lock()
_FLUSH_SECONDS = 30.0


def shared_producer(bootstrap: str) -> Producer:
    """This process's producer."""
    with _LOCK:
        if bootstrap not in _PRODUCERS:
            _PRODUCERS[bootstrap] = producer(bootstrap)
        return _PRODUCERS[bootstrap]


@beam.typehints.with_input_types(tuple[str, bytes])
@beam.typehints.with_output_types(bytes)
class WriteRecords(beam.DoFn):  # type: ignore[misc]
    """Writes (model, encoded record) to one topic; the model is the message key."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap = bootstrap
        self.topic = topic

    def setup(self) -> None:
        self.producer = shared_producer(self.bootstrap)

    def start_bundle(self) -> None:
        self.sent = 0
        self.deliveries: list[KafkaError | None] = []

    def process(self, element: tuple[str, bytes]) -> None:
        self.sent += 1
        model, record = element
        produce(self.producer, self.topic, model.encode(), record, self._delivered)

    def finish_bundle(self) -> None:
        """Wait until the broker has every record; another thread may serve our callbacks."""
        deadline = time.monotonic() + _FLUSH_SECONDS
        while len(self.deliveries) < self.sent and time.monotonic() < deadline:
            self.producer.flush(1.0)
        errors = [error for error in self.deliveries if error is not None]
        if errors or len(self.deliveries) < self.sent:
            cause = errors[0].str() if errors else "no acknowledgement in time"
            raise UnavailableError(f"Records for {self.topic} were not written: {cause}.")

    def _delivered(self, error: KafkaError | None, _: Any) -> None:
        self.deliveries.append(error)
