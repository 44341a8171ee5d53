"""A small model, a job that counts its events, and the records that the job writes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaming.contracts.codec import decode
from streaming.contracts.errors import DecodeError
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


def job_settings(
    cluster: Any, home: Path, *contracts: ModelContract, group: str = ""
) -> JobSettings:
    """The settings of a job for these models on the test's Flink."""
    rules = DriftRules(min_rows=50)
    return JobSettings(
        models=tuple(ModelJob(contract=contract, rules=rules) for contract in contracts),
        group=group,
        bootstrap=cluster.bootstrap,
        artifact_root=str(home / "artifacts"),
        job_endpoint=cluster.job_endpoint,
        worker_endpoint=cluster.worker_endpoint,
        flink_rest=cluster.rest,
        checkpoint_seconds=2.0,
        checkpoint_folder=str(cluster.home / "checkpoints"),
        idle_timeout_seconds=2.0,
    )


def follow(log: KafkaLog, model: str, seconds: float) -> Iterator[Record]:
    """The records of one model from the beginning, for this long."""
    deadline = time.monotonic() + seconds
    for message in log.follow(list(TOPICS), from_start=True):
        if time.monotonic() > deadline:
            return
        if message is None or message.value is None:
            continue
        with contextlib.suppress(DecodeError):  # other tests write damaged records to these topics
            record = decode(message.value)
            if record.model == model:
                yield record


def await_record(
    log: KafkaLog, model: str, matches: Callable[[Record], bool], *, seconds: float = 120
) -> Record:
    """The first record of the model that matches; waits until it is written."""
    for record in follow(log, model, seconds):
        if matches(record):
            return record
    raise AssertionError(f"{model}: no such record within {seconds:.0f} s")


def await_window(log: KafkaLog, model: str, *, after: float, partition: int | None = None) -> None:
    """Wait for the summary of a window that ended after this time and counts rows.

    Parameters
    ----------
    partition:
        The window must count rows of this partition; None = of any partition.
    """

    def matches(record: Record) -> bool:
        if not isinstance(record, WindowSummary) or record.window_end <= after:
            return False
        partitions = {span.partition for span in record.offsets}
        return bool(partitions) and (partition is None or partition in partitions)

    await_record(log, model, matches)


def await_windows(log: KafkaLog, model: str, count: int) -> list[WindowSummary]:
    """The first summaries of the model; waits until this many are written."""
    summaries: dict[str, WindowSummary] = {}

    def complete(record: Record) -> bool:
        if isinstance(record, WindowSummary):
            summaries.setdefault(record.record_id, record)
        return len(summaries) == count

    await_record(log, model, complete)
    return list(summaries.values())


@dataclass(slots=True)
class ModelOutput:
    """Everything that a job wrote about one model, repetitions included."""

    summaries: list[WindowSummary] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    verdicts: dict[float, DriftVerdict] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Add a record."""
        match record:
            case WindowSummary():
                self.summaries.append(record)
            case DeadLetter():
                self.dead_letters.append(record)
            case DriftVerdict():
                self.verdicts[record.window_end] = record
            case _:
                pass

    def complete(self, total: int) -> bool:
        """Whether `total` offsets are accounted for, each rejected one has its dead letter, and
        each window its verdict."""
        windows = {summary.record_id: summary for summary in self.summaries}.values()
        rejected = {(letter.partition, letter.offset) for letter in self.dead_letters}
        return (
            sum(window.offsets_read for window in windows) >= total
            and sum(window.dead_letters + window.late for window in windows) <= len(rejected)
            and {window.window_end for window in windows} == self.verdicts.keys()
        )


def collect(log: KafkaLog, model: str, total: int, *, seconds: float = 90) -> ModelOutput:
    """What the job wrote, once `total` offsets are accounted for or the time is over."""
    output = ModelOutput()
    for record in follow(log, model, seconds):
        output.add(record)
        if output.complete(total):
            break
    return output
