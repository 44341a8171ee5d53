"""Simulated false alarms against the budget, speed, and the real taxi data."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from streaming import summary
from streaming.contracts.model import ModelContract
from streaming.contracts.records import FeatureSummary, NumericGrid, WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import (
    TAXI,
    TAXI_CONTRACT,
    TRIPS,
    contract,
    number,
    reference,
    taxi,
    trips,
    window,
)

WINDOWS = 250


@pytest.mark.parametrize("rows", [300, 1_500])
def test_without_floors_the_hit_rate_stays_at_its_limit_whatever_the_size(rows: int) -> None:
    """Whatever the tests of a feature are: what they spend together is what they may."""
    rng = np.random.default_rng(rows)
    rules = DriftRules(
        false_alarms=200,
        period_seconds=5.0 * 20_000,
        wobble_seconds=500.0,
        suspected_sd=0.0,
        drifted_sd=0.0,
        wobble_sd=0.0,
    )
    prepared = prepare_reference(reference(trips(rng, 100_000)), TRIPS)
    history, hits, allowed = DriftHistory(), 0, 0.0
    for at in range(WINDOWS):
        verdict, history = judge_drift(
            window(at, trips(rng, rows)), prepared, "r", history, rules, TRIPS
        )
        # a feature with too few values is remembered only when it hits
        judged = [one for one in verdict.features if one.feature != "mostly_missing"]
        hits += sum(history.features[one.feature][-1].level > 0 for one in judged)
        allowed += sum(one.p_limit for one in judged)
    assert allowed > 80  # so that the rate means something
    assert 0.75 < hits / allowed < 1.25


def test_a_wobble_within_the_rules_raises_no_alarm_and_a_real_shift_does() -> None:
    rng = np.random.default_rng(3)
    prepared = prepare_reference(reference(trips(rng, 50_000)), TRIPS)
    history, found = DriftHistory(), []
    for at in range(60):
        offset = 0.05 * rng.normal() if at < 56 else 1.0
        one = window(at, trips(rng, 5_000, change={"normal": lambda x, _, d=offset: x + d}))  # type: ignore[misc]
        verdict, history = judge_drift(one, prepared, "r", history, DriftRules(), TRIPS)
        found.append(verdict.outcome)
    assert set(found[:56]) == {"stable"}
    assert found[-1] == "drifted"


def _wide(features: int, buckets: int, seed: int) -> tuple[WindowSummary, ModelContract]:
    rng = np.random.default_rng(seed)
    made = tuple(
        FeatureSummary(
            name=f"f{i}",
            rows=20_000,
            missing=0,
            grid=NumericGrid(
                pivot=0.0,
                buckets=tuple(range(64_000, 64_000 + buckets)),
                counts=tuple(
                    (rng.multinomial(20_000 - buckets, [1 / buckets] * buckets) + 1).tolist()
                ),
            ),
        )
        for i in range(features)
    )
    of = contract(*(number(f"f{i}") for i in range(features)))
    empty = window(seed, trips(rng, 1))
    return WindowSummary(
        **{name: getattr(empty, name) for name in empty.__struct_fields__}
        | {"features": made, "accepted": 20_000}
    ), of


def test_twenty_features_of_a_thousand_buckets_are_judged_in_milliseconds() -> None:
    before, of = _wide(20, 1_000, 0)
    now, _ = _wide(20, 1_000, 1)
    from streaming.baseline.merge import build_reference

    prepared = prepare_reference(build_reference([before], model="m", version=1, at=0.0), of)
    best = math.inf
    for _ in range(5):
        began = time.process_time()
        verdict, _ = judge_drift(now, prepared, "r", DriftHistory(), DriftRules(), of)
        best = min(best, time.process_time() - began)
    assert verdict.outcome == "stable"
    assert best < 0.05  # about 6 ms on an idle core


@pytest.mark.skipif(not TAXI.exists(), reason="the taxi file is not here")
def test_random_halves_of_the_taxi_data_do_not_differ() -> None:
    rows = taxi()
    rng = np.random.default_rng(1)
    history = DriftHistory()
    for at in range(10):
        order = rng.permutation(rows.num_rows)
        half = rows.num_rows // 2
        prepared = prepare_reference(
            reference(rows.take(order[:half]), TAXI_CONTRACT), TAXI_CONTRACT
        )
        verdict, history = judge_drift(
            window(at, rows.take(order[half:]), TAXI_CONTRACT),
            prepared,
            "r",
            history,
            DriftRules(),
            TAXI_CONTRACT,
        )
        assert verdict.outcome == "stable", verdict.reason
        assert {one.outcome for one in verdict.features} == {"stable"}


@pytest.mark.skipif(not TAXI.exists(), reason="the taxi file is not here")
def test_the_pivot_spreads_the_places_of_the_taxi_data_over_buckets() -> None:
    made = {f.name: f for f in summary.finish(summary.add(summary.start(TAXI_CONTRACT), taxi()))}
    for name in ("pickup_latitude", "pickup_longitude"):
        grid = made[name].grid
        assert grid is not None
        assert len(grid.buckets) > 50
