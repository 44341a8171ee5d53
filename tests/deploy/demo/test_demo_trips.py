"""The generator, the shift and the replay are seeded, of the promised size, and learnable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm, rankdata

from deploy.demo.replay import MIN_ROWS, Replay, read_trips
from deploy.demo.shift import concept_shift, shift
from deploy.demo.trips import INTEGERS, NUMBERS, TEXTS, Trips, generate
from streaming.contracts.errors import ConfigurationError, NotFoundError
from tests.taxi_excerpt import write_csv

Numbers = NDArray[np.float64]


def inputs(trips: Trips) -> Numbers:
    """Inputs of a logistic model."""
    miles, fare = np.log1p(trips.number("trip_miles")), np.log1p(trips.number("fare"))
    hour = trips.number("trip_start_hour")
    night = ((hour >= 18) | (hour < 5)).astype(float)
    base = [np.ones(len(trips)), miles, fare, miles**2, fare**2, night]
    payment = trips.columns["payment_type"]
    cards, cash = (payment == "Credit Card").astype(float), (payment == "Cash").astype(float)
    return np.column_stack(base + [cards * b for b in base] + [cash * b for b in base])


def fitted(samples: list[Trips]) -> Callable[[Trips], Numbers]:
    """A logistic regression's scores."""
    x = np.vstack([inputs(trips) for trips in samples])
    y = np.concatenate([trips.big for trips in samples]).astype(float)
    middle, width = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    z = np.column_stack([np.ones(len(x)), (x - middle) / width])

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        score = z @ weights
        value = np.logaddexp(0, score).sum() - score @ y + 0.5 * weights @ weights
        return float(value), z.T @ (1 / (1 + np.exp(-score)) - y) + weights

    weights = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B").x

    def scores(trips: Trips) -> Numbers:
        z = (inputs(trips) - middle) / width
        return np.asarray(np.column_stack([np.ones(len(z)), z]) @ weights)

    return scores


def auc(scores: Numbers, labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, by ranks."""
    positive = labels.sum()
    above = rankdata(scores)[labels].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(labels) - positive)))


def moved(before: Numbers, after: Numbers) -> float:
    """Mean normal score of `after` under the ranks of `before`, in standard deviations."""
    rank = np.searchsorted(np.sort(before), after) / len(before)
    return float(norm.ppf(np.clip(rank, 1e-4, 1 - 1e-4)).mean())


TripSource = Callable[[np.random.Generator], Callable[[int], Trips]]


@pytest.fixture(params=["generated", "real"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> TripSource:
    """Generated trips, and the excerpt of real ones."""
    if request.param == "generated":
        return lambda rng: lambda rows: generate(rng, rows)
    trips = read_trips(write_csv(tmp_path))
    return lambda rng: Replay(trips, rng).next


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 300))
@settings(max_examples=25, deadline=None)
def test_same_seed_same_trips(seed: int, rows: int) -> None:
    """A seed fixes every column, before and after the shift."""
    results = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        before = generate(rng, rows)
        results.append((before, shift(before, rng)))
    for first, second in zip(*results, strict=True):
        assert first.tips.tolist() == second.tips.tolist()
        for name in (*INTEGERS, *NUMBERS, *TEXTS):
            np.testing.assert_array_equal(first.columns[name], second.columns[name])
            assert len(first.columns[name]) == rows


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_values_stay_in_the_schemas_ranges(seed: int) -> None:
    """Fares from 3.25, no negative distance, areas 1-77, hours 0-23, before and after."""
    rng = np.random.default_rng(seed)
    before = generate(rng, 500)
    for trips in (before, shift(before, rng)):
        assert trips.number("fare").min() >= 3.25
        assert trips.number("trip_miles").min() >= 0
        assert np.all(trips.tips >= 0)
        areas = trips.number("dropoff_community_area")
        assert np.nanmin(areas) >= 1
        assert np.nanmax(areas) <= 77
        assert trips.number("trip_start_hour").max() <= 23
        assert trips.number("trip_start_month").min() >= 1
        for name in INTEGERS:
            values = trips.number(name)
            assert np.all((values == np.round(values)) | np.isnan(values))


def test_the_shift_has_the_promised_size(source: TripSource) -> None:
    """Fare and miles move by more than 0.6 sd, and the mix of payments changes."""
    rng = np.random.default_rng(4)
    next_trips = source(rng)
    before, after = next_trips(8000), shift(next_trips(8000), rng)
    for name in ("fare", "trip_miles"):
        assert moved(before.number(name), after.number(name)) > 0.6
    cash = [(trips.columns["payment_type"] == "Cash").mean() for trips in (before, after)]
    assert cash[1] < cash[0] - 0.2


def test_a_model_of_the_old_trips_fails_and_a_retrained_one_recovers(
    source: TripSource,
) -> None:
    """The old model loses far more than 0.05 AUC on shifted trips; a mix of 70/30 regains it."""
    rng = np.random.default_rng(5)
    next_trips = source(rng)
    old = fitted([next_trips(8000)])
    new = fitted([shift(next_trips(5600), rng), next_trips(2400)])
    ordinary, shifted = next_trips(8000), shift(next_trips(8000), rng)
    auc_before = auc(old(ordinary), ordinary.big)
    auc_after = auc(old(shifted), shifted.big)
    retrained = auc(new(shifted), shifted.big)
    assert 0.8 < auc_before < 0.97
    assert auc_after < auc_before - 0.05
    assert 0.8 < retrained < 0.97
    assert retrained > auc_after + 0.1


def test_a_replay_gives_every_row_once_a_round() -> None:
    """The rows repeat, each once in a round."""
    trips = generate(np.random.default_rng(1), 50)
    replay = Replay(trips, np.random.default_rng(2))
    first = np.concatenate([replay.next(20).tips, replay.next(30).tips])
    assert sorted(first.tolist()) == sorted(trips.tips.tolist())
    assert len(replay.next(120)) == 120


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    """The message names the missing columns."""
    file = tmp_path / "trips.csv"
    file.write_text("fare,tips\n3,1\n")
    with pytest.raises(ConfigurationError, match="lacks the columns company"):
        read_trips(file)
    with pytest.raises(NotFoundError, match="cannot be read"):
        read_trips(tmp_path / "none.csv")


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    """A few rows would repeat too often."""
    names = (*INTEGERS, *NUMBERS, *TEXTS, "tips")
    file = tmp_path / "trips.csv"
    file.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    with pytest.raises(ConfigurationError, match=f"1 usable rows; at least {MIN_ROWS}"):
        read_trips(file)


def test_a_concept_shift_leaves_the_trips_unchanged_and_the_model_wrong() -> None:
    rng = np.random.default_rng(11)
    score = fitted([generate(rng, 6000)])
    old, new = generate(rng, 6000), concept_shift(generate(rng, 6000), rng)
    assert auc(score(old), old.big) > 0.8
    assert auc(score(new), new.big) < 0.6
