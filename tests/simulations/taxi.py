"""Real rows: taxi trips of 2013 and 2016 in random halves, and one year against the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from streaming.contracts.records import DriftVerdict, FeatureVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.grid import Integers
from tests.streaming.statistics_data import TAXI_CONTRACT, reference, taxi, window
from tests.taxi_excerpt import read_rows

WINDOWS = 5
STRICT = DriftRules(between_day_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """Features of random halves by their worst outcome, over all splits."""

    splits: int
    features: int
    by_outcome: dict[str, int]
    strict: dict[str, int]
    """The same without floors and without day variation."""


def years(path: Path) -> Integers:
    """The year of every row in UTC; Chicago's clock is five to six hours behind."""
    stamps = [float(row["trip_start_timestamp"]) for row in read_rows(path)]
    return np.array([datetime.fromtimestamp(stamp, UTC).year for stamp in stamps])


def judge(
    before: pa.RecordBatch, windows: Iterable[pa.RecordBatch], rules: DriftRules
) -> list[DriftVerdict]:
    """The verdicts on windows, with the rows `before` as the reference."""
    prepared = prepare_reference(reference(before, TAXI_CONTRACT), TAXI_CONTRACT)
    history, verdicts = DriftHistory(), []
    for number, batch in enumerate(windows):
        record = window(number, batch, TAXI_CONTRACT)
        verdict, history = judge_drift(record, prepared, "r", history, rules, TAXI_CONTRACT)
        verdicts.append(verdict)
    return verdicts


def windows_of(rows: pa.RecordBatch, order: Integers) -> list[pa.RecordBatch]:
    """The rows in this order, cut into `WINDOWS` windows."""
    return [rows.take(part) for part in np.array_split(order, WINDOWS)]


def halves(path: Path, *, splits: int, seed: int) -> Halves:
    """Five windows of one random half against the other half, for many splits."""
    rng, rows = np.random.default_rng(seed), taxi(path)
    by_outcome, strict = Counter[str](), Counter[str]()
    for _ in range(splits):
        order = rng.permutation(rows.num_rows)
        half = rows.num_rows // 2
        before, windows = rows.take(order[:half]), windows_of(rows, order[half:])
        for rules, outcomes in ((DriftRules(), by_outcome), (STRICT, strict)):
            outcomes.update(_worst(judge(before, windows, rules)).values())
    return Halves(
        splits=splits,
        features=len(TAXI_CONTRACT.features),
        by_outcome=dict(by_outcome),
        strict=dict(strict),
    )


def _worst(verdicts: list[DriftVerdict]) -> dict[str, str]:
    """For each feature, the worst outcome of all windows."""
    order = ("inconclusive", "stable", "suspected", "drifted")
    return {
        windows[0].feature: max((verdict.outcome for verdict in windows), key=order.index)
        for windows in zip(*(verdict.features for verdict in verdicts), strict=True)
    }


def by_year(path: Path, *, seed: int) -> tuple[FeatureVerdict, ...]:
    """The last of five windows of 2016 against 2013, features by effect."""
    rows, year = taxi(path), years(path)
    rng = np.random.default_rng(seed)
    before = rows.take(np.flatnonzero(year == 2013))
    windows = windows_of(rows, rng.permutation(np.flatnonzero(year == 2016)))
    last = judge(before, windows, DriftRules())[-1]
    return tuple(sorted(last.features, key=lambda verdict: (-verdict.effect, verdict.feature)))
