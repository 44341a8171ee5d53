"""The protective check of the version that carries most of the traffic."""

from __future__ import annotations

from serving.live_watch import is_failing, watch_arm
from serving.ports import ArmCounters, Scrape
from serving.rules import EjectionRules
from serving.state import ArmWatch

RULES = EjectionRules()


def watched(errors: int, slow: int, *, control_slow: int = 0) -> ArmWatch:
    """Two seconds with 100 requests each of both arms."""
    scrapes = [
        Scrape(
            at=float(at),
            uptime_seconds=float(at),
            arms=(
                ArmCounters(
                    arm="stable",
                    requests=100 * at,
                    errors=errors * at,
                    timed=100 * at,
                    slow=slow * at,
                ),
                ArmCounters(
                    arm="control",
                    requests=100 * at,
                    errors=0,
                    timed=100 * at,
                    slow=control_slow * at,
                ),
            ),
        )
        for at in range(3)
    ]
    return watch_arm(ArmWatch(), scrapes, arm="stable", since=0.0, rules=RULES)


def test_half_of_the_requests_failed_or_slow_takes_the_version_back() -> None:
    assert is_failing(watched(50, 0), RULES)
    assert is_failing(watched(0, 50), RULES)
    assert not is_failing(watched(49, 0), RULES)


def test_errors_and_slow_requests_count_together() -> None:
    assert is_failing(watched(40, 40), RULES)
    assert not is_failing(watched(40, 39), RULES)


def test_a_slow_control_says_that_the_version_is_not_to_blame() -> None:
    assert not is_failing(watched(40, 40, control_slow=30), RULES)
    assert not is_failing(watched(0, 90, control_slow=90), RULES)
