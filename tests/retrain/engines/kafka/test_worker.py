"""A complete worker on a real broker and a real store; only the training is faked."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from retrain.engines.model_store import FolderStore
from streaming.contracts.codec import decode
from streaming.contracts.model import ModelContract
from streaming.contracts.records import ModelVersion, Record, RetrainProgress, RetrainRequest
from streaming.contracts.topics import (
    MODEL_VERSIONS,
    RECORD_TOPICS,
    RETRAIN_CLAIMS,
    RETRAIN_PROGRESS,
    applications_topic,
)
from streaming.engines.kafka.log import KafkaLog
from tests.retrain.builders import CONTRACT, EVENTS, LABELS, MODEL, request

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[4]

WORKER = """
import sys, time
from pathlib import Path
from retrain.engines.kafka.examples import LogExampleBuilder
from retrain.engines.claimed_requests import ClaimedRequests
from retrain.engines.model_store import FolderStore
from retrain.ports import Progress, TrainingResult
from retrain.worker import Worker
from streaming.contracts.clock import SystemClock
from streaming.engines.kafka.log import KafkaLog
from tests.retrain.builders import CONTRACT, MODEL, servable

bootstrap, root, name, seconds = sys.argv[1:]

class Trainer:
    def steps_of(self, request):
        return 1

    def train(self, job, on_progress):
        on_progress(Progress(component="Trainer", state="started", step=1, steps=1))
        time.sleep(float(seconds))
        on_progress(Progress(component="Trainer", state="done", step=1, steps=1))
        return TrainingResult(servable=servable(job.work_dir / "m"), metrics=(), components=(),
            load_seconds=0.1, warm_predict_seconds=0.1, blessed=True, reason="Because.")

log = KafkaLog(bootstrap)
worker = Worker(
    requests=ClaimedRequests(KafkaLog(bootstrap), worker=name, clock=SystemClock()), log=log,
    trainer=Trainer(), store=FolderStore(Path(root)), examples=LogExampleBuilder(log=log),
    contracts={MODEL: CONTRACT}, clock=SystemClock(), name=name, scratch=Path(root) / "scratch",
)
worker.run(lambda: True)
"""


class KafkaEnvironment:
    """A broker with events, labels and the record topics, and a model store."""

    def __init__(self, bootstrap: str, root: Path) -> None:
        self.bootstrap, self.root = bootstrap, root
        self.log = KafkaLog(bootstrap)
        self.log.ensure(
            [
                *RECORD_TOPICS,
                RETRAIN_CLAIMS,
                applications_topic(EVENTS, partitions=2),
                applications_topic(LABELS, partitions=2),
            ]
        )
        self.store = FolderStore(root)

    def write_rows(self, contract: ModelContract, rows: int) -> RetrainRequest:
        keys, now = [f"trip-{n}" for n in range(rows)], time.time()
        self.log.append_raw(
            EVENTS,
            [
                (
                    k.encode(),
                    json.dumps({contract.key: k, contract.time: now, "fare": 9.5}).encode(),
                )
                for k in keys
            ],
        )
        self.log.append_raw(
            LABELS,
            [(k.encode(), json.dumps({contract.key: k, "tips": 2.0}).encode()) for k in keys],
        )
        return request(
            "real",
            at=now,
            deadline=now + 600,
            events=self.log.spans(EVENTS),
            labels=self.log.spans(LABELS),
        )

    def worker(self, name: str, seconds: float) -> subprocess.Popen[bytes]:
        arguments = [self.bootstrap, str(self.root), name, str(seconds)]
        return subprocess.Popen([sys.executable, "-c", WORKER, *arguments], cwd=ROOT)

    def records(self, topic: str) -> list[Record]:
        return [
            decode(m.value or b"") for span in self.log.spans(topic) for m in self.log.read(span)
        ]

    def progress(self) -> list[RetrainProgress]:
        return [r for r in self.records(RETRAIN_PROGRESS.name) if isinstance(r, RetrainProgress)]

    def versions(self) -> list[ModelVersion]:
        return [r for r in self.records(MODEL_VERSIONS.name) if isinstance(r, ModelVersion)]


def test_a_worker_killed_while_training_is_replaced_and_one_version_is_published(
    bootstrap: str, tmp_path: Path
) -> None:
    environment = KafkaEnvironment(bootstrap, tmp_path)
    environment.log.append([environment.write_rows(CONTRACT, 2_000)])
    first = environment.worker("w1", 300.0)
    second = None
    try:
        _wait_until(lambda: any(p.component == "Trainer" for p in environment.progress()), 60)
        second = environment.worker("w2", 0.2)
        first.send_signal(signal.SIGKILL)
        _wait_until(lambda: bool(environment.versions()), 120)
        (version,) = environment.versions()
        assert (version.version, version.training_rows, version.request_id) == (1, 2_000, "real")
        assert environment.store.versions(MODEL) == (1,)
        assert {(p.attempt, p.worker) for p in environment.progress()} == {(1, "w1"), (2, "w2")}
        assert list((tmp_path / "scratch").iterdir()) == [], "the dead worker's files are gone"
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()
        environment.log.close()


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.3)
