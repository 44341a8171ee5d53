"""The gates on users' queries: direction, margin, missing values, and looks without end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from serving.evidence.queries import QueryEvidence, QueryLook, add_looks, due, judge_queries
from serving.evidence.rules import EvidenceRules, QueryGate
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import GateResult


def gate(**changes: Any) -> QueryGate:
    values = {"name": "revenue", "query": 'sum(x{role="$arm"})', "direction": "higher",
              "margin": 1.0, **changes}  # fmt: skip
    return QueryGate(**values)


def rules(*gates: QueryGate) -> EvidenceRules:
    return EvidenceRules(queries=gates)


def judged(
    values: Sequence[tuple[float | None, float | None]], *, runs: Sequence[int] = (), **changes: Any
) -> GateResult:
    """The gate's result after these values of canary and control."""
    settings, evidence = rules(gate(**changes)), ()
    for number, (canary, control) in enumerate(values):
        look = QueryLook(gate="revenue", at=10.0 * (number + 1), canary=canary, control=control)
        run = runs[number] if runs else 1
        evidence = add_looks(evidence, [look], run=run, rules=settings)  # type: ignore[assignment]
    (result,) = judge_queries(evidence, rules=settings)
    return result


@pytest.mark.parametrize(("direction", "worse"), [("higher", -3.0), ("lower", 3.0)])
def test_a_worse_canary_fails_and_a_better_one_passes(direction: str, worse: float) -> None:
    bad = [(50.0 + worse, 50.0)] * 20
    good = [(50.0 - worse, 50.0)] * 20
    assert judged(bad, direction=direction).outcome == "fail"
    assert judged(good, direction=direction).outcome == "pass"


def test_equal_arms_pass_and_a_canary_worse_by_the_margin_does_not() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.5, (60, 2))
    equal = [(50 + a, 50 + b) for a, b in noise]
    at_margin = [(49 + a, 50 + b) for a, b in noise]
    assert judged(equal).outcome == "pass"
    assert judged(at_margin).outcome != "pass"


def test_one_outlier_decides_nothing() -> None:
    assert judged([(50.0, 50.0)] * 6 + [(-1e9, 50.0)]).outcome != "fail"
    assert judged([(1e9, 50.0)]).outcome == "insufficient"


@pytest.mark.parametrize("heavy", [False, True])
def test_looks_without_end_fail_an_equal_canary_in_at_most_the_budget(heavy: bool) -> None:
    """The e-process over 1,000 looks, for normal and for Cauchy differences, without the margin."""
    rng = np.random.default_rng(2)
    settings = EvidenceRules(queries=(gate(margin=1e-9),), queries_alpha=0.2)
    failed = 0
    for _ in range(40):
        draws = (rng.standard_cauchy if heavy else rng.standard_normal)(250) * 1e-9
        evidence: tuple[QueryEvidence, ...] = ()
        looks = [QueryLook(gate="revenue", at=1.0 + n, canary=float(d), control=0.0)
                 for n, d in enumerate(draws)]  # fmt: skip
        evidence = add_looks(evidence, looks, run=1, rules=settings)
        failed += max(entry.failed for entry in evidence)
    assert failed <= 13  # 8 and two standard deviations


def test_passing_uses_the_present_weight_and_failing_the_whole_rollout() -> None:
    passed = [(50.0, 50.0)] * 10
    assert judged(passed, runs=[1] * 10).outcome == "pass"
    assert judged([*passed, (50.0, 50.0)], runs=[1] * 10 + [2]).outcome == "insufficient"
    bad = [(40.0, 50.0)] * 12
    assert judged([*bad, (50.0, 50.0)], runs=[1] * 12 + [2]).outcome == "fail"


@pytest.mark.parametrize(
    ("missing", "outcome"), [("hold", "insufficient"), ("pass", "pass"), ("fail", "fail")]
)
@pytest.mark.parametrize("value", [(None, 5.0), (5.0, None), (None, None)])
def test_the_missing_rule_applies_after_three_looks(
    missing: str, outcome: str, value: tuple[float | None, float | None]
) -> None:
    assert judged([value] * 3, missing=missing).outcome == outcome
    assert judged([value] * 2, missing=missing).outcome == "insufficient"
    between = [(50.0, 50.0), value, (50.0, 50.0), value]
    assert judged(between, missing=missing).outcome == "insufficient"


def test_a_query_that_cannot_be_evaluated_is_an_error_under_every_rule() -> None:
    for missing in ("hold", "pass", "fail"):
        settings = rules(gate(missing=missing))
        looks = [QueryLook(gate="revenue", at=n + 1.0, canary=None, control=None,
                           problem="Prometheus does not answer.", refused=True)
                 for n in range(5)]  # fmt: skip
        (result,) = judge_queries(add_looks((), looks, run=1, rules=settings), rules=settings)
        assert result.outcome == "error"
        assert "does not answer" in result.reason


def test_a_gate_that_was_never_looked_at_is_insufficient() -> None:
    (result,) = judge_queries((), rules=rules(gate()))
    assert (result.outcome, result.holds, result.mode) == ("insufficient", True, "critical")
    (result,) = judge_queries((), rules=rules(gate(mode="dry-run")))
    assert (result.outcome, result.holds) == ("insufficient", False)


def test_a_repeated_look_counts_once_and_looks_have_their_distance() -> None:
    settings = rules(gate())
    look = QueryLook(gate="revenue", at=10.0, canary=1.0, control=1.0)
    evidence = add_looks((), [look, look], run=1, rules=settings)
    assert evidence[0].looks == 1
    assert not due(evidence, "revenue", now=19.9, rules=settings)
    assert due(evidence, "revenue", now=20.0, rules=settings)
    assert due((), "revenue", now=0.0, rules=settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query": "up"}, "must contain $arm or $version"),
        ({"query": 'x{a="$arm",b="$tenant"}'}, "$tenant is no placeholder"),
        ({"margin": 0.0}, "must be above 0"),
        ({"margin": -1.0}, "must be above 0"),
        ({"margin": float("nan")}, "must be above 0"),
        ({"name": "errors"}, "other than"),
        ({"name": "Revenue per trip"}, "use a name of"),
        ({"direction": "up"}, "not one of lower, higher"),
        ({"missing": "ignore"}, "not one of hold, pass, fail"),
        ({"mode": "hard"}, "not one of critical, soft, dry-run"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        gate(**changes)
    assert words in str(raised.value)


def test_anchors_and_groups_of_promql_stay() -> None:
    query = 'label_replace(x{a=~"$arm.+$"}, "b", "$1", "c", "(.*)")'
    rendered = gate(query=query).rendered(arm="canary", model="m", version=7)
    assert rendered == 'label_replace(x{a=~"canary.+$"}, "b", "$1", "c", "(.*)")'


def test_two_gates_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        rules(gate(), gate())
