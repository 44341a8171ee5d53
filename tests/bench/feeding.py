"""Rounds of events for a stream job; a round ends when all its events are in summaries.

A round is one transaction. Readers of committed records, as those of librdkafka and of the job by
default, see all of it at once. So the job reads a backlog, as the comparisons do, and does not wait
for the producer. Beam's KafkaIO gets rounds without a transaction: it is slower than the producer,
so it reads a backlog as well, and it need not poll for long behind an open transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from confluent_kafka import Producer

from deploy.demo import messages
from deploy.demo.trips import generate
from deploy.local.stack import Stack
from streaming.contracts.codec import decode
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.records import WindowSummary
from streaming.windowing.event_clock import BLOCK_ROWS, BLOCKS
from tests.bench.figures import Round
from tests.bench.job_stack import job_cpu

SPAN = 60.0
"""Event time of one round in seconds. Rounds lie in the past, `2 * SPAN` apart."""
LAST_EVENTS = BLOCK_ROWS * (BLOCKS + 1)
"""As many events of one time move the watermark, whatever came before them."""
TIMEOUT_SECONDS = 180.0


class EventFeed:
    """Sends events to one model's topic, round after round."""

    def __init__(
        self,
        bootstrap: str,
        contract: ModelContract,
        *,
        rounds: int,
        events: int,
        transactional: bool = True,
    ) -> None:
        self.transactional = transactional
        """Whether a round is a transaction."""
        self.bootstrap = bootstrap
        self.contract = contract
        self.events = events
        self.began = time.time() - 2 * SPAN * (rounds + 2)
        self.sent = 0
        self.offset = 0
        """Offset of the next event."""
        self.accepted = 0

    def payload(self, number: int) -> list[bytes]:
        """The events of a round."""
        trips = generate(np.random.default_rng(number), self.events)
        start = self._start(number)
        times = np.linspace(start, start + SPAN, self.events, endpoint=False).tolist()
        return [
            messages.event(
                row,
                key=(self.contract.key, f"{number}-{index}"),
                time=(self.contract.time, at),
            )
            for index, (row, at) in enumerate(zip(messages.rows(trips), times, strict=True))
        ]

    def round(
        self,
        stack: Stack,
        messages_read: Iterator[Message | None],
        payload: list[bytes],
        number: int,
    ) -> Round:
        """Send a round's events and wait until all of them lie in judged windows.

        Some last events, later than the round, move the watermark, so that the windows close
        without waiting for more traffic.
        """
        window = self.contract.window_seconds
        row = next(messages.rows(generate(np.random.default_rng(1), 1)))
        later = self._start(number) + SPAN + 2 * window
        last = messages.event(
            row, key=(self.contract.key, f"last-{number}"), time=(self.contract.time, later)
        )
        wall, cpu = self._send([*payload, *[last] * LAST_EVENTS], stack, number)
        self.sent += len(payload) + LAST_EVENTS
        self.offset += len(payload) + LAST_EVENTS + 1  # the commit takes an offset
        expected = self.sent - LAST_EVENTS
        until = time.monotonic() + TIMEOUT_SECONDS
        for message in messages_read:
            record = decode(message.value) if message and message.value else None
            if isinstance(record, WindowSummary) and record.model == self.contract.model:
                self.accepted += record.accepted
            if self.accepted >= expected - number * LAST_EVENTS:
                break
            if time.monotonic() > until:
                raise RuntimeError(f"{self.accepted} of {expected} events are accounted for.")
        return Round(
            work=self.events,
            wall_seconds=time.perf_counter() - wall,
            cpu_seconds=job_cpu(stack) - cpu,
        )

    def _send(self, values: list[bytes], stack: Stack, number: int) -> tuple[float, float]:
        """Send a round; returns wall time and the job's CPU seconds at the start of reading."""
        topic = self.contract.events_topic
        if not self.transactional:
            wall, cpu = time.perf_counter(), job_cpu(stack)
            send(producer(self.bootstrap), topic, values)
            return wall, cpu
        to = producer(self.bootstrap, transaction=f"{topic}-{number}")
        to.init_transactions()
        to.begin_transaction()
        send(to, topic, values)
        wall, cpu = time.perf_counter(), job_cpu(stack)
        to.commit_transaction()
        return wall, cpu

    def _start(self, number: int) -> float:
        window = self.contract.window_seconds
        return (self.began + 2 * SPAN * number) // window * window


def producer(bootstrap: str, *, transaction: str = "") -> Producer:
    """A fast producer that loses nothing."""
    return Producer(
        {
            **({"transactional.id": transaction} if transaction else {}),
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )


def send(to: Producer, topic: str, values: list[bytes], *, flush: bool = True) -> None:
    """Send values; without `flush` some of them are sent later."""
    for value in values:
        while True:
            try:
                to.produce(topic, value)
            except BufferError:
                to.poll(0.1)
            else:
                break
    if flush:
        to.flush(60)
