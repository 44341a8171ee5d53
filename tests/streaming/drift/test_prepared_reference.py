"""A reference made ready."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.contracts.records import FeatureVerdict
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.streaming.statistics_data import TRIPS, reference, trips, window


def test_an_extra_error_of_the_yardstick_makes_every_p_of_its_feature_larger() -> None:
    before = reference(trips(np.random.default_rng(1), 20_000))
    now = window(0, trips(np.random.default_rng(2), 5_000))
    plain = prepare_reference(before, TRIPS)
    unsure = prepare_reference(before, TRIPS, {"normal": 0.05, "payment": 0.05})
    verdicts = [
        judge_drift(now, one, "r", DriftHistory(), DriftRules(), TRIPS)[0]
        for one in (plain, unsure)
    ]
    for one, other in zip(*(verdict.features for verdict in verdicts), strict=True):
        if one.feature not in ("normal", "payment"):
            assert one == other
            continue
        effects = [{test.name: test.effect for test in v.tests} for v in (one, other)]
        for found in effects:
            found.pop("value", None)  # the worst of several: which one may change
        assert effects[0] == pytest.approx(effects[1])
        assert wider_than(one) < wider_than(other)


def wider_than(verdict: FeatureVerdict) -> float:
    return sum(test.p for test in verdict.tests)
