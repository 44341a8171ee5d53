"""Each gate, and the verdict over all gates."""

from __future__ import annotations

import pytest

from serving.gates import judge_gates, judge_startup
from serving.margins import graded
from serving.rules import RolloutRules
from serving.state import Block
from serving.verdict import judge
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
    """Blocks whose stable arm has the control's shares and 20 times its requests."""
    stable = (20 * n, 20 * errors[1], 20 * n, 20 * slow[1])
    return [Block(run, step, n, n, *errors, n, n, *slow, *stable)] * count


def gate(results: tuple[GateResult, ...], name: str) -> GateResult:
    return next(result for result in results if result.gate == name)


def outcomes(results: tuple[GateResult, ...]) -> dict[str, str]:
    return {result.gate: result.outcome for result in results}


def test_no_gate_passes_without_measurements() -> None:
    results = judge_gates([], run=1, step=0, rules=RULES)
    assert outcomes(results)["errors"] == "insufficient"
    assert outcomes(results)["latency_p99"] == "insufficient"
    assert judge(results, silent_seconds=0, stale_seconds=15).outcome == "insufficient"
    assert all(result.missing > 0 for result in results if result.gate in ("errors", "latency_p99"))


def test_the_first_step_passes_on_68_requests_per_arm_without_an_error() -> None:
    assert outcomes(judge_gates(blocks(1, 67), run=1, step=0, rules=RULES))["errors"] != "pass"
    results = judge_gates(blocks(1, 68), run=1, step=0, rules=RULES)
    assert set(outcomes(results).values()) == {"pass"}
    assert judge(results, silent_seconds=0, stale_seconds=15).outcome == "pass"


def test_only_requests_of_the_current_run_count_towards_a_pass() -> None:
    results = judge_gates(blocks(10, 500, run=1), run=2, step=1, rules=RULES)
    assert outcomes(results)["errors"] == "insufficient"


def test_more_errors_than_tolerated_fail_with_the_excess_in_the_reason() -> None:
    results = judge_gates(blocks(12, 200, errors=(8, 1)), run=1, step=0, rules=RULES)
    result = gate(results, "errors")
    assert result.outcome == "fail"
    assert "3.50 percentage points more errors" in result.reason
    assert judge(results, silent_seconds=99, stale_seconds=15).outcome == "fail"


def test_certain_but_tiny_harm_is_tolerated() -> None:
    results = judge_gates(blocks(60, 5000, errors=(12, 2)), run=1, step=0, rules=RULES)
    samples = {sample.name: sample.value for sample in gate(results, "errors").samples}
    assert samples["log_e_fail"] > 5
    assert gate(results, "errors").outcome != "fail"


def test_slow_responses_fail_only_if_the_control_has_fewer() -> None:
    worse = judge_gates(blocks(12, 200, slow=(30, 0)), run=1, step=0, rules=RULES)
    assert gate(worse, "slow").outcome == "fail"
    both = judge_gates(blocks(12, 200, slow=(30, 30)), run=1, step=0, rules=RULES)
    assert gate(both, "slow").outcome == "pass"
    assert gate(both, "latency_p99").outcome == "insufficient"
    assert "champion exceeds the limit too" in gate(both, "latency_p99").reason


def test_compare_mode_passes_a_canary_that_is_as_slow_as_the_champion() -> None:
    rules = RolloutRules(slow_gate="compare")
    both = judge_gates(blocks(12, 2000, slow=(30, 30)), run=1, step=0, rules=rules)
    assert "latency_p99" not in outcomes(both)
    assert gate(both, "slow").outcome == "pass"


def test_unequal_traffic_is_an_error_not_a_verdict_on_the_canary() -> None:
    unequal = [Block(1, 0, 100, 300, 0, 0, 100, 300, 0, 0)] * 5
    results = judge_gates(unequal, run=1, step=0, rules=RULES)
    assert gate(results, "sample_ratio").outcome == "error"
    assert judge(results, silent_seconds=0, stale_seconds=15).outcome == "error"
    copied = [Block(1, -1, 100, 300, 0, 0, 100, 300, 0, 0)] * 5
    results_of_copies = judge_gates(copied, run=1, step=0, rules=RULES)
    assert gate(results_of_copies, "sample_ratio").outcome == "pass"


def test_missing_scrapes_are_an_error_although_every_gate_passed() -> None:
    results = judge_gates(blocks(1, 500), run=1, step=0, rules=RULES)
    assert judge(results, silent_seconds=15, stale_seconds=15).outcome == "error"


def test_margins_decrease_with_the_next_weight_for_any_steps() -> None:
    weights = [1, 3, 5, 7, 10, 20, 33, 50, 75, 100]
    scales = [graded(weight) for weight in weights]
    assert scales == sorted(scales, reverse=True)
    assert scales[0] == 10
    assert scales[-1] == 1
    last = judge_gates(blocks(1, 500), run=1, step=1, rules=RolloutRules(steps=(20, 50, 100)))
    assert gate(last, "errors").limit == pytest.approx(0.005)
    assert gate(last, "latency_p99").limit == pytest.approx(0.01)


def test_the_startup_gate_fails_from_its_limit_on() -> None:
    assert judge_startup(4.9, rules=RULES).outcome == "pass"
    assert judge_startup(5.0, rules=RULES).outcome == "fail"


def test_a_step_is_held_for_three_minutes_while_evidence_speaks_against_the_canary() -> None:
    """Two errors more among 2,000 requests prove nothing, and pass later."""
    suspicious = [*blocks(2, 100, errors=(2, 0)), *blocks(27, 20)]
    held = gate(judge_gates(suspicious, run=1, step=0, rules=RULES), "errors")
    assert held.outcome == "insufficient"
    assert "held for up to 3 min" in held.reason
    later = [*suspicious, *blocks(16, 1)]
    assert gate(judge_gates(later[:-1], run=1, step=0, rules=RULES), "errors") != held
    assert gate(judge_gates(later, run=1, step=0, rules=RULES), "errors").outcome == "pass"
