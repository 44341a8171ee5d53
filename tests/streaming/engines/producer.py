"""A producer that sends events at a constant rate and records each acknowledged offset."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.background import Background
from tests.streaming.engines.checker import Fate, Sent

BAD = (b"", b"{", b'{"id":"x","at":1}', b'{"fare":"no"}')


def event(at: float, rng: random.Random) -> bytes:
    """One taxi trip at time `at`."""
    fields = {"id": "k", "at": at, "fare": rng.gauss(10, 2), "company": rng.choice("abc")}
    return json.dumps(fields).encode()


@dataclass
class PacedProducer(Background):
    """Sends in a thread of its own until stopped.

    Every 97th record cannot be decoded. Once some windows have closed, every 211th is late.
    `partitions` may be replaced while it runs; the first record of each new partition is late too.
    """

    bootstrap: str
    topic: str
    window: float
    partitions: Sequence[int]
    rate: float = 300.0
    make: Callable[[float, random.Random], bytes] = event
    """Makes a good event of a time. Its model must require a field that the records of `BAD` do not
    have."""
    sent: list[Sent] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def stop(self, seconds: float = 60.0) -> None:
        """Stop, and wait until everything is acknowledged."""
        super().stop(seconds)
        assert not self.failed, self.failed[:3]

    def work(self) -> None:
        """Send until stopped."""
        known = self.partitions
        producer = self._producer(known)
        rng, began = random.Random(5), time.time()
        for number in itertools.count():
            if self.stopped:
                break
            if self.partitions is not known:  # a producer refreshes its metadata every few minutes
                producer.flush(30)
                new, known = set(self.partitions) - set(known), self.partitions
                producer = self._producer(known)
                for partition in sorted(new):
                    self._send_late(producer, partition, began, rng)
            due = began + number / self.rate
            if due > time.time():
                producer.poll(min(due - time.time(), 0.05))
                time.sleep(max(0.0, due - time.time()))
            self._send(producer, known, number, began, rng)
        if producer.flush(30):
            self.failed.append("some records were never acknowledged")

    @retry(
        retry=retry_if_exception_type(LookupError), stop=stop_after_delay(30), wait=wait_fixed(0.2)
    )
    def _producer(self, partitions: Sequence[int]) -> Any:
        """A producer that knows all partitions; the broker announces new ones with a delay."""
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5}
        )
        known = producer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
        missing = [number for number in partitions if number not in known]
        if missing:
            raise LookupError(f"{self.topic} has no partition {missing[0]} yet")
        return producer

    def _send(
        self,
        producer: Any,
        partitions: Sequence[int],
        number: int,
        began: float,
        rng: random.Random,
    ) -> None:
        partition = partitions[number % len(partitions)]
        at, fate = time.time() - rng.random() * 0.4, "good"
        value = self.make(at, rng)
        end = at // self.window * self.window + self.window
        if number % 97 == 96:
            value, fate = rng.choice(BAD), "dead"
        elif number % 211 == 210 and time.time() > began + 3 * self.window:
            self._send_late(producer, partition, began, rng)
            return
        on_delivery = self._acknowledged(fate, end)
        producer.produce(self.topic, value, partition=partition, on_delivery=on_delivery)

    def _send_late(self, producer: Any, partition: int, began: float, rng: random.Random) -> None:
        on_delivery = self._acknowledged("late", 0.0)
        value = self.make(began - 100.0, rng)
        producer.produce(self.topic, value, partition=partition, on_delivery=on_delivery)

    def _acknowledged(self, fate: Any, end: float) -> Any:
        kind: Fate = fate

        def acknowledged(error: Any, message: Any) -> None:
            if error is not None:
                self.failed.append(str(error))
                return
            self.sent.append(
                Sent(
                    partition=message.partition(),
                    offset=message.offset(),
                    fate=kind,
                    window_end=end if kind == "good" else 0.0,
                )
            )

        return acknowledged
