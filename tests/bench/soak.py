"""``python -m tests.bench --only soak --minutes 30``: memory growth and exact counts over time.

One job of `MODELS` models under steady traffic with windows of a few seconds, so that thousands
open and close. There are unreadable and late events among the good ones, a value every minute that
no window had before, and partitions that fall silent for half a minute in turn. Every
`INTERVAL_SECONDS` the memory is measured. At the end each offset must be counted exactly once, as
the engine tests check it (`tests/streaming/engines/checker.py`), and each series has a slope.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deploy.config.port_map import PortMap
from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DriftVerdict, Record, WindowSummary
from streaming.contracts.topics import applications_topic
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.bench.figures import Series, Soak, spread
from tests.bench.growth import INTERVAL_SECONDS, series
from tests.bench.job_stack import job_settings, job_stack
from tests.bench.probe import MEASURES, Probe
from tests.bench.soak_traffic import MAX_OUT_OF_ORDERNESS, WINDOW, Events, soaked
from tests.promotions import promote_each
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import TOPICS, ModelOutput
from tests.streaming.engines.producer import PacedProducer

PORT_OFFSET = 4100
MODELS, RATE = 10, 200.0
"""Events per second of each model."""
TIMEOUT_SECONDS = 120.0
"""Seconds without a new record after which no more are expected. A job that fell behind on a busy
machine has so much time to catch up."""


@dataclass(slots=True)
class JobOutput:
    """The records that the job has written so far."""

    counted: dict[str, ModelOutput]
    since: float = 0.0
    """Delays count from this time on, in seconds since 1970. References are prepared before."""
    delays: list[float] = field(default_factory=list)
    records: int = 0
    judged: int = 0
    inconclusive: int = 0

    def add(self, record: Record, written: float) -> None:
        """Add a record and the time of its message."""
        counted = self.counted[record.model]
        self.records += 1
        if isinstance(record, DriftVerdict) and record.window_end not in counted.verdicts:
            if written > self.since:
                self.delays.append(written - record.window_end - MAX_OUT_OF_ORDERNESS)
            self.inconclusive += record.outcome == "inconclusive"
            self.judged += record.outcome != "inconclusive"
        counted.add(record)


class SoakBench:
    """A job, its traffic, and their measurement."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = PortMap().shifted(PORT_OFFSET)
        self.contracts = [soaked(number) for number in range(MODELS)]
        self.settings = job_settings(home, self.ports, *self.contracts, group="soak")
        self.output = JobOutput(
            counted={contract.model: ModelOutput() for contract in self.contracts}
        )
        self.at: list[float] = []
        self.rows: list[tuple[float, ...]] = []

    def run(self, minutes: float) -> Soak:
        """Traffic for `minutes` after the references; everything is stopped afterwards."""
        with job_stack(self.home, self.ports) as stack:
            log, flink = KafkaLog(self.settings.bootstrap), Flink(self.settings.flink_rest)
            log.ensure([*topics.RECORD_TOPICS, *(_events(contract) for contract in self.contracts)])
            job = submit(self.settings)
            probe = Probe(stack=stack, rest_url=self.settings.flink_rest, job=job)
            senders = [self._sender(number) for number in range(MODELS)]
            for sender in senders:
                sender.start()
            try:
                store = ArtifactStore(Path(self.settings.artifact_root))
                promote_each(log, store, self.output.counted.keys())
                messages_read = log.follow(list(TOPICS), from_start=True)
                # While a job starts, Flink counts checkpoints that it could not begin as failed.
                failed = flink.status(job).checkpoints_failed
                self._watch(messages_read, probe, senders, minutes * 60)
            finally:
                for sender in senders:
                    sender.stop()
            self._finish(messages_read, senders)
            status = flink.status(job)
        failures = status.restarts, status.checkpoints_failed - failed
        return self._report(senders, minutes, failures)

    def _sender(self, number: int) -> PacedProducer:
        contract = self.contracts[number]
        return PacedProducer(
            self.settings.bootstrap,
            contract.events_topic,
            WINDOW,
            partitions=(0, 1),
            rate=RATE,
            make=Events(number),
        )

    def _watch(
        self,
        messages_read: Iterator[Message | None],
        probe: Probe,
        senders: list[PacedProducer],
        seconds: float,
    ) -> None:
        """Read and measure; after each measurement another model's second partition is silent."""
        self.output.since, began = time.time(), time.monotonic()
        due = began + INTERVAL_SECONDS
        while due <= began + seconds:
            self._read(messages_read)
            if time.monotonic() < due:
                continue
            self.at.append(time.monotonic() - began)
            self.rows.append((*probe.measure(), self._median_delay()))
            for number, sender in enumerate(senders):
                silent = number == len(self.rows) % MODELS
                partitions = (0,) if silent else (0, 1)
                if sender.partitions != partitions:  # a change makes the sender query Kafka
                    sender.partitions = partitions
            halfway = due <= began + seconds / 2 < due + INTERVAL_SECONDS
            if halfway or due + INTERVAL_SECONDS > began + seconds:
                name = "heap-halfway.txt" if halfway else "heap-end.txt"
                (self.home / name).write_text(probe.histogram())
            due += INTERVAL_SECONDS

    def _read(self, messages_read: Iterator[Message | None]) -> None:
        message = next(messages_read)
        if message is not None and message.value is not None:
            self.output.add(decode(message.value), message.time)

    def _finish(
        self, messages_read: Iterator[Message | None], senders: list[PacedProducer]
    ) -> None:
        """Read until every window has closed and is judged."""
        until, size = time.monotonic() + TIMEOUT_SECONDS, 0
        pairs = list(zip(self.output.counted.values(), senders, strict=True))
        while time.monotonic() < until:
            pause = time.monotonic() + 2.0
            while time.monotonic() < pause:
                self._read(messages_read)
            if all(counted.complete(len(sender.sent)) for counted, sender in pairs):
                return
            if (written := self.output.records) > size:
                until, size = time.monotonic() + TIMEOUT_SECONDS, written

    def _median_delay(self) -> float:
        """Median delay of the newest verdicts, about as many as there are in one interval."""
        newest = sorted(self.output.delays[-round(MODELS * INTERVAL_SECONDS / WINDOW) :])
        return newest[len(newest) // 2] * 1000 if newest else 0.0

    def _report(
        self, senders: list[PacedProducer], minutes: float, failures: tuple[int, int]
    ) -> Soak:
        pairs = list(zip(self.output.counted.items(), senders, strict=True))
        contradictions = [
            f"{model}: {problem}"
            for (model, counted), sender in pairs
            for problem in problems(sender.sent, counted.summaries, counted.dead_letters)
        ]
        once: dict[tuple[str, float], WindowSummary] = {
            (model, summary.window_end): summary
            for model, counted in self.output.counted.items()
            for summary in counted.summaries
        }
        return Soak(
            minutes=minutes,
            models=MODELS,
            features=len(self.contracts[0].features),
            window_seconds=WINDOW,
            events_per_second=MODELS * RATE,
            at=tuple(round(at, 1) for at in self.at),
            series=tuple(self._series()),
            sent=sum(len(sender.sent) for sender in senders),
            accepted=sum(summary.accepted for summary in once.values()),
            dead_letters=sum(summary.dead_letters for summary in once.values()),
            late=sum(summary.late for summary in once.values()),
            problems=tuple(contradictions),
            windows=len(once),
            judged=self.output.judged,
            inconclusive=self.output.inconclusive,
            restarts=failures[0],
            checkpoints_failed=failures[1],
            delay=spread(
                "end of a window and its out-of-orderness to its verdict", self.output.delays
            ),
        )

    def _series(self) -> Iterator[Series]:
        kinds = (*MEASURES.items(), ("median delay of verdicts", "ms"))
        for (name, unit), values in zip(kinds, zip(*self.rows, strict=True), strict=True):
            yield series(name, unit, self.at, values)


def _events(contract: ModelContract) -> topics.Topic:
    return applications_topic(contract.events_topic, partitions=contract.partitions)
