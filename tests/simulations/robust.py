"""One bad row in 10,000 changes no verdict, and quiet windows of every size are stable."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streaming.contracts.records import ReferenceSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import TRIPS, reference, trips, window

BAD_VALUES = {"outlier": 1e300, "infinity": float("inf"), "NaN": float("nan")}
ROWS = 10_000
SIZES = (200, 1_000, 10_000, 100_000)
STRICT = DriftRules(between_day_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)
_REFERENCE_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedVerdicts:
    """Verdicts on features that one bad row in each of five windows changed."""

    bad: str
    floors: bool
    compared: int
    changed: int


def outcomes(
    windows: list[pa.RecordBatch], against: ReferenceSummary, rules: DriftRules
) -> list[str]:
    """For every window and every feature, the outcome and the alarm rule that raised it."""
    prepared, history, result = prepare_reference(against, TRIPS), DriftHistory(), []
    for number, batch in enumerate(windows):
        verdict, history = judge_drift(window(number, batch), prepared, "r", history, rules, TRIPS)
        result += [f"{feature.outcome} {feature.raised_by}" for feature in verdict.features]
    return result


def with_bad_row(batch: pa.RecordBatch, value: float) -> pa.RecordBatch:
    """The rows with one bad value in the last row of every column that can hold it."""
    columns = []
    for name in batch.schema.names:
        column = batch.column(name)
        if pa.types.is_floating(column.type):
            column = pa.concat_arrays([column[:-1], pa.array([value], column.type)])
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def one_bad_row(*, runs: int, seed: int) -> list[ChangedVerdicts]:
    """Quiet streams and streams with a shift that is found, each with and without the bad row."""
    rng = np.random.default_rng(seed)
    counts = {(bad, floors): [0, 0] for bad in BAD_VALUES for floors in (True, False)}
    for run in range(runs):
        against = reference(trips(rng, _REFERENCE_ROWS))
        change = {"normal": lambda x, _: x + 0.6} if run % 2 else None
        windows = [trips(rng, ROWS, change=change) for _ in range(5)]
        for floors, rules in ((True, DriftRules()), (False, STRICT)):
            clean = outcomes(windows, against, rules)
            for bad, value in BAD_VALUES.items():
                spoilt = outcomes([with_bad_row(rows, value) for rows in windows], against, rules)
                counts[bad, floors][0] += len(clean)
                counts[bad, floors][1] += sum(a != b for a, b in zip(clean, spoilt, strict=True))
    return [
        ChangedVerdicts(bad=bad, floors=floors, compared=compared, changed=changed)
        for (bad, floors), (compared, changed) in counts.items()
    ]


def quiet_by_rows(*, runs: int, seed: int) -> dict[int, dict[str, int]]:
    """For windows of each size, the number of feature verdicts of a quiet stream by outcome."""
    rng = np.random.default_rng(seed)
    against = reference(trips(rng, _REFERENCE_ROWS))
    result: dict[int, dict[str, int]] = {}
    for rows in SIZES:
        counts = Counter[str]()
        for _ in range(runs):
            windows = [trips(rng, rows) for _ in range(5)]
            verdicts = outcomes(windows, against, DriftRules())
            counts.update(verdict.split()[0] for verdict in verdicts)
        result[rows] = dict(counts)
    return result
