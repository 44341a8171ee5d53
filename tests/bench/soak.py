"""``python -m tests.bench --only soak --minutes 30``: does a stream job grow, and does it count?

One job of `MODELS` models under steady traffic with windows of a few seconds, so that thousands
open and close: unreadable and late events among the good ones, a value every minute that no window
had before, one partition after the other silent for half a minute. Every `EVERY` seconds the
memory is measured. At the end each offset must be counted exactly once, as the engine tests check
it (`tests/streaming/engines/checker.py`), and each series has its slope.
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
from streaming.engines.flink.client import Flink, submit
from streaming.engines.kafka.log import KafkaLog
from tests.bench.figures import Series, Soak, spread
from tests.bench.growth import EVERY, series
from tests.bench.job_stack import job_settings, job_stack
from tests.bench.probe import MEASURES, Probe
from tests.bench.soak_traffic import DISORDER, WINDOW, Events, soaked
from tests.promotions import promote_each
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import TOPICS, Counted
from tests.streaming.engines.producer import Paced

PORT_OFFSET = 4100
MODELS, RATE = 10, 200.0
"""Events per second of each model."""
PATIENCE = 120.0
"""Seconds without a new record after which no more are expected: a job that fell behind on a busy
machine is given the time to catch up."""


@dataclass(slots=True)
class Seen:
    """What the job has written so far."""

    counted: dict[str, Counted]
    since: float = 0.0
    """Delays count from then on, seconds since 1970: references are prepared before."""
    delays: list[float] = field(default_factory=list)
    records: int = 0
    judged: int = 0
    undecided: int = 0

    def add(self, record: Record, written: float) -> None:
        """One more record and the time of its message."""
        counted = self.counted[record.model]
        self.records += 1
        if isinstance(record, DriftVerdict) and record.window_end not in counted.verdicts:
            if written > self.since:
                self.delays.append(written - record.window_end - DISORDER)
            self.undecided += record.outcome == "inconclusive"
            self.judged += record.outcome != "inconclusive"
        counted.add(record)


class SoakBench:
    """A job, its traffic, and who watches them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = PortMap().shifted(PORT_OFFSET)
        self.contracts = [soaked(number) for number in range(MODELS)]
        self.settings = job_settings(home, self.ports, *self.contracts, group="soak")
        self.seen = Seen(counted={one.model: Counted() for one in self.contracts})
        self.at: list[float] = []
        self.rows: list[tuple[float, ...]] = []

    def run(self, minutes: float) -> Soak:
        """So many minutes of traffic after the references; everything is stopped afterwards."""
        with job_stack(self.home, self.ports) as stack:
            log, flink = KafkaLog(self.settings.bootstrap), Flink(self.settings.flink_rest)
            log.ensure([*topics.RECORD_TOPICS, *(_events(one) for one in self.contracts)])
            job = submit(self.settings)
            probe = Probe(stack=stack, rest=self.settings.flink_rest, job=job)
            senders = [self._sender(number) for number in range(MODELS)]
            for sender in senders:
                sender.start()
            try:
                store = ArtifactStore(Path(self.settings.artifact_root))
                promote_each(log, store, self.seen.counted.keys())
                told = log.follow(list(TOPICS), from_start=True)
                # while a job comes up, Flink counts checkpoints as failed that it could not begin
                failed = flink.status(job).checkpoints_failed
                self._watch(told, probe, senders, minutes * 60)
            finally:
                for sender in senders:
                    sender.stop()
            self._finish(told, senders)
            status = flink.status(job)
        troubles = status.restarts, status.checkpoints_failed - failed
        return self._report(senders, minutes, troubles)

    def _sender(self, number: int) -> Paced:
        one = self.contracts[number]
        return Paced(
            self.settings.bootstrap,
            one.events_topic,
            WINDOW,
            partitions=(0, 1),
            rate=RATE,
            make=Events(number),
        )

    def _watch(
        self, told: Iterator[Message | None], probe: Probe, senders: list[Paced], seconds: float
    ) -> None:
        """Follow and measure; with each measurement another model's second partition is silent."""
        self.seen.since, began = time.time(), time.monotonic()
        due = began + EVERY
        while due <= began + seconds:
            self._read(told)
            if time.monotonic() < due:
                continue
            self.at.append(time.monotonic() - began)
            self.rows.append((*probe.measure(), self._median_delay()))
            for number, sender in enumerate(senders):
                silent = number == len(self.rows) % MODELS
                wanted = (0,) if silent else (0, 1)
                if sender.partitions != wanted:  # a new value makes it ask Kafka again
                    sender.partitions = wanted
            halfway = due <= began + seconds / 2 < due + EVERY
            if halfway or due + EVERY > began + seconds:
                name = "heap-halfway.txt" if halfway else "heap-end.txt"
                (self.home / name).write_text(probe.histogram())
            due += EVERY

    def _read(self, told: Iterator[Message | None]) -> None:
        message = next(told)
        if message is not None and message.value is not None:
            self.seen.add(decode(message.value), message.time)

    def _finish(self, told: Iterator[Message | None], senders: list[Paced]) -> None:
        """Until every window has closed and is judged."""
        until, size = time.monotonic() + PATIENCE, 0
        pairs = list(zip(self.seen.counted.values(), senders, strict=True))
        while time.monotonic() < until:
            pause = time.monotonic() + 2.0
            while time.monotonic() < pause:
                self._read(told)
            if all(counted.complete(len(sender.sent)) for counted, sender in pairs):
                return
            if (written := self.seen.records) > size:
                until, size = time.monotonic() + PATIENCE, written

    def _median_delay(self) -> float:
        """Of the newest verdicts, about as many as one measurement sees."""
        newest = sorted(self.seen.delays[-round(MODELS * EVERY / WINDOW) :])
        return newest[len(newest) // 2] * 1000 if newest else 0.0

    def _report(self, senders: list[Paced], minutes: float, troubles: tuple[int, int]) -> Soak:
        pairs = list(zip(self.seen.counted.items(), senders, strict=True))
        found = [
            f"{model}: {problem}"
            for (model, counted), sender in pairs
            for problem in problems(sender.sent, counted.summaries, counted.letters)
        ]
        once: dict[tuple[str, float], WindowSummary] = {
            (model, one.window_end): one
            for model, counted in self.seen.counted.items()
            for one in counted.summaries
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
            accepted=sum(one.accepted for one in once.values()),
            dead_letters=sum(one.dead_letters for one in once.values()),
            late=sum(one.late for one in once.values()),
            problems=tuple(found),
            windows=len(once),
            judged=self.seen.judged,
            undecided=self.seen.undecided,
            restarts=troubles[0],
            checkpoints_failed=troubles[1],
            delay=spread("end of a window and its disorder to its verdict", self.seen.delays),
        )

    def _series(self) -> Iterator[Series]:
        kinds = (*MEASURES.items(), ("median delay of verdicts", "ms"))
        for (name, unit), values in zip(kinds, zip(*self.rows, strict=True), strict=True):
            yield series(name, unit, self.at, values)


def _events(one: ModelContract) -> topics.Topic:
    return applications_topic(one.events_topic, partitions=one.partitions)
