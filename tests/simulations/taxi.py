"""Real rows: the Chicago taxi sample of 2013-2016 against itself, and one year against another."""

from __future__ import annotations

import csv
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

WINDOWS = 5
STRICT = DriftRules(wobble_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """Features of random halves by what was said of them, over all splits."""

    splits: int
    features: int
    by_outcome: dict[str, int]
    strict: dict[str, int]
    """The same without floors and without a wobble."""


def years(path: Path) -> Integers:
    """The year of every row, Chicago's clock being five to six hours behind."""
    with path.open(newline="") as file:
        stamps = [float(row["trip_start_timestamp"]) for row in csv.DictReader(file)]
    return np.array([datetime.fromtimestamp(at, UTC).year for at in stamps])


def judged(
    before: pa.RecordBatch, now: Iterable[pa.RecordBatch], rules: DriftRules
) -> list[DriftVerdict]:
    """Windows against the rows before."""
    prepared = prepare_reference(reference(before, TAXI_CONTRACT), TAXI_CONTRACT)
    history, found = DriftHistory(), []
    for at, batch in enumerate(now):
        record = window(at, batch, TAXI_CONTRACT)
        verdict, history = judge_drift(record, prepared, "r", history, rules, TAXI_CONTRACT)
        found.append(verdict)
    return found


def pieces(rows: pa.RecordBatch, order: Integers) -> list[pa.RecordBatch]:
    """The rows in that order as so many windows."""
    return [rows.take(part) for part in np.array_split(order, WINDOWS)]


def halves(path: Path, *, splits: int, seed: int) -> Halves:
    """Five windows of one random half against the other, for many splits."""
    rng, rows = np.random.default_rng(seed), taxi(path)
    found: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for _ in range(splits):
        order = rng.permutation(rows.num_rows)
        half = rows.num_rows // 2
        before, now = rows.take(order[:half]), pieces(rows, order[half:])
        for rules, outcomes in zip((DriftRules(), STRICT), found, strict=True):
            verdicts = judged(before, now, rules)
            outcomes.update(_worst(verdicts).values())
    features = len(TAXI_CONTRACT.features)
    return Halves(
        splits=splits, features=features, by_outcome=dict(found[0]), strict=dict(found[1])
    )


def _worst(verdicts: list[DriftVerdict]) -> dict[str, str]:
    """For each feature the worst that any window said."""
    order = ("inconclusive", "stable", "suspected", "drifted")
    return {
        names[0].feature: max((one.outcome for one in names), key=order.index)
        for names in zip(*(verdict.features for verdict in verdicts), strict=True)
    }


def then_and_now(path: Path, *, seed: int) -> tuple[FeatureVerdict, ...]:
    """The last of five windows of 2016 against 2013, features by effect."""
    rows, year = taxi(path), years(path)
    rng = np.random.default_rng(seed)
    before = rows.take(np.flatnonzero(year == 2013))
    now = pieces(rows, rng.permutation(np.flatnonzero(year == 2016)))
    last = judged(before, now, DriftRules())[-1]
    return tuple(sorted(last.features, key=lambda one: (-one.effect, one.feature)))
