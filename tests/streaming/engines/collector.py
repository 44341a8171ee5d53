"""A small model, the job that counts its events, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaming.contracts.codec import decode
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import DeadLetter, DriftVerdict, Record, WindowSummary
from streaming.drift import DriftRules
from streaming.engines.kafka.log import KafkaLog
from streaming.job.settings import JobSettings, ModelJob

WINDOW = 4.0
TOPICS = ("window-statistics", "drift-verdicts", "dead-letters", "late-events")


def small_model(name: str, *, partitions: int = 3, window: float = WINDOW) -> ModelContract:
    """A model with one number and one category."""
    return ModelContract(
        model=name,
        module="",
        events_topic=f"{name}.trips",
        labels_topic=f"{name}.tips",
        key="id",
        time="at",
        partitions=partitions,
        window_seconds=window,
        max_out_of_orderness_seconds=1.0,
        features=(
            FeatureSpec(name="fare", kind="number", required=True),
            FeatureSpec(name="company", kind="text", categorical=True),
        ),
    )


def job_of(cluster: Any, home: Path, *contracts: ModelContract, group: str = "") -> JobSettings:
    """The settings of a job of these models on the test's Flink."""
    rules = DriftRules(min_rows=50)
    return JobSettings(
        models=tuple(ModelJob(contract=one, rules=rules) for one in contracts),
        group=group,
        bootstrap=cluster.bootstrap,
        artifact_root=str(home / "artifacts"),
        job_endpoint=cluster.job_endpoint,
        worker_endpoint=cluster.worker_endpoint,
        flink_rest=cluster.rest,
        checkpoint_seconds=2.0,
        checkpoint_folder=str(cluster.home / "checkpoints"),
        idle_seconds=2.0,
    )


def follow(log: KafkaLog, model: str, seconds: float) -> Iterator[Record]:
    """The records of one model until the time is over."""
    deadline = time.monotonic() + seconds
    for message in log.follow(list(TOPICS), from_start=True):
        if time.monotonic() > deadline:
            return
        if message is not None and message.value is not None:
            record = decode(message.value)
            if record.model == model:
                yield record


@dataclass(slots=True)
class Counted:
    """Everything that a job wrote about one model, repeats included."""

    summaries: list[WindowSummary] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    verdicts: dict[float, DriftVerdict] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """One more."""
        match record:
            case WindowSummary():
                self.summaries.append(record)
            case DeadLetter():
                self.letters.append(record)
            case DriftVerdict():
                self.verdicts[record.window_end] = record
            case _:
                pass

    def complete(self, total: int) -> bool:
        """Are `total` offsets accounted for, each aside with its letter, each window judged?"""
        once = {one.record_id: one for one in self.summaries}.values()
        letters = {(one.partition, one.offset) for one in self.letters}
        return (
            sum(one.offsets_read for one in once) >= total
            and sum(one.dead_letters + one.late for one in once) <= len(letters)
            and {one.window_end for one in once} == self.verdicts.keys()
        )


def collect(log: KafkaLog, model: str, total: int, *, seconds: float = 90) -> Counted:
    """What the job wrote, once `total` offsets are accounted for or the time is over."""
    found = Counted()
    for record in follow(log, model, seconds):
        found.add(record)
        if found.complete(total):
            break
    return found
