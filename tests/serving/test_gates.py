"""Gates and verdict: each rule once."""

from __future__ import annotations

import pytest

from serving.gates import graded, judge_gates, judge_startup
from serving.rules import RolloutRules
from serving.state import Block
from serving.verdict import judge
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import GateResult

RULES = RolloutRules()


def blocks(
    count: int,
    n: int,
    *,
    errors: tuple[int, int] = (0, 0),
    slow: tuple[int, int] = (0, 0),
    step: int = 0,
    run: int = 1,
) -> list[Block]:
    one = Block(run, step, n, n, errors[0], errors[1], n, n, slow[0], slow[1])
    return [one] * count


def gate(found: tuple[GateResult, ...], name: str) -> GateResult:
    return next(result for result in found if result.gate == name)


def outcomes(found: tuple[GateResult, ...]) -> dict[str, str]:
    return {result.gate: result.outcome for result in found}


def test_nothing_measured_passes_nothing() -> None:
    found = judge_gates([], run=1, step=0, rules=RULES)
    assert outcomes(found)["errors"] == "insufficient"
    assert outcomes(found)["latency_p99"] == "insufficient"
    assert judge(found, silent_seconds=0, stale_seconds=15).outcome == "insufficient"
    assert all(result.missing > 0 for result in found if result.gate in ("errors", "latency_p99"))


def test_the_first_step_passes_on_68_quiet_requests_per_arm() -> None:
    assert outcomes(judge_gates(blocks(1, 67), run=1, step=0, rules=RULES))["errors"] != "pass"
    found = judge_gates(blocks(1, 68), run=1, step=0, rules=RULES)
    assert set(outcomes(found).values()) == {"pass"}
    assert judge(found, silent_seconds=0, stale_seconds=15).outcome == "pass"


def test_only_requests_of_this_run_pass_it() -> None:
    found = judge_gates(blocks(10, 500, run=1), run=2, step=1, rules=RULES)
    assert outcomes(found)["errors"] == "insufficient"


def test_more_errors_than_tolerated_fail_and_the_reason_says_so() -> None:
    found = judge_gates(blocks(12, 200, errors=(8, 1)), run=1, step=0, rules=RULES)
    result = gate(found, "errors")
    assert result.outcome == "fail"
    assert "3.50 percentage points more errors" in result.reason
    assert judge(found, silent_seconds=99, stale_seconds=15).outcome == "fail"


def test_certain_but_tiny_harm_is_tolerated() -> None:
    found = judge_gates(blocks(60, 5000, errors=(12, 2)), run=1, step=0, rules=RULES)
    samples = {sample.name: sample.value for sample in gate(found, "errors").samples}
    assert samples["log_e_fail"] > 5
    assert gate(found, "errors").outcome != "fail"


def test_slow_answers_fail_against_the_control_but_not_alone() -> None:
    worse = judge_gates(blocks(12, 200, slow=(30, 0)), run=1, step=0, rules=RULES)
    assert gate(worse, "slow").outcome == "fail"
    both = judge_gates(blocks(12, 200, slow=(30, 30)), run=1, step=0, rules=RULES)
    assert gate(both, "slow").outcome == "pass"
    assert gate(both, "latency_p99").outcome == "insufficient"
    assert "champion breaks the limit too" in gate(both, "latency_p99").reason


def test_compare_mode_lets_a_slow_champion_have_an_equal_successor() -> None:
    rules = RolloutRules(slow_gate="compare")
    both = judge_gates(blocks(12, 2000, slow=(30, 30)), run=1, step=0, rules=rules)
    assert "latency_p99" not in outcomes(both)
    assert gate(both, "slow").outcome == "pass"


def test_unequal_traffic_is_an_error_not_a_verdict_on_the_canary() -> None:
    lame = [Block(1, 0, 100, 300, 0, 0, 100, 300, 0, 0)] * 5
    found = judge_gates(lame, run=1, step=0, rules=RULES)
    assert gate(found, "sample_ratio").outcome == "error"
    assert judge(found, silent_seconds=0, stale_seconds=15).outcome == "error"
    copied = [Block(1, -1, 100, 300, 0, 0, 100, 300, 0, 0)] * 5
    copies = judge_gates(copied, run=1, step=0, rules=RULES)
    assert gate(copies, "sample_ratio").outcome == "pass"


def test_silence_is_an_error_even_when_all_passed_before() -> None:
    found = judge_gates(blocks(1, 500), run=1, step=0, rules=RULES)
    assert judge(found, silent_seconds=15, stale_seconds=15).outcome == "error"


def test_margins_follow_the_next_weight_for_any_steps() -> None:
    weights = [1, 3, 5, 7, 10, 20, 33, 50, 75, 100]
    scales = [graded(weight) for weight in weights]
    assert scales == sorted(scales, reverse=True)
    assert scales[0] == 10
    assert scales[-1] == 1
    last = judge_gates(blocks(1, 500), run=1, step=1, rules=RolloutRules(steps=(20, 50, 100)))
    assert gate(last, "errors").limit == pytest.approx(0.005)
    assert gate(last, "latency_p99").limit == pytest.approx(0.01)


def test_startup_is_a_gate_of_its_own() -> None:
    assert judge_startup(4.9, rules=RULES).outcome == "pass"
    assert judge_startup(5.0, rules=RULES).outcome == "fail"


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": ()},
        {"steps": (10, 5)},
        {"steps": (5, 75)},
        {"steps": (0, 5)},
        {"latency_ms": 180},
        {"errors_pp": 0.0},
        {"approval": "sometimes"},
    ],
)
def test_rules_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        RolloutRules(**wrong)  # type: ignore[arg-type]
