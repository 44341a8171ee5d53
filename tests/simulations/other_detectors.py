"""Other detectors on thirty quiet days, with their default settings.

Five features, one window an hour. All detectors read the same rows: TFDV (Jensen-Shannon divergence
of numbers, L-infinity of categories, both at the 0.01 of its tutorials), Evidently's
`DataDriftPreset` tests, and River's Page-Hinkley and ADWIN, on each window's mean and on every row.
Alarms are counted as for Driftline: one a day for each feature, features of one window together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streaming.contracts.records import ALARMED
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.backtest.alarm_count import AlarmCounter
from streaming.grid import Floats, Integers
from tests.competitors.competitor import Competitor
from tests.simulations.arms import FIVE, HOURLY
from tests.simulations.distances import TfdvDrift, values_of
from tests.simulations.draws import DayOffsets, DrawnWindows, Stream
from tests.simulations.kinds import KINDS
from tests.simulations.records import contract_of, features_of, reference_of, summaries, window_of

DAYS, HOUR = 30, 3_600.0
REFERENCE_ROWS = 20_000
TFDV_THRESHOLD = 0.01
_KINDS = tuple(KINDS[name] for name in FIVE)
Alarms = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
"""Windows x features."""


def month(rows: int, day_sd: float, *, seed: int, logs: Path) -> Mapping[str, AlarmCounter]:
    """The alarms of each detector in 30 days."""
    rng = np.random.default_rng(seed)
    stream = Stream(_KINDS)
    no_offsets = DayOffsets.none(len(_KINDS))
    reference = stream.draw(rng, REFERENCE_ROWS, 1, no_offsets)
    days = [
        stream.draw(
            rng, rows, HOURLY, DayOffsets.random(rng, day_sd, _KINDS) if day_sd else no_offsets
        )
        for _ in range(DAYS)
    ]
    alarms = {
        "ours": _ours(reference, days, DriftRules(between_day_sd=day_sd)),
        "ours, floors off": _ours(
            reference, days, DriftRules(between_day_sd=day_sd, suspected_sd=0.0, drifted_sd=0.0)
        ),
        "TFDV": _tfdv(reference, days),
    }
    columns = [_columns(day, window, rng) for day in days for window in range(HOURLY)]
    with Competitor("evidently", logs / "evidently.log") as evidently:
        alarms["Evidently"] = _evidently(evidently, _columns(reference, 0, rng), columns)
    with Competitor("river", logs / "river.log") as river:
        for name in ("page-hinkley", "adwin"):
            alarms[f"{name}, means"] = _series(
                river, name, columns, lambda values: values.mean()[None]
            )
            alarms[f"{name}, rows"] = _series(river, name, columns, lambda values: values)
    lookback = DriftRules().of
    return {
        name: _counted(by_window, lookback if name.startswith("ours") else 0)
        for name, by_window in alarms.items()
    }


def _counted(alarms: Alarms, lookback: int = 0) -> AlarmCounter:
    counter = AlarmCounter(lookback)
    for number, row in enumerate(alarms):
        if number % HOURLY == 0:
            counter.new_day()
        counter.window(f"f{feature}" for feature in np.flatnonzero(row))
    return counter


def _ours(reference: DrawnWindows, days: list[DrawnWindows], rules: DriftRules) -> Alarms:
    contract = contract_of(features_of(_KINDS), HOUR)
    prepared = prepare_reference(
        reference_of(summaries(reference, 0, _KINDS), REFERENCE_ROWS), contract
    )
    history, alarms, number = DriftHistory(), [], 0
    for day in days:
        for window in range(HOURLY):
            record = window_of(summaries(day, window, _KINDS), number, HOUR, day.rows)
            verdict, history = judge_drift(record, prepared, "r", history, rules, contract)
            alarms.append([feature.outcome in ALARMED for feature in verdict.features])
            number += 1
    return np.array(alarms)


def _tfdv(reference: DrawnWindows, days: list[DrawnWindows]) -> Alarms:
    alarms = []
    for feature, kind in enumerate(_KINDS):
        values = kind.values or values_of(kind.buckets)
        drift = TfdvDrift(reference.counts[feature][0], values)
        measured = np.concatenate([drift.of(day.counts[feature]) for day in days])
        alarms.append(measured > TFDV_THRESHOLD)
    return np.array(alarms).T


def _columns(drawn: DrawnWindows, window: int, rng: np.random.Generator) -> dict[str, Any]:
    """The rows of a window; missing numbers are NaN, as in pandas."""
    columns: dict[str, Any] = {}
    for feature, kind in enumerate(_KINDS):
        counts = drawn.counts[feature][window]
        if kind.values:
            rows = np.repeat(np.array(kind.values), counts)
            missing = drawn.rows - len(rows)
            rows = np.concatenate((rows, np.repeat(np.array([""]), missing)))
        else:
            rows = np.repeat(values_of(kind.buckets), counts)
            rows = np.concatenate((rows, np.full(drawn.rows - len(rows), np.nan)))
        columns[f"f{feature}"] = rng.permutation(rows)
    return columns


def _evidently(
    evidently: Competitor, reference: dict[str, Any], windows: list[dict[str, Any]]
) -> Alarms:
    categories = [f"f{feature}" for feature, kind in enumerate(_KINDS) if kind.values]
    evidently.request({"action": "reference", "categories": categories}, reference)
    alarms = []
    for columns in windows:
        results = evidently.request({"action": "tests"}, columns)[0]["columns"]
        alarms.append([bool(results[f"f{feature}"]["drifted"]) for feature in range(len(_KINDS))])
    return np.array(alarms)


def _series(
    river: Competitor,
    name: str,
    windows: list[dict[str, Any]],
    of: Callable[[Floats], Floats],
) -> Alarms:
    """Numbers only: a detector of series cannot read categories."""
    alarms = np.zeros((len(windows), len(_KINDS)), bool)
    for feature, kind in enumerate(_KINDS):
        if kind.values:
            continue
        parts = [of(_finite(columns[f"f{feature}"])) for columns in windows]
        ends: Integers = np.cumsum([len(part) for part in parts])
        _, detections = river.request(
            {"action": name, "settings": {}}, {"values": np.concatenate(parts)[None]}
        )
        alarms[np.searchsorted(ends, detections["times"], side="right"), feature] = True
    return alarms


def _finite(values: Floats) -> Floats:
    finite: Floats = values[np.isfinite(values)]
    return finite
