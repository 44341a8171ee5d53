"""Simulated false alarms against the budget, speed, and the real taxi data."""

from __future__ import annotations

import numpy as np
import pytest

from streaming import summary
from streaming.baseline.merge import build_reference
from streaming.contracts.model import ModelContract
from streaming.contracts.records import FeatureSummary, NumericGrid, WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import (
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
def test_without_floors_the_exceedance_rate_is_the_critical_level_at_any_window_size(
    rows: int,
) -> None:
    """The familywise size of every feature's tests is its critical level."""
    rng = np.random.default_rng(rows)
    rules = DriftRules(
        false_alarms=200,
        period_seconds=5.0 * 20_000,
        offset_seconds=500.0,
        suspected_sd=0.0,
        drifted_sd=0.0,
        between_day_sd=0.0,
    )
    prepared = prepare_reference(reference(trips(rng, 100_000)), TRIPS)
    history, hits, allowed = DriftHistory(), 0, 0.0
    for at in range(WINDOWS):
        verdict, history = judge_drift(
            window(at, trips(rng, rows)), prepared, "r", history, rules, TRIPS
        )
        # a feature with too few values is remembered only when it hits
        judged = [feature for feature in verdict.features if feature.feature != "mostly_missing"]
        hits += sum(history.features[feature.feature][-1].level > 0 for feature in judged)
        allowed += sum(feature.p_limit for feature in judged)
    assert allowed > 80  # so that the rate means something
    assert 0.75 < hits / allowed < 1.25


def test_allowed_day_to_day_variation_raises_no_alarm_and_a_real_shift_does() -> None:
    rng = np.random.default_rng(3)
    prepared = prepare_reference(reference(trips(rng, 50_000)), TRIPS)
    history, outcomes = DriftHistory(), []
    for at in range(60):
        offset = 0.05 * rng.normal() if at < 56 else 1.0
        rows = trips(rng, 5_000, change={"normal": lambda x, _, d=offset: x + d})  # type: ignore[misc]
        verdict, history = judge_drift(
            window(at, rows), prepared, "r", history, DriftRules(), TRIPS
        )
        outcomes.append(verdict.outcome)
    assert set(outcomes[:56]) == {"stable"}
    assert outcomes[-1] == "drifted"


def _wide(features: int, buckets: int, seed: int) -> tuple[WindowSummary, ModelContract]:
    rng = np.random.default_rng(seed)
    features_of_window = tuple(
        FeatureSummary(
            name=f"f{i}",
            rows=20_000,
            missing=0,
            grid=NumericGrid(
                buckets=tuple(range(64_000, 64_000 + buckets)),
                counts=tuple(
                    (rng.multinomial(20_000 - buckets, [1 / buckets] * buckets) + 1).tolist()
                ),
            ),
        )
        for i in range(features)
    )
    wide_contract = contract(*(number(f"f{i}") for i in range(features)))
    empty = window(seed, trips(rng, 1))
    return WindowSummary(
        **{name: getattr(empty, name) for name in empty.__struct_fields__}
        | {"features": features_of_window, "accepted": 20_000}
    ), wide_contract


def test_twenty_features_of_a_thousand_buckets_are_stable_when_nothing_changed() -> None:
    training, wide_contract = _wide(20, 1_000, 0)
    next_window, _ = _wide(20, 1_000, 1)
    prepared = prepare_reference(
        build_reference([training], model="m", version=1, at=0.0), wide_contract
    )
    verdict, _ = judge_drift(
        next_window, prepared, "r", DriftHistory(), DriftRules(), wide_contract
    )
    assert verdict.outcome == "stable"
    assert len(verdict.features) >= 20


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
        assert {feature.outcome for feature in verdict.features} == {"stable"}


def test_the_taxi_datas_coordinates_spread_over_many_buckets() -> None:
    features = {
        f.name: f for f in summary.finish(summary.add(summary.start(TAXI_CONTRACT), taxi()))
    }
    for name in ("pickup_latitude", "pickup_longitude"):
        grid = features[name].grid
        assert grid is not None
        assert len(grid.buckets) > 50
