"""Summarise and judge, without engines: against Evidently's report, by features, and its state.

Evidently's `DataDriftPreset` runs in its own environment on the same rows; only the time with the
rows in a data frame counts. Its reference has as many rows as the window: fewer would make its
tests weak, more would slow it down.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from streaming.contracts.model import ModelContract
from streaming.windowing.completeness import MAX_PARTS
from tests.bench.figures import Line, Ratio, Round, State, line, ratio
from tests.bench.windows import WindowWork, bound, hostile_rows, trips, wide, wide_rows
from tests.competitors.peer import Peer

SIZES = (1_000, 10_000, 100_000)
FEATURES = (5, 20, 80, 200)
ROWS = 20_000


def against_evidently(contract: ModelContract, folder: Path, rounds: int) -> tuple[Ratio, ...]:
    """Ours against its report, for windows of `SIZES` rows of trips."""
    before, now = trips(contract, max(SIZES), 1), trips(contract, max(SIZES), 2)
    work = WindowWork(contract, folder / "artifacts")
    judged = [spec.name for spec in contract.features if spec.judged]
    categories = [one.name for one in contract.features if one.judged and one.categorical]
    found = []
    with Peer("evidently", folder / "evidently.log") as peer:
        for size in SIZES:
            work.refer_to(before.slice(0, size))
            reference = _frame(before.slice(0, size), judged)
            peer.ask({"do": "reference", "categories": categories}, reference)
            frame, window = _frame(now.slice(0, size), judged), now.slice(0, size)
            ours, theirs = [], []
            for number in range(rounds + 1):
                ours.append(_verdict(work, window, number))
                said, _ = peer.ask({"do": "report"}, frame)
                theirs.append(Round(work=size, wall_seconds=said["wall"], cpu_seconds=said["cpu"]))
            columns = f"{len(contract.features)} columns summed up, {len(judged)} judged"
            found.append(
                ratio(
                    f"rows judged, windows of {size:,}",
                    ours[1:],
                    theirs[1:],
                    work=f"windows of {size:,} rows: {columns}",
                    unit="rows/s per core",
                    peer_name=f"DataDriftPreset on the {len(judged)}",
                    peer_version="Evidently",
                )
            )
    return tuple(found)


def by_features(folder: Path, rounds: int) -> Line:
    """CPU milliseconds to summarise and judge a window of `ROWS` rows of so many features."""
    costs = []
    for features in FEATURES:
        contract = wide(features, folder)
        work, rows = WindowWork(contract, folder / "artifacts"), wide_rows(contract, ROWS, 2)
        work.refer_to(wide_rows(contract, ROWS, 1))
        made = [_verdict(work, rows, number) for number in range(rounds + 1)]
        costs.append(1000 * median(one.cpu_seconds for one in made[1:]))
    return line(f"window of {ROWS:,} rows, by features", "ms CPU", FEATURES, costs)


def state(folder: Path) -> tuple[State, ...]:
    """Bytes kept for one model after ten windows."""
    found = []
    for features in FEATURES:
        contract = wide(features, folder)
        work, rows = WindowWork(contract, folder / "artifacts"), wide_rows(contract, ROWS, 2)
        work.refer_to(wide_rows(contract, ROWS, 1))
        for number in range(1, 11):
            work.verdict(rows, number)
        found.append(
            State(
                features=features,
                part=len(work.parts(rows, 0)),
                parts=MAX_PARTS,
                hostile=len(work.parts(hostile_rows(contract, ROWS), 0)),
                bound=bound(contract),
                history=len(msgspec.msgpack.encode(work.history)),
            )
        )
    return tuple(found)


def _verdict(work: WindowWork, batch: pa.RecordBatch, number: int) -> Round:
    wall, cpu = time.perf_counter(), time.process_time()
    work.verdict(batch, number + 1)
    return Round(
        work=batch.num_rows,
        wall_seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
    )


def _frame(batch: pa.RecordBatch, names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Columns as pandas users have them: missing numbers are NaN, missing texts empty."""
    found = {}
    for name in names:
        column: Any = batch.column(batch.schema.names.index(name))
        if pa.types.is_string(column.type):
            found[name] = np.array(column.fill_null("").to_pylist())
        else:
            found[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found
