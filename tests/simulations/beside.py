"""Thirty quiet days as other detectors see them, with the settings that they come with.

Five features, one window an hour. All read the same rows: TFDV (Jensen-Shannon divergence of
numbers, L-infinity of categories, both at the 0.01 of its tutorials), Evidently's
`DataDriftPreset` tests, River's Page-Hinkley and ADWIN on each window's mean and on every row.
An alarm is counted as for us: one a day for each feature, features of one window together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streaming.contracts.records import ALARMED
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.backtest.alarm_count import Tally
from streaming.grid import Floats, Integers
from tests.competitors.peer import Peer
from tests.simulations.arms import FIVE, HOURLY
from tests.simulations.distances import TfdvDrift, values_of
from tests.simulations.draws import Drawn, Moves, Stream
from tests.simulations.kinds import KINDS
from tests.simulations.records import contract_of, features_of, reference_of, summaries, window_of

DAYS, HOUR = 30, 3_600.0
REFERENCE = 20_000
THRESHOLD = 0.01
_KINDS = tuple(KINDS[name] for name in FIVE)
Alarms = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
"""Windows x features."""


def month(rows: int, wobble: float, *, seed: int, logs: Path) -> Mapping[str, Tally]:
    """What each detector raised in 30 days."""
    rng = np.random.default_rng(seed)
    stream = Stream(_KINDS)
    still = Moves.none(len(_KINDS))
    reference = stream.draw(rng, REFERENCE, 1, still)
    days = [
        stream.draw(rng, rows, HOURLY, Moves.wobble(rng, wobble, _KINDS) if wobble else still)
        for _ in range(DAYS)
    ]
    found = {
        "ours": _ours(reference, days, DriftRules(wobble_sd=wobble)),
        "ours, floors off": _ours(
            reference, days, DriftRules(wobble_sd=wobble, suspected_sd=0.0, drifted_sd=0.0)
        ),
        "TFDV": _tfdv(reference, days),
    }
    columns = [_columns(day, window, rng) for day in days for window in range(HOURLY)]
    with Peer("evidently", logs / "evidently.log") as peer:
        found["Evidently"] = _evidently(peer, _columns(reference, 0, rng), columns)
    with Peer("river", logs / "river.log") as peer:
        for name in ("page-hinkley", "adwin"):
            found[f"{name}, means"] = _series(peer, name, columns, lambda one: one.mean()[None])
            found[f"{name}, rows"] = _series(peer, name, columns, lambda one: one)
    memory = DriftRules().of
    return {
        name: _counted(alarms, memory if name.startswith("ours") else 0)
        for name, alarms in found.items()
    }


def _counted(alarms: Alarms, remembers: int = 0) -> Tally:
    tally = Tally(remembers)
    for at, row in enumerate(alarms):
        if at % HOURLY == 0:
            tally.new_day()
        tally.window(f"f{place}" for place in np.flatnonzero(row))
    return tally


def _ours(reference: Drawn, days: list[Drawn], rules: DriftRules) -> Alarms:
    contract = contract_of(features_of(_KINDS), HOUR)
    prepared = prepare_reference(reference_of(summaries(reference, 0, _KINDS), REFERENCE), contract)
    history, found, at = DriftHistory(), [], 0
    for day in days:
        for window in range(HOURLY):
            record = window_of(summaries(day, window, _KINDS), at, HOUR, day.rows)
            verdict, history = judge_drift(record, prepared, "r", history, rules, contract)
            found.append([one.outcome in ALARMED for one in verdict.features])
            at += 1
    return np.array(found)


def _tfdv(reference: Drawn, days: list[Drawn]) -> Alarms:
    found = []
    for at, kind in enumerate(_KINDS):
        values = kind.values or values_of(kind.buckets)
        drift = TfdvDrift(reference.counts[at][0], values)
        found.append(np.concatenate([drift.of(day.counts[at]) for day in days]) > THRESHOLD)
    return np.array(found).T


def _columns(drawn: Drawn, window: int, rng: np.random.Generator) -> dict[str, Any]:
    """The rows themselves; numbers that are missing are NaN, as pandas has it."""
    found: dict[str, Any] = {}
    for at, kind in enumerate(_KINDS):
        counts = drawn.counts[at][window]
        if kind.values:
            rows = np.repeat(np.array(kind.values), counts)
            gaps = drawn.rows - len(rows)
            rows = np.concatenate((rows, np.repeat(np.array([""]), gaps)))
        else:
            rows = np.repeat(values_of(kind.buckets), counts)
            rows = np.concatenate((rows, np.full(drawn.rows - len(rows), np.nan)))
        found[f"f{at}"] = rng.permutation(rows)
    return found


def _evidently(peer: Peer, reference: dict[str, Any], windows: list[dict[str, Any]]) -> Alarms:
    categories = [f"f{at}" for at, kind in enumerate(_KINDS) if kind.values]
    peer.ask({"do": "reference", "categories": categories}, reference)
    found = []
    for columns in windows:
        said = peer.ask({"do": "tests"}, columns)[0]["columns"]
        found.append([bool(said[f"f{at}"]["drifted"]) for at in range(len(_KINDS))])
    return np.array(found)


def _series(
    peer: Peer,
    name: str,
    windows: list[dict[str, Any]],
    of: Callable[[Floats], Floats],
) -> Alarms:
    """Numbers only: a detector of series has nothing to say about categories."""
    found = np.zeros((len(windows), len(_KINDS)), bool)
    for at, kind in enumerate(_KINDS):
        if kind.values:
            continue
        parts = [of(_there(columns[f"f{at}"])) for columns in windows]
        ends: Integers = np.cumsum([len(part) for part in parts])
        _, seen = peer.ask({"do": name, "settings": {}}, {"values": np.concatenate(parts)[None]})
        found[np.searchsorted(ends, seen["times"], side="right"), at] = True
    return found


def _there(values: Floats) -> Floats:
    found: Floats = values[np.isfinite(values)]
    return found
