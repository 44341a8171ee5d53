"""A short version of every study, so that a broken judge is noticed in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.competitors.peer import Peer
from tests.simulations import distances
from tests.simulations.changes import CHANGES, draw
from tests.simulations.power import DEFAULT_FLOORS, FLOORS_OFF, REFERENCE, WARM, ours
from tests.simulations.robust import one_bad_row, quiet_by_rows
from tests.simulations.taxi import halves, then_and_now
from tests.streaming.statistics_data import TAXI


@pytest.mark.parametrize(
    ("name", "most", "floors"),
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
def test_changes_are_found_as_soon_as_the_study_says(name: str, most: float, floors: bool) -> None:
    change = next(one for one in CHANGES if one.name == name)
    rng = np.random.default_rng(1)
    reference = rng.multinomial(REFERENCE, change.shares(-1))
    rules = DEFAULT_FLOORS if floors else FLOORS_OFF
    delays = [
        ours(change, draw(change, rng, 1_000, WARM, change.horizon), reference, rules)
        for _ in range(15)
    ]
    assert float(np.median(delays)) <= most


def test_a_bad_row_changes_no_verdict() -> None:
    found = one_bad_row(runs=2, seed=3)
    assert sum(one.compared for one in found) == 2 * 5 * 12 * 6
    assert [one.changed for one in found] == [0] * 6


def test_a_quiet_window_is_stable_whatever_its_size() -> None:
    for rows, said in quiet_by_rows(runs=1, seed=4).items():
        assert set(said) <= {"stable", "inconclusive"}, rows
        assert said.get("inconclusive", 0) == (5 if rows == 200 else 0)  # too few values of one


@pytest.mark.skipif(not TAXI.exists(), reason="the taxi rows are not here (DRIFTLINE_TAXI)")
def test_halves_of_the_taxi_rows_do_not_differ_and_the_years_do() -> None:
    same = halves(TAXI, splits=2, seed=5)
    assert same.by_outcome == {"stable": 2 * same.features}
    moved = {one.feature: one for one in then_and_now(TAXI, seed=5)}
    assert moved["fare"].outcome == "drifted"
    assert moved["fare"].effect > 0.5
    assert moved["dropoff_longitude"].outcome == "stable"


@pytest.mark.engine
def test_distances_are_those_that_evidently_computes(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    values = np.arange(30, dtype=np.float64)
    before, now = rng.multinomial(3_000, np.ones(30) / 30), rng.multinomial(500, np.ones(30) / 30)
    names = np.array([f"v{at:02d}" for at in range(30)])

    def columns(counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
        return {"number": np.repeat(values, counts), "category": np.repeat(names, counts)}

    with Peer("evidently", tmp_path / "evidently.log") as peer:
        peer.ask({"do": "reference", "categories": ["category"]}, columns(before))
        said = peer.ask({"do": "report"}, columns(now))[0]["columns"]
    number = distances.wasserstein(now[None], before, values)[0]
    category = distances.jensen_shannon(now[None], before)[0]
    assert said["number"]["score"] == pytest.approx(number)
    assert said["category"]["score"] == pytest.approx(category)
