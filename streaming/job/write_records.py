"""Records to their topics: queued while a bundle runs, durable before it ends.

A bundle that is run again writes the same records with the same ids; readers drop what they know.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import apache_beam as beam
from confluent_kafka import KafkaError, Producer

from streaming.contracts.errors import UnavailableError
from streaming.engines.kafka.log import produce, producer

_PRODUCERS: dict[str, Producer] = {}
_GUARD = threading.Lock()
_FLUSH_SECONDS = 30.0


def shared_producer(bootstrap: str) -> Producer:
    """This process's producer."""
    with _GUARD:
        if bootstrap not in _PRODUCERS:
            _PRODUCERS[bootstrap] = producer(bootstrap)
        return _PRODUCERS[bootstrap]


@beam.typehints.with_input_types(tuple[str, bytes])
@beam.typehints.with_output_types(bytes)
class WriteRecords(beam.DoFn):  # type: ignore[misc]
    """Writes (model, encoded record) to one topic, under the model's key."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap = bootstrap
        self.topic = topic

    def setup(self) -> None:
        self.writer = shared_producer(self.bootstrap)

    def start_bundle(self) -> None:
        self.sent = 0
        self.answers: list[KafkaError | None] = []

    def process(self, element: tuple[str, bytes]) -> None:
        self.sent += 1
        model, record = element
        produce(self.writer, self.topic, model.encode(), record, self._note)

    def finish_bundle(self) -> None:
        """Wait until the broker has every record; another thread may take our answers."""
        deadline = time.monotonic() + _FLUSH_SECONDS
        while len(self.answers) < self.sent and time.monotonic() < deadline:
            self.writer.flush(1.0)
        failed = [error for error in self.answers if error is not None]
        if failed or len(self.answers) < self.sent:
            cause = failed[0].str() if failed else "no answer in time"
            raise UnavailableError(f"Records for {self.topic} were not written: {cause}.")

    def _note(self, error: KafkaError | None, _: Any) -> None:
        self.answers.append(error)
