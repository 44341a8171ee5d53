"""`python -m tests.simulations blind-spots`: runs the sweep and writes its tables."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.competitors.competitor import Competitor
from tests.simulations.blind_spots import columns, sweep
from tests.simulations.blind_spots.kinds import KINDS
from tests.simulations.blind_spots.sweep import SIZES, SweepCell, changes_of
from tests.simulations.blind_spots.table import (
    families_of,
    outcomes_of,
    row_of,
    summary_of,
    weak_cells,
)
from tests.simulations.tables import PROGRESS, log_folder, save, show


def run(*, streams: int, only: str, kind: str, others: bool, jobs: int, seed: int) -> None:
    """Every kind at every size; the tables are written at the end."""
    tasks = [
        (name, rows, only, streams, seed, others)
        for rows in reversed(SIZES)
        for name in (*KINDS, columns.KIND)
        if kind in name
    ]
    cells: list[SweepCell] = []
    with ProcessPoolExecutor(jobs) as pool:
        for task, (measured, seconds) in zip(tasks, pool.map(_measured, tasks), strict=True):
            PROGRESS.print(f"{task[0]}, {task[1]:,} rows: {len(measured)} cells ({seconds:.0f} s)")
            cells += measured
    report(cells, streams=streams, seed=seed)


def report(cells: Sequence[SweepCell], *, streams: int, seed: int) -> None:
    """Write all cells, show what is missed or named wrongly and the summary."""
    order = list(dict.fromkeys(cell.change for cell in cells))
    ordered = sorted(cells, key=lambda c: (order.index(c.change), c.kind, c.rows))
    facts = {"seed": seed, "streams": streams}
    outcomes = outcomes_of(ordered)
    save("blind-spots", [row_of(cell, outcomes) for cell in ordered], facts)
    save("blind-spots-outcomes", families_of(ordered, outcomes), facts)
    save("blind-spots-weak", weak_cells(ordered, outcomes), facts)
    show("blind-spots-summary", summary_of(ordered, outcomes), facts)


def _measured(task: tuple[str, int, str, int, int, bool]) -> tuple[list[SweepCell], float]:
    """One kind at one size, and its seconds."""
    name, rows, only, streams, seed, others = task
    began = time.monotonic()
    if name == columns.KIND:
        changed = [change for change in columns.CHANGES if only in change.change.name]
        cells = [columns.measure(c, rows, streams=streams, seed=seed) for c in changed]
        return cells, time.monotonic() - began
    changes = [change for change in changes_of(name) if only in change.name]
    if not changes:
        return [], 0.0
    if not others:
        cells = sweep.measure(name, rows, changes, streams=streams, seed=seed, river=None)
        return cells, time.monotonic() - began
    with Competitor("river", log_folder() / f"river-{os.getpid()}.log") as river:
        cells = sweep.measure(name, rows, changes, streams=streams, seed=seed, river=river)
    return cells, time.monotonic() - began
