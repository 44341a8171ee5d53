"""The member `(together)`: a pair that turns is found and named, all else leaves it alone."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import DriftVerdict, FeatureVerdict, ReferenceSummary, RowSample
from streaming.drift import DriftHistory, DriftRules, judge_drift
from streaming.drift.correlation.statistic import TOGETHER, prepare_together, together_test
from streaming.grid import Floats, bucket_of
from streaming.summary.sample import NO_LIMIT, Sample, code_of_value
from streaming.summary.sample_records import sample_record
from tests.streaming.statistics_data import TRIPS, contract, number, reference, text, trips, window

SPECS = (number("fare"), number("miles"), text("payment"), number("seats"))
RULES = DriftRules()


def draw(seed: int, rows: int, rho: float) -> Floats:
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((rows, 4))
    drawn[:, 1] = rho * drawn[:, 0] + np.sqrt(1.0 - rho**2) * drawn[:, 1]
    drawn[:, 2] += drawn[:, 0]
    return drawn


def sample(drawn: Floats) -> RowSample:
    codes = np.empty(drawn.shape, np.uint32)
    for at in (0, 1):
        codes[:, at] = bucket_of(np.exp(drawn[:, at])) + 2**17
    words = ["card", "cash", "app"]
    codes[:, 2] = [code_of_value(words[place]) for place in np.searchsorted([0, 1], drawn[:, 2])]
    codes[:, 3] = bucket_of(np.floor(np.abs(drawn[:, 3]) * 2)) + 2**17
    made = Sample(np.arange(len(codes), dtype=np.uint64), codes, NO_LIMIT)
    return sample_record(made, [spec.name for spec in SPECS])


PREPARED = prepare_together(sample(draw(1, 4_096, 0.9)), SPECS)
BEFORE = reference(trips(np.random.default_rng(7), 20_000))


def test_the_pair_that_turns_is_named() -> None:
    assert PREPARED is not None
    tested = together_test(PREPARED, sample(draw(2, 512, 0.3)), RULES)
    assert tested is not None
    test, moved = tested
    assert (moved.one, moved.other) == ("fare", "miles")
    assert (moved.before, moved.now) == pytest.approx((0.9, 0.3), abs=0.1)
    assert test.p < 1e-6
    assert test.effect == pytest.approx(np.arctanh(0.9) - np.arctanh(0.3), abs=0.2)


def test_quiet_windows_have_no_effect_and_every_p() -> None:
    assert PREPARED is not None
    found = [together_test(PREPARED, sample(draw(at, 512, 0.9)), RULES) for at in range(100, 180)]
    p = np.array([one[0].p for one in found if one])
    assert len(p) == 80
    assert (p < 0.01).sum() <= 3
    assert (p < 0.5).sum() > 5
    assert max(one[0].effect for one in found if one) < RULES.suspected_sd


def test_one_outlier_changes_nothing() -> None:
    assert PREPARED is not None
    drawn = draw(3, 512, 0.9)
    plain = together_test(PREPARED, sample(drawn), RULES)
    drawn[0, :2] = (600.0, -600.0)
    wild = together_test(PREPARED, sample(drawn), RULES)
    assert plain is not None
    assert wild is not None
    assert wild[0].effect < RULES.suspected_sd
    assert wild[0].p > 0.01


def test_a_shift_of_one_feature_is_the_business_of_its_own_tests() -> None:
    assert PREPARED is not None
    for change in ([0.5, 0, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 0.5]):
        tested = together_test(PREPARED, sample(draw(4, 512, 0.9) + change), RULES)
        assert tested is not None
        assert tested[0].effect < RULES.suspected_sd


def test_no_yardstick_without_two_features_that_vary() -> None:
    assert prepare_together(None, SPECS) is None
    one = FeatureSpec(name="fare", kind="number")
    assert prepare_together(sample(draw(1, 500, 0.9)), (one,)) is None
    broken = RowSample(features=("fare", "miles"), rows=9, below=9, data=b"?")
    assert prepare_together(broken, SPECS) is None


def judged(
    history: DriftHistory, at: int, rows: RowSample | None, before: ReferenceSummary
) -> tuple[DriftVerdict, DriftHistory]:
    batch = trips(np.random.default_rng(at), 2_000)
    made = replace(window(at, batch), sample=rows)
    return judge_drift(made, before, "r", history, RULES, TRIPS)


def member(verdict: DriftVerdict) -> FeatureVerdict | None:
    return next((one for one in verdict.features if one.feature == TOGETHER), None)


OF_TRIPS = ("normal", "lognormal")


def pair_of(rho: float, rows: int, seed: int) -> RowSample:
    codes = bucket_of(np.exp(draw(seed, rows, rho)[:, :2])).reshape(rows, 2) + 2**17
    made = Sample(np.arange(rows, dtype=np.uint64), codes.astype(np.uint32), NO_LIMIT)
    return sample_record(made, OF_TRIPS)


def test_it_is_a_member_of_the_family_and_only_sustained() -> None:
    before = replace(BEFORE, sample=pair_of(0.8, 4_000, 1))
    history, outcomes = DriftHistory(), []
    for at in range(4):
        verdict, history = judged(history, at, pair_of(0.0, 512, 50 + at), before)
        found = verdict.features[-1]
        assert found.feature == TOGETHER
        outcomes.append((found.outcome, found.hits, verdict.outcome))
    assert outcomes[:2] == [("stable", 1, "stable"), ("stable", 2, "stable")]
    assert outcomes[2:] == [("drifted", 3, "drifted"), ("drifted", 4, "drifted")]
    assert "normal and lognormal no longer move together: correlation 0.79 -> " in found.reason
    assert found.lane == "sustained"
    assert verdict.correlation == pytest.approx(0.8, abs=0.05)
    assert 1.0 <= verdict.effective_features < 2.0
    assert TOGETHER in verdict.reason


def test_without_a_sample_the_window_is_judged_by_its_features() -> None:
    before = replace(BEFORE, sample=pair_of(0.8, 4_000, 1))
    verdict, history = judged(DriftHistory(), 0, None, before)
    found = member(verdict)
    assert found is not None
    assert found.outcome == "inconclusive"
    assert "no sample" in found.reason
    assert verdict.outcome == "stable"
    assert TOGETHER not in history.features
    short, _ = judged(DriftHistory(), 0, pair_of(0.8, 60, 2), before)
    assert "too few rows" in str(member(short))


def test_an_old_reference_without_a_sample_keeps_working() -> None:
    verdict, _ = judged(DriftHistory(), 0, pair_of(0.8, 512, 2), BEFORE)
    assert member(verdict) is None
    assert verdict.outcome == "stable"
    assert verdict.effective_features == 0.0


def test_what_no_feature_could_be_judged_on_stays_inconclusive() -> None:
    before = replace(BEFORE, sample=pair_of(0.8, 4_000, 1))
    few = replace(window(0, trips(np.random.default_rng(1), 30)), sample=pair_of(0.8, 512, 3))
    verdict, _ = judge_drift(few, before, "r", DriftHistory(), RULES, contract(*TRIPS.features))
    assert verdict.outcome == "inconclusive"
