"""Completes ML Metadata from the log: requests, versions, failures, canary verdicts, promotions.

The trainer writes what it does itself. What happens before and after it is on the log, and is
written here: by the retrain worker as it happens, and by `driftline runs` before it reads. Both may
do so at any time, because each record is a node of its own name. The place in the log is in ML
Metadata itself, so a new store is filled from the log's beginning.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from retrain.engines.mlmd.graph import Graph, number_of
from retrain.engines.mlmd.outcomes import OutcomeWriter, RunRecord
from retrain.engines.run_files import RunFiles
from streaming.contracts import topics
from streaming.contracts.codec import record_in
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    CanaryVerdict,
    ModelVersion,
    OffsetRange,
    Promotion,
    RetrainFailure,
    RetrainRequest,
)

TOPICS = (
    topics.RETRAIN_REQUESTS,
    topics.MODEL_VERSIONS,
    topics.RETRAIN_FAILURES,
    topics.CANARY_VERDICTS,
    topics.PROMOTIONS,
)
"""Causes before effects."""
POSITION = "driftline.LogPosition"
"""Type of the context that holds the next offset of each topic, by the log's address."""


class Recorder:
    """Writes the log's records into ML Metadata.

    Parameters
    ----------
    graph:
        ML Metadata.
    files:
        Where the files of runs are kept.
    log_name:
        Name of the log, its address: another log has positions of its own.
    """

    def __init__(self, graph: Graph, files: RunFiles, *, log_name: str) -> None:
        self._graph, self._files, self._name = graph, files, log_name
        self._writer = OutcomeWriter(graph, files)

    def catch_up(self, log: RecordLog) -> int | None:
        """Write everything that is new on the log; returns the number of records.

        None when another process is doing it.
        """
        with _only_one(self._files) as alone:
            return self._catch_up(log) if alone else None

    def _catch_up(self, log: RecordLog) -> int:
        # Effects' ends first: whatever they are about is then in the part of the causes' topics.
        ends = {topic.name: log.spans(topic.name) for topic in reversed(TOPICS)}
        position = self._graph.context(POSITION, self._name, {})
        written = 0
        for topic in TOPICS:
            for span in ends[topic.name]:
                key = f"{span.topic}/{span.partition}"
                reached = int(number_of(position, key))
                # A topic that ends before the place that was reached was created anew.
                start = span.start if reached > span.stop else max(reached, span.start)
                if start == span.stop:
                    continue
                written += self._write(log, replace(span, start=start))
                position = self._graph.context(POSITION, self._name, {key: span.stop})
        return written

    def _write(self, log: RecordLog, span: OffsetRange) -> int:
        count = 0
        for record in _newest_verdicts(_records(log, span)):
            self._writer.write(record)
            count += 1
        return count


def _records(log: RecordLog, span: OffsetRange) -> Iterator[RunRecord]:
    for message in log.read(span):
        record = record_in(message.value)
        if isinstance(
            record, RetrainRequest | ModelVersion | RetrainFailure | CanaryVerdict | Promotion
        ):
            yield record


def _newest_verdicts(records: Iterator[RunRecord]) -> Iterator[RunRecord]:
    """The records, of each rollout only the newest verdict; verdicts come last."""
    verdicts: dict[tuple[str, str], CanaryVerdict] = {}
    for record in records:
        if isinstance(record, CanaryVerdict):
            verdicts[record.model, record.rollout_id] = record
        else:
            yield record
    yield from verdicts.values()


@contextmanager
def _only_one(files: RunFiles) -> Iterator[bool]:
    """Whether this process alone records now, on this machine."""
    files.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(files.root / ".recorder.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)
