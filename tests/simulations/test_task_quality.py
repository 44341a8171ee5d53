"""The simulation of multiclass and regression quality is seeded, and its judge keeps the budget."""

from __future__ import annotations

import pytest

from tests.simulations.task_quality import ARMS, CHANGES, POPULATIONS, Arm, delay, quiet
from tests.streaming.quality.task_populations import Change


def test_the_same_seed_gives_the_same_figures() -> None:
    arm = Arm(population="counts", rows=500, window_seconds=7200.0)
    first, second = (quiet(arm, versions=1, budget=60.0, seed=3) for _ in range(2))
    assert first == second
    assert first.expected == pytest.approx(20.0)


@pytest.mark.parametrize("population", ["regression, log-normal", "multiclass, 5 classes"])
def test_quiet_versions_stay_within_the_budget(population: str) -> None:
    arm = Arm(population=population, rows=500, window_seconds=7200.0)
    rate = quiet(arm, versions=2, budget=60.0, seed=5)
    assert 0.0 < rate.low <= 1.0, "some alarms are raised, and no more than allowed"


@pytest.mark.parametrize(
    ("population", "change"),
    [
        ("multiclass, 5 classes", Change(slope=0.5)),
        ("regression, normal", Change(shift=0.2)),
        ("regression, log-normal", Change(shift=0.5)),
        ("counts", Change(shift=0.3)),
    ],
)
def test_a_large_change_is_found_in_a_few_batches(population: str, change: Change) -> None:
    median, share, suspicion = delay(POPULATIONS[population], change, 2000, runs=2, seed=1)
    assert median <= 4.0
    assert share == 1.0
    assert suspicion <= median


def test_every_arm_has_a_unique_name_and_every_population_a_change() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)
    assert set(CHANGES) == set(POPULATIONS)
