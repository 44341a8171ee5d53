"""The correlation test finds and names a pair whose correlation changed, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import DriftVerdict, FeatureVerdict, ReferenceSummary, RowSample
from streaming.drift import DriftHistory, DriftRules, judge_drift
from streaming.drift.correlation.statistic import CORRELATION, correlation_test, prepare_correlation
from streaming.grid import Floats, bucket_of
from streaming.summary.sample import NO_LIMIT, SampledRows, code_of_value
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
    codes = np.empty(drawn.shape, np.uint64)
    for at in (0, 1):
        codes[:, at] = bucket_of(np.exp(drawn[:, at])) + 2**17
    payments = ["card", "cash", "app"]
    codes[:, 2] = [code_of_value(payments[at]) for at in np.searchsorted([0, 1], drawn[:, 2])]
    codes[:, 3] = bucket_of(np.floor(np.abs(drawn[:, 3]) * 2)) + 2**17
    rows = SampledRows(np.arange(len(codes), dtype=np.uint64), codes, NO_LIMIT)
    return sample_record(rows, [spec.name for spec in SPECS])


PREPARED = prepare_correlation(sample(draw(1, 4_096, 0.9)), SPECS)
REFERENCE = reference(trips(np.random.default_rng(7), 20_000))


def test_the_pair_with_the_changed_correlation_is_named() -> None:
    assert PREPARED is not None
    result = correlation_test(PREPARED, sample(draw(2, 512, 0.3)), RULES)
    assert result is not None
    test, change = result
    assert (change.first, change.second) == ("fare", "miles")
    assert (change.reference, change.window) == pytest.approx((0.9, 0.3), abs=0.1)
    assert test.p < 1e-6
    assert test.effect == pytest.approx(np.arctanh(0.9) - np.arctanh(0.3), abs=0.2)


def test_without_a_change_the_effect_is_small_and_p_is_spread_out() -> None:
    assert PREPARED is not None
    results = [
        correlation_test(PREPARED, sample(draw(at, 512, 0.9)), RULES) for at in range(100, 180)
    ]
    tests = [result[0] for result in results if result]
    p = np.array([test.p for test in tests])
    assert len(p) == 80
    assert (p < 0.01).sum() <= 3
    assert (p < 0.5).sum() > 5
    assert max(test.effect for test in tests) < RULES.suspected_sd


def test_an_outlier_is_no_change() -> None:
    assert PREPARED is not None
    drawn = draw(3, 512, 0.9)
    plain = correlation_test(PREPARED, sample(drawn), RULES)
    drawn[0, :2] = (600.0, -600.0)
    with_outlier = correlation_test(PREPARED, sample(drawn), RULES)
    assert plain is not None
    assert with_outlier is not None
    assert with_outlier[0].effect < RULES.suspected_sd
    assert with_outlier[0].p > 0.01


def test_a_shift_of_a_single_feature_is_no_change_of_correlations() -> None:
    assert PREPARED is not None
    for change in ([0.5, 0, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 0.5]):
        result = correlation_test(PREPARED, sample(draw(4, 512, 0.9) + change), RULES)
        assert result is not None
        assert result[0].effect < RULES.suspected_sd


def test_without_two_features_there_is_nothing_to_prepare() -> None:
    assert prepare_correlation(None, SPECS) is None
    fare = FeatureSpec(name="fare", kind="number")
    assert prepare_correlation(sample(draw(1, 500, 0.9)), (fare,)) is None
    broken = RowSample(features=("fare", "miles"), rows=9, below=9, data=b"?")
    assert prepare_correlation(broken, SPECS) is None


def judged(
    history: DriftHistory, at: int, rows: RowSample | None, against: ReferenceSummary
) -> tuple[DriftVerdict, DriftHistory]:
    batch = trips(np.random.default_rng(at), 2_000)
    summary = replace(window(at, batch), sample=rows)
    return judge_drift(summary, against, "r", history, RULES, TRIPS)


def correlation_verdict(verdict: DriftVerdict) -> FeatureVerdict | None:
    return next((feature for feature in verdict.features if feature.feature == CORRELATION), None)


PAIR = ("normal", "lognormal")


def pair_of(rho: float, rows: int, seed: int) -> RowSample:
    codes = bucket_of(np.exp(draw(seed, rows, rho)[:, :2])).reshape(rows, 2) + 2**17
    sampled = SampledRows(np.arange(rows, dtype=np.uint64), codes.astype(np.uint64), NO_LIMIT)
    return sample_record(sampled, PAIR)


def test_it_is_judged_as_a_feature_by_the_sustained_rule_only() -> None:
    against = replace(REFERENCE, sample=pair_of(0.8, 4_000, 1))
    history, outcomes = DriftHistory(), []
    for at in range(4):
        verdict, history = judged(history, at, pair_of(0.0, 512, 50 + at), against)
        correlation = verdict.features[-1]
        assert correlation.feature == CORRELATION
        outcomes.append((correlation.outcome, correlation.hits, verdict.outcome))
    assert outcomes[:2] == [("stable", 1, "stable"), ("stable", 2, "stable")]
    assert outcomes[2:] == [("drifted", 3, "drifted"), ("drifted", 4, "drifted")]
    assert (
        "normal and lognormal no longer move together: correlation 0.79 -> " in correlation.reason
    )
    assert correlation.raised_by == "sustained"
    assert verdict.correlation == pytest.approx(0.8, abs=0.05)
    assert 1.0 <= verdict.effective_features < 2.0
    assert CORRELATION in verdict.reason


def test_a_window_without_a_sample_is_judged_by_its_features() -> None:
    against = replace(REFERENCE, sample=pair_of(0.8, 4_000, 1))
    verdict, history = judged(DriftHistory(), 0, None, against)
    correlation = correlation_verdict(verdict)
    assert correlation is not None
    assert correlation.outcome == "inconclusive"
    assert "no sample" in correlation.reason
    assert verdict.outcome == "stable"
    assert CORRELATION not in history.features
    short, _ = judged(DriftHistory(), 0, pair_of(0.8, 60, 2), against)
    assert "too few rows" in str(correlation_verdict(short))


def test_with_a_reference_without_a_sample_there_is_no_correlation_verdict() -> None:
    verdict, _ = judged(DriftHistory(), 0, pair_of(0.8, 512, 2), REFERENCE)
    assert correlation_verdict(verdict) is None
    assert verdict.outcome == "stable"
    assert verdict.effective_features == 0.0


def test_a_window_without_a_judged_feature_stays_inconclusive() -> None:
    against = replace(REFERENCE, sample=pair_of(0.8, 4_000, 1))
    few = replace(window(0, trips(np.random.default_rng(1), 30)), sample=pair_of(0.8, 512, 3))
    verdict, _ = judge_drift(few, against, "r", DriftHistory(), RULES, contract(*TRIPS.features))
    assert verdict.outcome == "inconclusive"
