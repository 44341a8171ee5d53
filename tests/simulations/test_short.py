"""A short version of every simulation, so that a broken judge is noticed in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.competitors.competitor import Competitor
from tests.simulations import distances
from tests.simulations.changes import CHANGES, draw
from tests.simulations.power import (
    DEFAULT_FLOORS,
    FLOORS_OFF,
    REFERENCE_ROWS,
    WARM_UP,
    driftline_delay,
)
from tests.simulations.robust import one_bad_row, quiet_by_rows
from tests.simulations.taxi import by_year, halves
from tests.taxi_excerpt import EXCERPT


@pytest.mark.parametrize(
    ("name", "max_median", "floors"),
    [
        ("0.1 sd", 5.0, False),
        ("0.25 sd", 1.0, False),
        ("0.5 sd", 1.0, True),
        ("missing 1 -> 3 %", 1.0, True),
        ("new category, 1 %", 1.0, True),
        ("ramp 0.02 sd a window", 7.0, False),
        ("ramp 0.02 sd a window", 15.0, True),
        ("ramp 0.002 sd a window", 30.0, False),
    ],
)
def test_changes_are_found_as_soon_as_in_the_simulation(
    name: str, max_median: float, floors: bool
) -> None:
    change = next(change for change in CHANGES if change.name == name)
    rng = np.random.default_rng(1)
    reference = rng.multinomial(REFERENCE_ROWS, change.shares(-1))
    rules = DEFAULT_FLOORS if floors else FLOORS_OFF
    delays = [
        driftline_delay(change, draw(change, rng, 1_000, WARM_UP, change.horizon), reference, rules)
        for _ in range(15)
    ]
    assert float(np.median(delays)) <= max_median


def test_a_bad_row_changes_no_verdict() -> None:
    results = one_bad_row(runs=2, seed=3)
    assert sum(result.compared for result in results) == 2 * 5 * 12 * 6
    assert [result.changed for result in results] == [0] * 6


def test_a_quiet_window_of_every_size_is_stable() -> None:
    for rows, by_outcome in quiet_by_rows(runs=1, seed=4).items():
        assert set(by_outcome) <= {"stable", "inconclusive"}, rows
        # With 200 rows the feature that is mostly missing has too few values.
        assert by_outcome.get("inconclusive", 0) == (5 if rows == 200 else 0)


def test_random_halves_of_the_taxi_trips_do_not_differ_and_the_years_do() -> None:
    result = halves(EXCERPT, splits=2, seed=5)
    assert result.by_outcome == {"stable": 2 * result.features}
    verdicts = {verdict.feature: verdict for verdict in by_year(EXCERPT, seed=5)}
    assert verdicts["fare"].outcome == "drifted"
    assert verdicts["fare"].effect > 0.5
    assert verdicts["dropoff_longitude"].outcome == "stable"


@pytest.mark.engine
def test_the_distances_are_those_of_evidently(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    values = np.arange(30, dtype=np.float64)
    reference = rng.multinomial(3_000, np.ones(30) / 30)
    window = rng.multinomial(500, np.ones(30) / 30)
    names = np.array([f"v{number:02d}" for number in range(30)])

    def columns(counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
        return {"number": np.repeat(values, counts), "category": np.repeat(names, counts)}

    with Competitor("evidently", tmp_path / "evidently.log") as evidently:
        head = {"action": "reference", "categories": ["category"]}
        evidently.request(head, columns(reference))
        results = evidently.request({"action": "report"}, columns(window))[0]["columns"]
    number = distances.wasserstein(window[None], reference, values)[0]
    category = distances.jensen_shannon(window[None], reference)[0]
    assert results["number"]["score"] == pytest.approx(number)
    assert results["category"]["score"] == pytest.approx(category)
