"""The peers of the stream job, in a process of their own: the same work without Beam and Flink.

``direct`` calls the job's own parts on the same fetches: consume, decode, window, summarise,
statistics proto, schema, judge, encode the records, all in one loop. ``rows`` decodes record by
record with the row rule and sums up batches of 1,000 rows, as a pipeline does that gets its records
one at a time; the rest is the same.

Speaks JSON lines: a `Task` in, a `Round` out; the first line out is ``ready``.
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
from streaming.drift import DriftHistory, DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.kafka.shard_reader import reader
from streaming.job.close_windows import ModelSteps
from streaming.job.read_events import as_fetch
from streaming.job.schema_step import SchemaKept
from streaming.job.settings import ModelJob
from streaming.windowing.accumulator import WindowPartial
from streaming.windowing.event_reader import Reading, Step
from tests.bench.figures import Round
from tests.bench.rows import RowByRow

FETCH = 5000


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Summarise the offsets start … stop of partition 0."""

    way: Literal["direct", "rows"]
    bootstrap: str
    start: int
    stop: int
    artifacts: str


class Peer:
    """Does tasks for one contract."""

    def __init__(self, contract: ModelContract) -> None:
        self.contract = contract
        self.reading = Reading(contract)
        self.job = ModelJob(contract=contract, rules=DriftRules())
        gc.collect()
        gc.freeze()  # as the job's worker does

    def do(self, task: Task) -> Round:
        """One task, timed."""
        self.steps = ModelSteps(self.job, ArtifactStore(Path(task.artifacts)))
        self.history, self.kept = DriftHistory(), SchemaKept()
        wall, cpu = time.perf_counter(), time.process_time()
        parts = self._direct(task) if task.way == "direct" else self._rows(task)
        accepted = sum(self._close(end, part) for end, part in sorted(parts.items()))
        seconds = time.perf_counter() - wall
        return Round(
            work=accepted,
            wall_seconds=seconds,
            cpu_seconds=time.process_time() - cpu,
        )

    def _close(self, end: int, part: WindowPartial) -> int:
        """Everything that the job does with a closed window, except writing to Kafka; its rows."""
        summary = self.steps.summaries.of([part], end, self.steps.desk.of(None))
        verdict, self.history = self.steps.verdict(summary, None, self.history)
        on_schema, self.kept = self.steps.desk.verdict(summary, verdict, self.kept)
        for record in (summary, verdict, on_schema):
            if record is not None:
                encode(record)
        return summary.accepted

    def _fetches(self, task: Task) -> Iterator[list[Any]]:
        place, start = (self.contract.events_topic, 0), task.start
        source = reader(task.bootstrap, place)
        while start < task.stop:
            most = min(FETCH, task.stop - start)
            for _, messages in source.fetch({place: start}, most=most, wait_seconds=1.0):
                start = messages[-1].offset() + 1
                yield messages

    def _direct(self, task: Task) -> dict[int, WindowPartial]:
        step = Step()
        for messages in self._fetches(task):
            self.reading.take(step, as_fetch(0, messages), now=time.time())
        return step.windows

    def _rows(self, task: Task) -> dict[int, WindowPartial]:
        windows: dict[int, WindowPartial] = {}
        rows = RowByRow(self.contract, self.reading)
        for messages in self._fetches(task):
            for message in messages:
                rows.take(windows, message.value(), now=time.time())
        rows.finish(windows)
        return windows


def main() -> None:
    """Read the contract, then tasks, until the input ends."""
    contract = msgspec.json.decode(sys.stdin.readline(), type=ModelContract)
    peer = Peer(contract)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        done = peer.do(msgspec.json.decode(line, type=Task))
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
