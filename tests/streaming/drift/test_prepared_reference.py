"""Prepared references: the effect of an extra variance."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.contracts.records import FeatureVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import TRIPS, reference, trips, window


def test_an_extra_variance_of_a_feature_raises_all_its_p_values() -> None:
    training = reference(trips(np.random.default_rng(1), 20_000))
    summary = window(0, trips(np.random.default_rng(2), 5_000))
    exact = prepare_reference(training, TRIPS)
    uncertain = prepare_reference(training, TRIPS, {"normal": 0.05, "payment": 0.05})
    with_exact, with_uncertain = (
        judge_drift(summary, prepared, "r", DriftHistory(), DriftRules(), TRIPS)[0]
        for prepared in (exact, uncertain)
    )
    for verdict, other in zip(with_exact.features, with_uncertain.features, strict=True):
        if verdict.feature not in ("normal", "payment"):
            assert verdict == other
            continue
        assert effects(verdict) == pytest.approx(effects(other))
        assert sum_of_p(verdict) < sum_of_p(other)


def effects(verdict: FeatureVerdict) -> dict[str, float]:
    """Without the test of single values: it is the worst of several, and which one may change."""
    return {test.name: test.effect for test in verdict.tests if test.name != "value"}


def sum_of_p(verdict: FeatureVerdict) -> float:
    return sum(test.p for test in verdict.tests)
