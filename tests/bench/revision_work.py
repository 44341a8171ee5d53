"""The windows of one checkout, for `revisions`: a process of its own, with that checkout's code.

It is started by its path, and PYTHONPATH says whose code it imports, so it works with checkouts
that do not have it (`changed_rows`, which imports nothing of the project, comes from its own
folder). Exchanges JSON lines: a `Window` in, `Steps` out. The first line out is
``ready``.
"""

from __future__ import annotations

import gc
import hashlib
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa

from streaming.contracts.codec import encode
from streaming.contracts.model import ModelContract
from streaming.drift import DriftHistory, judge_drift
from tests.bench.windows import WindowWork, trips, wide, wide_rows

changed: Callable[[pa.RecordBatch, str], pa.RecordBatch] = runpy.run_path(
    str(Path(__file__).with_name("changed_rows.py"))
)["changed"]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Summarise and judge one window."""

    kind: Literal["trips", "wide"]
    rows: int
    features: int = 20
    """Features of wide rows."""
    number: int
    """Number of the window; each has its own rows, up to `distinct`."""
    distinct: int = 1
    change: str = "quiet"
    """A change of `changed_rows`."""
    reference_rows: int = 0
    """Rows of the reference; 0 for as many as the window has."""


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """CPU seconds of each step, and a digest of each of `OUTPUTS`."""

    accumulate: float
    summarise: float
    judge: float
    digests: tuple[str, ...]


OUTPUTS = ("accumulator", "summary", "verdict", "history")
_Key = tuple[str, int, int, int]


def key_of(window: Window) -> _Key:
    """Windows of the same key have the same reference."""
    return window.kind, window.rows, window.features, window.reference_rows


class Worker:
    """Windows against references, one for each kind and number of rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._works: dict[_Key, tuple[WindowWork, pa.RecordBatch]] = {}

    def run(self, window: Window) -> Steps:
        """The work on one window."""
        work, batch = self._work(window)
        batch = batch.slice(window.number % window.distinct * window.rows, window.rows)
        if window.change != "quiet":
            batch = changed(batch, window.change)
        number = window.number + 1
        start = time.process_time()
        accumulator = work.accumulator(batch, number)
        accumulated = time.process_time()
        summary = work.summary(accumulator, number)
        summarised = time.process_time()
        verdict, work.history = judge_drift(
            summary, work._reference, "bench", work.history, work.rules, work.contract
        )
        judged = time.process_time()
        parts = (accumulator, encode(summary), encode(verdict), msgspec.json.encode(work.history))
        return Steps(
            accumulate=accumulated - start,
            summarise=summarised - accumulated,
            judge=judged - summarised,
            digests=tuple(hashlib.sha256(part).hexdigest() for part in parts),
        )

    def _work(self, window: Window) -> tuple[WindowWork, pa.RecordBatch]:
        key = key_of(window)
        if key not in self._works:
            rows = window.rows * window.distinct
            contract = self._contract(window)
            work = WindowWork(contract, self.folder / "artifacts")
            make = trips if window.kind == "trips" else wide_rows
            work.set_reference(make(contract, window.reference_rows or window.rows, 1))
            work.history = DriftHistory()
            self._works[key] = work, make(contract, rows, 2)
        return self._works[key]

    def _contract(self, window: Window) -> ModelContract:
        if window.kind == "wide":
            return wide(window.features, self.folder)
        from tests.bench.stream import CONTRACT

        return CONTRACT


def main() -> None:
    """Windows until the input ends."""
    worker = Worker(Path(sys.argv[1]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    seen: set[_Key] = set()
    for line in sys.stdin:
        window = msgspec.json.decode(line, type=Window)
        steps = worker.run(window)
        key = key_of(window)
        if key not in seen:
            seen.add(key)
            gc.collect()
            gc.freeze()  # as the job's worker does
        sys.stdout.write(msgspec.json.encode(steps).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
