"""The effects of a numeric feature's tests have a scale in standard deviations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from streaming.drift import DriftRules
from streaming.drift.statistics.numeric import numeric_tests
from streaming.drift.statistics.rank_scores import prepare_numeric
from streaming.drift.statistics.statistic import TestStatistic
from tests.streaming.drift.statistics.counts import grid

RULES = DriftRules()


def run_tests(reference: npt.ArrayLike, window: npt.ArrayLike) -> dict[str, TestStatistic]:
    scores = prepare_numeric(grid(reference))
    assert scores is not None
    return {test.name: test for test in numeric_tests(scores, scores.align(grid(window)), RULES)}


@pytest.mark.parametrize("d", [0.25, 0.5, 1.0])
def test_the_mean_score_is_the_shift_in_standard_deviations(d: float) -> None:
    rng = np.random.default_rng(2)
    normal = rng.normal(size=200_000)
    for scale in (lambda x: x, np.exp):  # ranks do not depend on the scale
        tests = run_tests(scale(normal[:100_000]), scale(normal[100_000:] + d))
        assert tests["location"].effect == pytest.approx(d, abs=0.015)


@pytest.mark.parametrize(("k", "effect"), [(1.1, 0.148), (1.25, 0.40)])
def test_a_scale_ratio_has_its_effect(k: float, effect: float) -> None:
    rng = np.random.default_rng(2)
    tests = run_tests(rng.normal(size=100_000), k * rng.normal(size=100_000))
    assert tests["dispersion"].effect == pytest.approx(effect, abs=0.02)
    assert abs(tests["location"].effect) < 0.02


def test_two_modes_with_the_same_mean_and_variance_are_a_change_of_shape() -> None:
    rng = np.random.default_rng(2)
    modes = rng.choice([-0.9, 0.9], 5_000) + rng.normal(0, 0.436, 5_000)
    tests = run_tests(rng.normal(size=50_000), modes)
    assert tests["shape"].p < 1e-9
    assert tests["shape"].effect > 0.5
    assert abs(tests["location"].effect) < 0.1
    assert abs(tests["dispersion"].effect) < 0.1


def test_a_near_constant_feature_has_exact_tests_only() -> None:
    near_constant = np.concatenate((np.zeros(9_990), np.ones(10)))
    names = set(run_tests(near_constant, np.zeros(500)))
    assert names == {"range", "unseen", "zero", "frequent_value"}


@pytest.mark.parametrize("rows", [100, 120, 500])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_reference_that_saw_every_value_once_is_compared(rows: int, sign: float) -> None:
    reference = sign * np.exp(np.linspace(-300.0, 300.0, rows))
    same, further = (run_tests(reference, window) for window in (reference, reference * 1.1))
    assert same["unseen"].p == 1.0
    assert further["unseen"].statistic == 1.0
    assert further["unseen"].p > 0.01  # nothing was ever seen twice, so new values are no news
