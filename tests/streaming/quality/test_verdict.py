"""The quality verdict: limits, smallest reported changes, causes, and inconclusive windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.errors import ConfigurationError
from streaming.quality import QualityRules, judge_quality
from streaming.quality.compare import compare
from streaming.quality.counts import add, count_rows
from streaming.quality.verdict import MatureWindow
from streaming.quality.version_baseline import InputState, JudgedBatch, VersionBaseline, cause_of
from tests.streaming.quality.quality_world import window_counts

RULES = QualityRules()


def full_baseline(rows: int = 8000) -> VersionBaseline:
    counts = window_counts(np.random.default_rng(1), rows)
    return VersionBaseline(version=1, counts=counts, baseline_batches=20)


def window(index: int = 0, rows: int = 2000, **world: float) -> MatureWindow:
    counts = window_counts(np.random.default_rng(100 + index), rows, **world)
    return MatureWindow(
        version=1,
        live=True,
        start=60.0 * index,
        end=60.0 * index + 60.0,
        counts=counts,
        expected=float(rows),
        inputs="stable",
    )


def test_a_limit_lies_beyond_chance_and_beyond_the_smallest_reported_change() -> None:
    counts, reference = window().counts, full_baseline().counts
    for comparison in compare(counts, reference, seconds=60.0, rules=RULES):
        metric = comparison.metric
        assert metric.baseline is not None
        assert metric.limit is not None
        critical_change = abs(metric.limit - metric.baseline)
        floors = {"auc": RULES.auc_fall, "brier": RULES.brier_rise}
        assert critical_change >= floors.get(metric.name, RULES.calibration_shift)
        assert not comparison.sustained
    huge = add([counts] * 200)
    strict = compare(huge, add([reference] * 200), seconds=60.0, rules=RULES)
    assert strict[0].metric.limit == pytest.approx(strict[0].metric.baseline, abs=0.06)


def test_a_larger_budget_and_longer_windows_make_looser_limits() -> None:
    counts, reference = window().counts, full_baseline().counts

    def limit(rules: QualityRules, seconds: float) -> float:
        auc_limit = compare(counts, reference, seconds=seconds, rules=rules)[0].metric.limit
        assert auc_limit is not None
        return auc_limit

    default = limit(RULES, 60.0)
    assert limit(replace(RULES, false_alarms=30.0), 60.0) > default
    assert limit(RULES, 3600.0) > default
    assert limit(replace(RULES, day_variation=0.03), 60.0) < default


def test_calibration_exceeds_its_limit_in_both_directions_and_quality_only_when_worse() -> None:
    reference = full_baseline().counts
    for shift in (-1.0, 1.0):
        shifted = window(rows=5000, shift=shift).counts
        comparisons = compare(shifted, reference, seconds=60.0, rules=RULES)
        assert {c.metric.name: c.sustained for c in comparisons}["calibration"]
    better = compare(window(rows=5000, keep=2.5).counts, reference, seconds=60.0, rules=RULES)
    assert {c.metric.name for c in better if c.sustained} <= {"calibration"}
    assert better[0].change < 0.0


def test_one_bad_batch_is_suspected_and_three_are_degraded() -> None:
    baseline, outcomes = full_baseline(), []
    for index in range(4):
        judgement, baseline = judge_quality(window(index, keep=-0.5), baseline, RULES)
        outcomes.append(judgement.outcome)
    assert outcomes == ["suspected", "suspected", "degraded", "degraded"]
    assert judgement.cause == "concept"
    assert judgement.shift_start == 60.0
    assert {m.name: m.hits for m in judgement.metrics}["auc"] == 4
    assert baseline.contradicted


def test_a_baseline_is_not_extended_by_bad_batches_or_moved_inputs() -> None:
    young = replace(full_baseline(), baseline_batches=3)
    for unusable in (window(keep=-0.5), replace(window(), inputs="suspected")):
        _, baseline = judge_quality(unusable, young, RULES)
        assert baseline.baseline_batches == 3
    _, baseline = judge_quality(window(), young, RULES)
    assert baseline.baseline_batches == 4
    assert baseline.counts.labelled == 10_000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"live": False}, "not live"),
        ({"expected": 4000.0}, "labels are missing"),
        ({"counts": count_rows(np.arange(40), np.arange(40) % 2)}, "so far"),
        ({"counts": count_rows([5] * 2000, [0] * 1990 + [1] * 10)}, "rarer outcome"),
    ],
)
def test_what_cannot_be_judged_is_inconclusive(changes: dict[str, object], reason: str) -> None:
    if "expected" not in changes:
        changes = {"expected": 0.0} | changes
    unusable = replace(window(), **changes)  # type: ignore[arg-type]
    judgement, baseline = judge_quality(unusable, full_baseline(), RULES)
    assert judgement.outcome == "inconclusive"
    assert reason in judgement.reason
    assert baseline.batches == ()


@given(inputs=st.lists(st.sampled_from(["stable", "moved", "unknown"]), min_size=3, max_size=5))
def test_concept_drift_needs_three_exceedances_with_stable_inputs(inputs: list[InputState]) -> None:
    hits = tuple(
        JudgedBatch(start=n * 60.0, end=n * 60.0 + 60.0, hits=frozenset(["auc"]), inputs=state)
        for n, state in enumerate(inputs)
    )
    cause = cause_of(hits, RULES)
    assert (cause == "concept") == (inputs.count("stable") >= 3)
    assert (cause == "inputs") == (inputs.count("stable") < 3 and "moved" in inputs)


@pytest.mark.parametrize(
    "setting",
    [
        {"sustained": 6},
        {"horizon_seconds": 0.0},
        {"mature_share": 1.0},
        {"min_labels": 10},
        {"false_alarms": 0.0},
    ],
)
def test_rules_that_cannot_work_are_rejected(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        QualityRules(**setting)  # type: ignore[arg-type]
