"""What was sent is what was counted, whatever is killed on the way.

Paced events over three partitions, one of them silent; bad and late records among them; the
TaskManager and then the Python worker die by SIGKILL, a promotion comes while the job runs.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from streaming.contracts.codec import decode, encode
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    Artifact,
    DeadLetter,
    DriftVerdict,
    Promotion,
    Record,
    WindowSummary,
)
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.drift import DriftRules
from streaming.engines.artifacts import ArtifactStore
from streaming.engines.flink import Flink, submit
from streaming.engines.job import JobSettings, ModelJob
from streaming.engines.kafka_log import KafkaLog
from streaming.reference import build_reference

pytestmark = pytest.mark.engine

RATE = 400
SECONDS = 36
LETTERS = ("dead-letters", "late-events")
WINDOW = 4.0
CONTRACT = ModelContract(
    model="taxi",
    module="",
    events_topic="trips",
    labels_topic="tips",
    key="id",
    time="at",
    partitions=3,
    window_seconds=WINDOW,
    disorder_seconds=1.0,
    features=(
        FeatureSpec(name="fare", kind="number", required=True),
        FeatureSpec(name="company", kind="text", categorical=True),
    ),
)


@dataclass(slots=True)
class Sender:
    """Sends paced events and remembers what it sent; partition 2 stays silent."""

    bootstrap: str
    good: Counter[float] = field(default_factory=Counter)
    bad: int = 0
    late: int = 0

    def run(self, events: dict[float, Callable[[], None]]) -> None:
        """Send for SECONDS; call each of `events` once its second has come."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all"})
        rng, began, waiting = random.Random(5), time.time(), dict(events)
        for number in itertools.count():
            ahead = began + number / RATE - time.time()
            if number / RATE > SECONDS:
                break
            if ahead > 0:
                producer.poll(min(ahead, 0.05))
                time.sleep(ahead)
            for second in [s for s in waiting if time.time() - began > s]:
                waiting.pop(second)()
            producer.produce("trips", self._next(number, began, rng), partition=number % 2)
        assert producer.flush(30) == 0

    def _next(self, number: int, began: float, rng: random.Random) -> bytes:
        at = time.time() - rng.random() * 0.4
        if number % 97 == 96:
            self.bad += 1
            return rng.choice([b"", b"{", b'{"id":"x","at":1}', b'{"fare":"no"}'])
        if number % 211 == 210 and time.time() > began + 3 * WINDOW:
            self.late += 1
            return event(began - 100, rng)
        self.good[at // WINDOW * WINDOW + WINDOW] += 1
        return event(at, rng)

    @property
    def total(self) -> int:
        """Records sent."""
        return self.good.total() + self.bad + self.late


def event(at: float, rng: random.Random) -> bytes:
    fields = {"id": "k", "at": at, "fare": rng.gauss(10, 2), "company": rng.choice("abc")}
    return json.dumps(fields).encode()


def follow(log: KafkaLog, topics: list[str], seconds: float) -> Iterator[Record]:
    """Records until the time is over."""
    deadline = time.monotonic() + seconds
    for message in log.follow(topics, from_start=True):
        if time.monotonic() > deadline:
            return
        if message is not None and message.value is not None:
            yield decode(message.value)


def promote(log: KafkaLog, store: ArtifactStore) -> None:
    """The first windows become the reference, while the job runs."""
    seen: list[WindowSummary] = []
    for record in follow(log, ["window-statistics"], 30):
        assert isinstance(record, WindowSummary)
        seen.append(record)
        if len(seen) == 2:
            break
    reference = build_reference(seen, model="taxi", version=1, at=1.0)
    artifact: Artifact = store.put("references/taxi/1.json", encode(reference))
    log.append(
        [
            Promotion(
                record_id="first",
                model="taxi",
                at=1.0,
                version=1,
                replaced=0,
                change="initial",
                reason="",
                artifact=artifact,
                reference=artifact,
                window_start=reference.window_start,
                window_end=reference.window_end,
            )
        ]
    )


def test_every_event_is_counted_once(cluster: Any, tmp_path: Path) -> None:
    log, store = KafkaLog(cluster.bootstrap), ArtifactStore(tmp_path / "artifacts")
    log.ensure([*RECORD_TOPICS, applications_topic("trips", partitions=3)])
    settings = JobSettings(
        models=(ModelJob(contract=CONTRACT, rules=DriftRules(min_rows=50)),),
        bootstrap=cluster.bootstrap,
        artifact_root=str(store.root),
        job_endpoint=cluster.job_endpoint,
        worker_endpoint=cluster.worker_endpoint,
        flink_rest=cluster.rest,
        checkpoint_seconds=2.0,
        checkpoint_folder=str(cluster.home / "checkpoints"),
        idle_seconds=2.0,
    )
    job = submit(settings)
    assert submit(settings) == job
    sender = Sender(cluster.bootstrap)
    sender.run(
        {
            12.0: lambda: promote(log, store),
            15.0: lambda: kill_taskmanager(cluster),
            26.0: lambda: kill_workers(cluster),
        }
    )
    records = collect(log, sender.total)
    summaries = {r.window_end: r for r in records.values() if isinstance(r, WindowSummary)}
    accepted = {end: s.accepted for end, s in summaries.items() if s.accepted}
    assert accepted == dict(sender.good)
    assert sum(s.dead_letters for s in summaries.values()) == sender.bad
    assert sum(s.late for s in summaries.values()) == sender.late
    assert sum(s.offsets_read for s in summaries.values()) == sender.total
    letters = [r for r in records.values() if isinstance(r, DeadLetter)]
    assert len(letters) == sender.bad + sender.late
    verdicts = {r.window_end: r for r in records.values() if isinstance(r, DriftVerdict)}
    assert verdicts.keys() == summaries.keys()
    assert verdicts[max(sender.good)].reference_id == "first"
    flink = Flink(cluster.rest)
    assert flink.status(job).restarts >= 2
    flink.cancel(job)
    assert flink.find(settings.name) is None


def kill_taskmanager(cluster: Any) -> None:
    cluster.kill("taskmanager")
    cluster.start("taskmanager")


def kill_workers(cluster: Any) -> None:
    """Kill the Python worker once the job has recovered and one is there."""
    flink, pool = Flink(cluster.rest), psutil.Process(cluster.processes["workers"].pid)
    job = flink.find("driftline-taxi")
    assert job is not None
    deadline = time.monotonic() + 120
    while not (flink.running(job) and (workers := pool.children(recursive=True))):
        assert time.monotonic() < deadline, "the job did not recover"
        time.sleep(0.5)
    for worker in workers:
        worker.kill()


def collect(log: KafkaLog, total: int) -> dict[str, Record]:
    """Every record once by its id, until all offsets are accounted for; repeats must be equal."""
    found: dict[str, Record] = {}
    read = 0
    for record in follow(log, ["window-statistics", "drift-verdicts", *LETTERS], 90):
        if isinstance(record, WindowSummary) and record.record_id in found:
            assert found[record.record_id] == record
        found[record.record_id] = record
        windows = [r for r in found.values() if isinstance(r, WindowSummary)]
        counts = Counter(type(r) for r in found.values())
        read = sum(window.offsets_read for window in windows)
        aside = sum(window.dead_letters + window.late for window in windows)
        if (read, aside, len(windows)) == (total, counts[DeadLetter], counts[DriftVerdict]):
            return found
    raise AssertionError(f"{read} of {total} offsets were accounted for")
