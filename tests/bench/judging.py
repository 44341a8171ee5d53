"""Summarising and judging without engines: against Evidently's report, by features, and its state.

Evidently's `DataDriftPreset` runs in its own environment on the same rows; only the work on a data
frame is timed. Its reference has as many rows as the window: fewer would weaken its tests, more
would slow it down.
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
from streaming.windowing.completeness import MAX_ACCUMULATORS
from tests.bench.figures import Line, ModelStateSize, Ratio, Round, line, ratio
from tests.bench.windows import WindowWork, adversarial_rows, bound, trips, wide, wide_rows
from tests.competitors.competitor import Competitor

SIZES = (1_000, 10_000, 100_000)
FEATURES = (5, 20, 80, 200)
ROWS = 20_000


def against_evidently(contract: ModelContract, folder: Path, rounds: int) -> tuple[Ratio, ...]:
    """Driftline against its report, for windows of `SIZES` rows of trips."""
    before, now = trips(contract, max(SIZES), 1), trips(contract, max(SIZES), 2)
    work = WindowWork(contract, folder / "artifacts")
    judged = [spec.name for spec in contract.features if spec.judged]
    categories = [spec.name for spec in contract.features if spec.judged and spec.categorical]
    ratios = []
    with Competitor("evidently", folder / "evidently.log") as evidently:
        for size in SIZES:
            work.set_reference(before.slice(0, size))
            reference = _frame(before.slice(0, size), judged)
            evidently.request({"action": "reference", "categories": categories}, reference)
            frame, window = _frame(now.slice(0, size), judged), now.slice(0, size)
            ours, theirs = [], []
            for number in range(rounds + 1):
                ours.append(_verdict(work, window, number))
                response, _ = evidently.request({"action": "report"}, frame)
                theirs.append(
                    Round(work=size, wall_seconds=response["wall"], cpu_seconds=response["cpu"])
                )
            columns = f"{len(contract.features)} columns summarised, {len(judged)} judged"
            ratios.append(
                ratio(
                    f"rows judged, windows of {size:,}",
                    ours[1:],
                    theirs[1:],
                    work=f"windows of {size:,} rows: {columns}",
                    unit="rows/s per core",
                    comparison_name=f"DataDriftPreset on the {len(judged)}",
                    comparison_version="Evidently",
                )
            )
    return tuple(ratios)


def by_features(folder: Path, rounds: int) -> Line:
    """CPU milliseconds to summarise and judge a window of `ROWS` rows, by number of features."""
    costs = []
    for features in FEATURES:
        contract = wide(features, folder)
        work, rows = WindowWork(contract, folder / "artifacts"), wide_rows(contract, ROWS, 2)
        work.set_reference(wide_rows(contract, ROWS, 1))
        measured = [_verdict(work, rows, number) for number in range(rounds + 1)]
        costs.append(1000 * median(round_.cpu_seconds for round_ in measured[1:]))
    return line(f"window of {ROWS:,} rows, by features", "ms CPU", FEATURES, costs)


def state(folder: Path) -> tuple[ModelStateSize, ...]:
    """Bytes kept for one model after ten windows."""
    sizes = []
    for features in FEATURES:
        contract = wide(features, folder)
        work, rows = WindowWork(contract, folder / "artifacts"), wide_rows(contract, ROWS, 2)
        work.set_reference(wide_rows(contract, ROWS, 1))
        for number in range(1, 11):
            work.verdict(rows, number)
        sizes.append(
            ModelStateSize(
                features=features,
                accumulator=len(work.accumulator(rows, 0)),
                max_accumulators=MAX_ACCUMULATORS,
                adversarial=len(work.accumulator(adversarial_rows(contract, ROWS), 0)),
                bound=bound(contract),
                history=len(msgspec.msgpack.encode(work.history)),
            )
        )
    return tuple(sizes)


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
    columns = {}
    for name in names:
        column: Any = batch.column(batch.schema.names.index(name))
        if pa.types.is_string(column.type):
            columns[name] = np.array(column.fill_null("").to_pylist())
        else:
            columns[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return columns
