"""The rules of a rollout: their defaults and their validation."""

from __future__ import annotations

import pytest

from serving.rules import RolloutRules
from streaming.contracts.errors import ConfigurationError


def test_the_defaults_are_the_documented_ones() -> None:
    rules = RolloutRules()
    assert rules.steps == (1, 5, 10, 25, 50, 100)
    assert rules.weights == (1, 5, 10, 25, 50)
    assert (rules.hold_seconds, rules.bake_seconds, rules.deadline_seconds) == (60, 600, 7200)
    assert rules.approval == "before-canary"
    assert (rules.errors_pp, rules.latency_ms, rules.slow_gate) == (0.5, 200, "absolute")
    assert rules.startup_seconds == 5.0


def test_a_closing_100_is_optional() -> None:
    assert RolloutRules(steps=(5, 50)).weights == RolloutRules(steps=(5, 50, 100)).weights
    assert [RolloutRules(steps=(5, 50)).next_weight(step) for step in (0, 1)] == [50, 100]


@pytest.mark.parametrize(
    "invalid",
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
def test_rules_that_cannot_work_are_refused(invalid: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        RolloutRules(**invalid)  # type: ignore[arg-type]
