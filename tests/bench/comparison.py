"""The stream job's work without Beam and Flink, in a process of its own, for comparison.

``direct`` calls the job's own parts on the same fetches: consume, decode, window, summarise,
statistics proto, schema, judge, encode the records, all in one loop. ``rows`` decodes record by
record and summarises batches of 1,000 rows, as a pipeline does that gets single records; its other
steps are the same.

Exchanges JSON lines: a `Task` in, a `Round` out. The first line out is ``ready``.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from streaming.contracts.codec import encode
from streaming.contracts.model import ModelContract
from streaming.drift import DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.kafka.shard_reader import shared_reader
from streaming.job.model_step import ModelState, ModelStep
from streaming.job.read_events import to_fetch
from streaming.job.settings import ModelJob
from streaming.windowing.accumulator import WindowAccumulator
from streaming.windowing.event_reader import EventReader, ReadResult
from tests.bench.figures import Round
from tests.bench.rows import RowByRow

FETCH = 5000


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Summarise the offsets start … stop of partition 0."""

    mode: Literal["direct", "rows"]
    bootstrap: str
    start: int
    stop: int
    artifacts: str


class ComparisonWorker:
    """Runs tasks for one contract."""

    def __init__(self, contract: ModelContract) -> None:
        self.contract = contract
        self.reading = EventReader(contract)
        self.job = ModelJob(contract=contract, rules=DriftRules())
        gc.collect()
        gc.freeze()  # as the job's worker does

    def run(self, task: Task) -> Round:
        """Run one task and measure it."""
        self.step = ModelStep(self.job, ArtifactStore(Path(task.artifacts)))
        self.state = ModelState()
        wall, cpu = time.perf_counter(), time.process_time()
        parts = self._direct(task) if task.mode == "direct" else self._rows(task)
        accepted = sum(self._close(end, part) for end, part in sorted(parts.items()))
        seconds = time.perf_counter() - wall
        return Round(
            work=accepted,
            wall_seconds=seconds,
            cpu_seconds=time.process_time() - cpu,
        )

    def _close(self, end: int, part: WindowAccumulator) -> int:
        """Do the job's work on a closed window, except writing to Kafka; returns its rows."""
        window, self.state = self.step.close(end, [part], self.state)
        for record in window.records:
            encode(record)
        return window.summary.accepted

    def _fetches(self, task: Task) -> Iterator[list[Any]]:
        partition, start = (self.contract.events_topic, 0), task.start
        source = shared_reader(task.bootstrap, partition)
        while start < task.stop:
            size = min(FETCH, task.stop - start)
            for _, messages in source.fetch({partition: start}, max_records=size, wait_seconds=1.0):
                start = messages[-1].offset() + 1
                yield messages

    def _direct(self, task: Task) -> dict[int, WindowAccumulator]:
        result = ReadResult()
        for messages in self._fetches(task):
            self.reading.add(result, to_fetch(0, messages), now=time.time())
        return result.windows

    def _rows(self, task: Task) -> dict[int, WindowAccumulator]:
        windows: dict[int, WindowAccumulator] = {}
        rows = RowByRow(self.contract, self.reading)
        for messages in self._fetches(task):
            for message in messages:
                rows.add(windows, message.value(), now=time.time())
        rows.finish(windows)
        return windows


def main() -> None:
    """Read the contract, then tasks, until the input ends."""
    contract = msgspec.json.decode(sys.stdin.readline(), type=ModelContract)
    worker = ComparisonWorker(contract)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        measured = worker.run(msgspec.json.decode(line, type=Task))
        sys.stdout.write(msgspec.json.encode(measured).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
