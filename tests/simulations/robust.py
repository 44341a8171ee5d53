"""One bad row in 10,000 changes no verdict, and n alone changes none either."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streaming.contracts.records import ReferenceSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import TRIPS, reference, trips, window

BAD = {"outlier": 1e300, "infinity": float("inf"), "NaN": float("nan")}
ROWS = 10_000
SIZES = (200, 1_000, 10_000, 100_000)
STRICT = DriftRules(wobble_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)
_REFERENCE_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Outcomes of features that one bad row in each of five windows changed."""

    bad: str
    floors: bool
    compared: int
    changed: int


def outcomes(
    windows: list[pa.RecordBatch], yardstick: ReferenceSummary, rules: DriftRules
) -> list[str]:
    """What every window says of every feature, in turn, with the lane."""
    prepared, history, found = prepare_reference(yardstick, TRIPS), DriftHistory(), []
    for at, batch in enumerate(windows):
        verdict, history = judge_drift(window(at, batch), prepared, "r", history, rules, TRIPS)
        found += [f"{one.outcome} {one.lane}" for one in verdict.features]
    return found


def spoilt(batch: pa.RecordBatch, value: float) -> pa.RecordBatch:
    """The rows with one bad value in the last row of every column that can hold it."""
    columns = []
    for name in batch.schema.names:
        column = batch.column(name)
        if pa.types.is_floating(column.type):
            column = pa.concat_arrays([column[:-1], pa.array([value], column.type)])
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def one_bad_row(*, runs: int, seed: int) -> list[Changed]:
    """Quiet streams and streams with a shift that is found, each with and without the bad row."""
    rng = np.random.default_rng(seed)
    found = {(bad, floors): [0, 0] for bad in BAD for floors in (True, False)}
    for run in range(runs):
        yardstick = reference(trips(rng, _REFERENCE_ROWS))
        change = {"normal": lambda x, _: x + 0.6} if run % 2 else None
        windows = [trips(rng, ROWS, change=change) for _ in range(5)]
        for floors, rules in ((True, DriftRules()), (False, STRICT)):
            clean = outcomes(windows, yardstick, rules)
            for bad, value in BAD.items():
                dirty = outcomes([spoilt(one, value) for one in windows], yardstick, rules)
                found[bad, floors][0] += len(clean)
                found[bad, floors][1] += sum(a != b for a, b in zip(clean, dirty, strict=True))
    return [
        Changed(bad=bad, floors=floors, compared=compared, changed=changed)
        for (bad, floors), (compared, changed) in found.items()
    ]


def quiet_by_rows(*, runs: int, seed: int) -> dict[int, dict[str, int]]:
    """For windows of each size, how often a feature of a quiet stream was said to be what."""
    rng = np.random.default_rng(seed)
    yardstick = reference(trips(rng, _REFERENCE_ROWS))
    found: dict[int, dict[str, int]] = {}
    for rows in SIZES:
        own: dict[str, int] = {}
        for _ in range(runs):
            windows = [trips(rng, rows) for _ in range(5)]
            for said in outcomes(windows, yardstick, DriftRules()):
                own[said.split()[0]] = own.get(said.split()[0], 0) + 1
        found[rows] = own
    return found
