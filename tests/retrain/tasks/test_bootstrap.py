"""The bootstrap's intervals agree with the normal ones where those are right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrain.intervals import Z95
from retrain.tasks.bootstrap import MIN_ENTITIES, intervals


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 2_000)
    columns = np.stack([values, np.ones(2_000)], axis=1)
    mean = {"mean": lambda sums: sums[:, 0] / sums[:, 1]}
    interval = intervals(columns, mean, entities=None, seed=1)["mean"]
    assert interval.value == pytest.approx(values.mean())
    half = Z95 * values.std() / math.sqrt(2_000)
    assert interval.high - interval.value == pytest.approx(half, rel=0.1)
    assert interval.value - interval.low == pytest.approx(half, rel=0.1)


def test_few_entities_and_infinite_values_have_no_interval() -> None:
    ratio = {"ratio": lambda sums: np.divide(sums[:, 0], 0.0 * sums[:, 0] + np.inf * 0.0)}
    assert intervals(np.ones((500, 1)), ratio, entities=None, seed=1) == {}
    total = {"total": lambda sums: sums[:, 0]}
    entities = np.arange(500) % (MIN_ENTITIES - 1)
    assert intervals(np.ones((500, 1)), total, entities=entities, seed=1) == {}
    assert "total" in intervals(np.ones((500, 1)), total, entities=None, seed=1)
