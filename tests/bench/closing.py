"""Time of a full window from its watermark to its verdict in Kafka.

Live traffic at a steady rate fills each window with `ROWS` rows. A window is complete when the
watermark, which is the time of the newest event minus the allowed out-of-orderness, passes its end.
The time from then until the verdict can be read is the job's own.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from confluent_kafka import Producer
from msgspec.structs import replace

from deploy.config.port_map import PortMap
from deploy.demo import messages
from deploy.demo.trips import generate
from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.records import DriftVerdict, WindowSummary
from streaming.contracts.topics import applications_topic
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.background import Background
from tests.bench.figures import Spread, spread
from tests.bench.job_stack import job_settings, job_stack
from tests.bench.stream import CONTRACT
from tests.promotions import first_promotion

PORT_OFFSET = 3600
ROWS = 100_000
WINDOW, MAX_OUT_OF_ORDERNESS = 5.0, 1.0
MIN_FILL = 0.95
"""Windows with fewer rows than this share of `ROWS` do not count."""
MODEL = replace(CONTRACT, window_seconds=WINDOW, max_out_of_orderness_seconds=MAX_OUT_OF_ORDERNESS)


class ClosingBench:
    """The job under live traffic, with a reference to judge against."""

    def __init__(self, home: Path) -> None:
        self.ports = PortMap().shifted(PORT_OFFSET)
        self.home = home
        self.settings = job_settings(home, self.ports, MODEL)

    def run(self, windows: int) -> Spread:
        """The delays of `windows` full windows after the first, which prepares the reference."""
        with job_stack(self.home, self.ports):
            log = KafkaLog(self.settings.bootstrap)
            log.ensure(
                [*topics.RECORD_TOPICS, applications_topic(MODEL.events_topic, partitions=1)]
            )
            submit(self.settings)
            traffic = Traffic(self.settings.bootstrap)
            traffic.start()
            try:
                return self._measure(log, windows)
            finally:
                traffic.stop()

    def _measure(self, log: KafkaLog, windows: int) -> Spread:
        record_topics = [topics.WINDOW_STATISTICS.name, topics.DRIFT_VERDICTS.name]
        delays: list[float] = []
        store, promoted = ArtifactStore(Path(self.settings.artifact_root)), False
        for message in log.follow(record_topics, from_start=True, poll_seconds=0.02):
            record = decode(message.value) if message and message.value else None
            if isinstance(record, WindowSummary) and not promoted and _full(record.accepted):
                log.append([first_promotion(store, [record])])
                promoted = True
            elif isinstance(record, DriftVerdict) and record.reference_id and _full(record.rows):
                delays.append(time.time() - record.window_end - MAX_OUT_OF_ORDERNESS)
            if len(delays) > windows:
                break
        name = f"watermark at the end of a window of {ROWS:,} rows to its verdict"
        return spread(name, delays[1:])


@dataclass
class Traffic(Background):
    """Trips with the current time, `ROWS` in each window."""

    bootstrap: str

    def work(self) -> None:
        """Send until stopped."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 5,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 500_000,
            }
        )
        bodies = itertools.cycle(_bodies())
        began, sent = time.time(), 0
        head = f'{{"{MODEL.time}":%f,'.encode()
        while not self.stopped:
            due = int((time.time() - began) * ROWS / WINDOW)
            start = head % time.time()
            for body in itertools.islice(bodies, max(0, due - sent)):
                producer.produce(MODEL.events_topic, start + body)
            sent = max(due, sent)
            producer.poll(0)
            time.sleep(0.01)
        producer.flush(60)


def _bodies() -> list[bytes]:
    """Trips, each without its time and its first brace."""
    trips = messages.rows(generate(np.random.default_rng(7), 20_000))
    return [
        orjson.dumps({MODEL.key: f"trip-{number}", **row})[1:] for number, row in enumerate(trips)
    ]


def _full(rows: int) -> bool:
    return rows >= MIN_FILL * ROWS
