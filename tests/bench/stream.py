"""The running stream job: events per core against the same work called directly, verdict delay."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deploy.config.port_map import HOST, PortMap
from deploy.demo import messages
from deploy.demo.trips import generate
from deploy.local.stack import Stack
from retrain.models.big_tipper.contract import CODE, FEATURES
from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DriftVerdict
from streaming.contracts.topics import applications_topic
from streaming.engines.kafka.log import KafkaLog
from streaming.job.settings import JobSettings
from streaming.job.submit import submit
from tests.bench.child import Child
from tests.bench.comparison import Task
from tests.bench.feeding import EventFeed, producer, send
from tests.bench.figures import Ratio, Round, Spread, ratio, spread
from tests.bench.job_stack import job_settings, job_stack

PORT_OFFSET = 3000
WINDOW, MAX_OUT_OF_ORDERNESS = 5.0, 1.0
LIVE_RATE = 400

CONTRACT = ModelContract(
    model="big_tipper",
    module="retrain.models.big_tipper",
    events_topic="bench.trips",
    labels_topic="bench.tips",
    key="trip_id",
    time="event_time",
    partitions=1,
    features=FEATURES,
    schema_path=str(CODE.schema),
    window_seconds=WINDOW,
    max_out_of_orderness_seconds=MAX_OUT_OF_ORDERNESS,
)


class StreamBench:
    """A running stream job, its events, and the comparison process."""

    def __init__(self, home: Path, *, rounds: int, events: int) -> None:
        self.home = home
        self.rounds = rounds
        self.events = events
        self.ports = PortMap().shifted(PORT_OFFSET)
        self.bootstrap = f"{HOST}:{self.ports.kafka}"

    def run(self, live_seconds: float) -> tuple[tuple[Ratio, ...], Spread]:
        """Run all measurements; the stack is stopped afterwards."""
        with (
            job_stack(self.home, self.ports) as stack,
            Child("tests.bench.comparison", self.home / "comparison.log") as comparison,
        ):
            comparison.send_line(CONTRACT)
            log = KafkaLog(self.bootstrap)
            events = applications_topic(CONTRACT.events_topic, partitions=1)
            log.ensure([*topics.RECORD_TOPICS, events])
            submit(self._settings())
            messages_read = log.follow(
                [topics.WINDOW_STATISTICS.name, topics.DRIFT_VERDICTS.name], from_start=True
            )
            comparison.wait_ready()
            ours, direct, rows = self._rounds(stack, messages_read, comparison)
            delay = self._delays(messages_read, live_seconds)
            log.close()
        return self._ratios(ours, direct, rows), delay

    def _rounds(
        self, stack: Stack, messages_read: Iterator[Message | None], comparison: Child
    ) -> tuple[list[Round], list[Round], list[Round]]:
        """All rounds but the first, which only warms up."""
        rounds: tuple[list[Round], list[Round], list[Round]] = ([], [], [])
        feed = EventFeed(self.bootstrap, CONTRACT, rounds=self.rounds, events=self.events)
        for number in range(self.rounds + 1):
            start, payload = feed.offset, feed.payload(number)
            ours = feed.round(stack, messages_read, payload, number)
            direct_rounds = []
            for mode in ("direct", "rows"):
                comparison.send_line(
                    Task(
                        mode="direct" if mode == "direct" else "rows",
                        bootstrap=self.bootstrap,
                        start=start,
                        stop=start + self.events,
                        artifacts=str(self.home / "artifacts"),
                    )
                )
                direct_rounds.append(comparison.receive_line(Round))
            if number:
                for target, measured in zip(rounds, (ours, *direct_rounds), strict=True):
                    target.append(measured)
        return rounds

    def _delays(self, messages_read: Iterator[Message | None], seconds: float) -> Spread:
        """Live traffic at the demonstration's rate, from a window's end to its verdict in Kafka."""
        to, source = producer(self.bootstrap), iter(())
        began, sent, delays = time.time(), 0, []
        rows: Iterator[Any] = source
        while time.time() < began + seconds:
            while sent < (time.time() - began) * LIVE_RATE:
                row = next(rows, None)
                if row is None:
                    rows = messages.rows(generate(np.random.default_rng(sent), 2000))
                    continue
                key, at = ("trip_id", f"live-{sent}"), ("event_time", time.time())
                value = messages.event(row, key=key, time=at)
                send(to, CONTRACT.events_topic, [value], flush=False)
                sent += 1
            to.poll(0)
            message = next(messages_read)
            record = decode(message.value) if message and message.value else None
            if isinstance(record, DriftVerdict) and record.window_start > began and message:
                delays.append(message.time - record.window_end)
        to.flush(10)
        return spread(
            f"end of a window to its verdict (out-of-orderness {MAX_OUT_OF_ORDERNESS:.0f} s of it)",
            delays,
        )

    def _ratios(
        self, ours: list[Round], direct: list[Round], rows: list[Round]
    ) -> tuple[Ratio, ...]:
        import tensorflow_data_validation as tfdv

        work = f"{self.events:,} events of {len(FEATURES)} fields to summary, TFDV and verdict"
        common = {"work": work, "unit": "events/s per core"}
        version = f"TFDV {tfdv.__version__}"
        row_by_row = "row by row decode, TFDV batches of 1,000, no Beam, no Flink"
        return (
            ratio(
                "stream job, share of the ceiling",
                ours,
                direct,
                comparison_name="same work called directly, no Beam, no Flink",
                comparison_version=version,
                **common,
            ),
            ratio(
                "stream job against records one by one",
                ours,
                rows,
                comparison_name=row_by_row,
                comparison_version=version,
                **common,
            ),
            ratio(
                "columns against records one by one, both called directly",
                direct,
                rows,
                comparison_name=row_by_row,
                comparison_version=version,
                **common,
            ),
        )

    def _settings(self) -> JobSettings:
        return dataclasses.replace(
            job_settings(self.home, self.ports, CONTRACT),
            # Rounds lie in the past, so idleness must not close windows.
            idle_timeout_seconds=86_400.0,
        )
