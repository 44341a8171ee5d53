"""ML Metadata is completed from the log, whenever, by whomever, and in any part."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.runs.recorder import TOPICS, Recorder
from retrain.engines.mlmd.connection import open_store
from retrain.engines.mlmd.graph import Graph
from retrain.engines.mlmd.run_reader import read_runs
from retrain.engines.run_files import RunFiles
from retrain.run_view import Run
from streaming.contracts import topics
from streaming.contracts.log import MemoryLog, Message
from streaming.contracts.records import OffsetRange, Record
from tests.deploy.cli.builders import MODEL, canary_verdict, promotion, version
from tests.retrain.builders import request

REQUEST = replace(request("request-2"), model=MODEL)
VERSION = replace(version(2), artifact=replace(version(2).artifact, uri="file:///absent/2"))


class Recording:
    """A log and a recorder with ML Metadata of its own."""

    def __init__(self, folder: Path) -> None:
        self.log = MemoryLog()
        self.log.ensure(topics.RECORD_TOPICS)
        self.store = open_store(folder / "mlmd.sqlite")
        self.files = RunFiles(folder / "runs")

    def catch_up(self, name: str = "kafka:9092") -> int | None:
        return Recorder(Graph(self.store), self.files, log_name=name).catch_up(self.log)

    def runs(self) -> tuple[Run, ...]:
        return read_runs(self.store)


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path)


def test_the_log_becomes_runs_once(recording: Recording) -> None:
    assert recording.catch_up() == 0
    recording.log.append([REQUEST, VERSION])
    assert recording.catch_up() == 2
    recording.log.append([canary_verdict(weight=w) for w in (1, 5, 10)] + [promotion(2)])
    assert recording.catch_up() == 2  # of a rollout's verdicts only the newest counts
    assert recording.catch_up() == 0
    (run,) = recording.runs()
    assert (run.run_id, run.state, run.version, run.reason) == (
        "request-2", "published", 2, "because",
    )  # fmt: skip
    assert [(event.kind, event.outcome) for event in run.history] == [
        ("promotion", "initial"),
        ("canary", "insufficient"),
    ]


def test_another_log_is_read_from_its_start(recording: Recording) -> None:
    recording.log.append([REQUEST])
    assert recording.catch_up("one:9092") == 1
    assert recording.catch_up("other:9092") == 1
    assert len(recording.runs()) == 1


def test_a_topic_that_was_created_anew_is_read_from_its_start(recording: Recording) -> None:
    recording.log.append([REQUEST, replace(REQUEST, record_id="request-3")])
    recording.catch_up()
    recording.log = MemoryLog()
    recording.log.ensure(topics.RECORD_TOPICS)
    recording.log.append([replace(REQUEST, record_id="request-4")])
    assert recording.catch_up() == 1
    assert {run.run_id for run in recording.runs()} == {"request-2", "request-3", "request-4"}


def test_only_one_process_of_a_machine_records_at_a_time(recording: Recording) -> None:
    recording.log.append([REQUEST])
    recording.files.root.mkdir(parents=True)
    with (recording.files.root / ".recorder.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert recording.catch_up() is None
    assert recording.catch_up() == 1


class GrowingLog(MemoryLog):
    """While requests are read, a version is published, judged and promoted."""

    grown: bool = False

    def read(self, span: OffsetRange) -> Iterator[Message]:
        if span.topic == topics.RETRAIN_REQUESTS.name and not self.grown:
            self.grown = True
            later: list[Record] = [VERSION, canary_verdict(), promotion(2)]
            self.append(later)
        return super().read(span)


def test_what_comes_while_it_reads_is_not_lost(recording: Recording) -> None:
    recording.log = GrowingLog()
    recording.log.ensure(topics.RECORD_TOPICS)
    recording.log.append([REQUEST])
    recording.catch_up()
    recording.catch_up()
    (run,) = recording.runs()
    assert (run.version, len(run.history)) == (2, 2)


def test_a_message_that_cannot_be_read_stops_nothing(recording: Recording) -> None:
    for topic in TOPICS:
        recording.log.append_raw(topic.name, [(b"k", b"\xff no record")])
    recording.log.append([REQUEST])
    assert recording.catch_up() == 1
    assert recording.catch_up() == 0
