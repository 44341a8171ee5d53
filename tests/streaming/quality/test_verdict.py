"""The judgement itself: limits, floors, causes, and what is never good."""

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
from streaming.quality.version_baseline import Inputs, Look, Track, cause_of
from tests.streaming.quality.quality_world import window_counts

RULES = QualityRules()


def baseline(rows: int = 8000) -> Track:
    counts = window_counts(np.random.default_rng(1), rows)
    return Track(version=1, baseline=counts, baseline_looks=20)


def window(place: int = 0, rows: int = 2000, **world: float) -> MatureWindow:
    counts = window_counts(np.random.default_rng(100 + place), rows, **world)
    return MatureWindow(
        version=1,
        live=True,
        start=60.0 * place,
        end=60.0 * place + 60.0,
        counts=counts,
        expected=float(rows),
        inputs="stable",
    )


def test_a_limit_lies_beyond_what_chance_does_and_never_inside_the_floor() -> None:
    here, track = window().counts, baseline()
    for one in compare(here, track.baseline, seconds=60.0, rules=RULES):
        assert one.metric.baseline is not None
        assert one.metric.limit is not None
        reach = abs(one.metric.limit - one.metric.baseline)
        floors = {"auc": RULES.auc_fall, "brier": RULES.brier_rise}
        assert reach >= floors.get(one.metric.name, RULES.calibration_shift)
        assert not one.sustained
    huge = add([here] * 200)
    strict = compare(huge, add([track.baseline] * 200), seconds=60.0, rules=RULES)
    assert strict[0].metric.limit == pytest.approx(strict[0].metric.baseline, abs=0.06)


def test_a_larger_budget_and_longer_windows_make_laxer_limits() -> None:
    here, track = window().counts, baseline()

    def limit(rules: QualityRules, seconds: float) -> float:
        found = compare(here, track.baseline, seconds=seconds, rules=rules)[0].metric.limit
        assert found is not None
        return found

    usual = limit(RULES, 60.0)
    assert limit(replace(RULES, false_alarms=30.0), 60.0) > usual
    assert limit(RULES, 3600.0) > usual
    assert limit(replace(RULES, wobble=0.03), 60.0) < usual


def test_calibration_is_hit_either_way_and_quality_only_when_worse() -> None:
    track, rules = baseline(), RULES
    for shift in (-1.0, 1.0):
        found = {
            one.metric.name: one.sustained
            for one in compare(
                window(rows=5000, shift=shift).counts, track.baseline, seconds=60.0, rules=rules
            )
        }
        assert found["calibration"]
    better = compare(window(rows=5000, keep=2.5).counts, track.baseline, seconds=60.0, rules=rules)
    assert {one.metric.name for one in better if one.sustained} <= {"calibration"}
    assert better[0].change < 0.0


def test_one_bad_look_is_suspected_and_three_are_degraded() -> None:
    track, outcomes = baseline(), []
    for place in range(4):
        judgement, track = judge_quality(window(place, keep=-0.5), track, RULES)
        outcomes.append(judgement.outcome)
    assert outcomes == ["suspected", "suspected", "degraded", "degraded"]
    assert judgement.cause == "concept"
    assert judgement.shift_start == 60.0
    assert {m.name: m.hits for m in judgement.metrics}["auc"] == 4
    assert track.contradicted


def test_a_baseline_is_not_widened_by_looks_that_were_bad_or_moved() -> None:
    young = replace(baseline(), baseline_looks=3)
    for bad in (window(keep=-0.5), replace(window(), inputs="suspected")):
        _, track = judge_quality(bad, young, RULES)
        assert track.baseline_looks == 3
    _, track = judge_quality(window(), young, RULES)
    assert track.baseline_looks == 4
    assert track.baseline.labelled == 10_000


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"live": False}, "not live"),
        ({"expected": 4000.0}, "labels are missing"),
        ({"counts": count_rows(np.arange(40), np.arange(40) % 2)}, "so far"),
        ({"counts": count_rows([5] * 2000, [0] * 1990 + [1] * 10)}, "rarer outcome"),
    ],
)
def test_what_cannot_be_judged_is_never_good(changed: dict[str, object], why: str) -> None:
    made = window()
    if "expected" not in changed:
        changed = {"expected": 0.0} | changed
    judgement, track = judge_quality(replace(made, **changed), baseline(), RULES)  # type: ignore[arg-type]
    assert judgement.outcome == "inconclusive"
    assert why in judgement.reason
    assert track.looks == ()


@given(inputs=st.lists(st.sampled_from(["stable", "moved", "unknown"]), min_size=3, max_size=5))
def test_concept_drift_needs_as_many_calm_hits_as_make_it_sustained(inputs: list[Inputs]) -> None:
    hits = tuple(
        Look(start=n * 60.0, end=n * 60.0 + 60.0, hits=frozenset(["auc"]), inputs=one)
        for n, one in enumerate(inputs)
    )
    cause = cause_of(hits, RULES)
    assert (cause == "concept") == (inputs.count("stable") >= 3)
    assert (cause == "inputs") == (inputs.count("stable") < 3 and "moved" in inputs)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sustained": 6},
        {"horizon_seconds": 0.0},
        {"mature_share": 1.0},
        {"min_labels": 10},
        {"false_alarms": 0.0},
    ],
)
def test_rules_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        QualityRules(**wrong)  # type: ignore[arg-type]
