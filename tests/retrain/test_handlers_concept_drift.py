"""Concept drift under stable inputs starts one retrain; drifted inputs start no second one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streaming.contracts.records import QualityVerdict, RolloutStatus
from tests.retrain.builders import MODEL, RULES, model_version, promotion, quality, verdict
from tests.retrain.trigger_driver import TriggerDriver


def live_driver(windows: int = 6) -> TriggerDriver:
    """Version 1 is live, its inputs are stable and the cool-down is over."""
    driver = TriggerDriver().receive(promotion(1, 0.0))
    for number in range(windows):
        driver.receive(verdict(number))
    return driver.wait(RULES.cooldown_seconds)


def degraded(number: int) -> QualityVerdict:
    return quality(number, "degraded", cause="concept")


def test_concept_drift_starts_one_retrain_on_rows_after_it() -> None:
    driver = live_driver().receive(degraded(2))
    (request,) = driver.requests
    assert request.cause == "concept"
    assert request.caused_by == ("q2-1-realised",)
    assert "degraded" in request.reason
    assert request.window_start == 20.0
    assert request.after_shift
    driver.receive(degraded(3), degraded(4))
    assert len(driver.requests) == 1
    assert any("Merged" in reply.reason for reply in driver.replies)


@pytest.mark.parametrize(
    "record",
    [
        quality(2, "degraded", cause="inputs"),
        quality(2, "degraded", cause="unknown"),
        quality(2, "suspected"),
        quality(2, "inconclusive"),
        quality(2, "degraded", cause="concept", version=2),
        quality(2, "degraded", cause="concept", live=False),
        quality(2, "degraded", cause="concept", stage="estimated"),
    ],
)
def test_other_quality_verdicts_start_no_retrain(record: QualityVerdict) -> None:
    assert live_driver().receive(record).requests == []


def test_concept_drift_waits_for_labels() -> None:
    driver = live_driver()
    driver.labels.count = 10
    driver.receive(degraded(2))
    assert driver.requests == []
    assert "10 of 100 labelled rows" in driver.replies[-1].reason
    driver.labels.count = 5000
    assert [request.cause for request in driver.wait(1.0).requests] == ["concept"]


def test_a_retrain_for_drifted_inputs_also_ends_concept_drift() -> None:
    driver = live_driver()
    driver.receive(verdict(6, "drifted"), degraded(6), degraded(7))
    assert driver.requests == []  # the shift of the inputs comes first and waits for its rows
    driver.receive(*(verdict(number, "drifted") for number in (7, 8)))
    assert [request.cause for request in driver.requests] == ["drift"]
    request = driver.requests[0]
    driver.receive(model_version(2, request.record_id, at=driver.now))
    driver.receive(degraded(8), promotion(2, driver.now + 1.0, replaced=1))
    driver.wait(10 * RULES.cooldown_seconds)
    assert len(driver.requests) == 1
    assert driver.state.concept is None


def test_concept_drift_ends_when_quality_recovers() -> None:
    driver = live_driver()
    driver.labels.count = 0
    driver.receive(degraded(2), quality(3), quality(4))
    assert driver.state.concept is None
    assert "quality is back" in driver.replies[-1].reason
    driver.labels.count = 5000
    assert driver.wait(1.0).requests == []


def test_a_replayed_verdict_changes_nothing() -> None:
    driver = live_driver().receive(degraded(2), quality(3))
    before = driver.state
    driver.receive(degraded(2), quality(3), quality(1))
    assert driver.state == before


def test_after_an_abandoned_rollout_concept_drift_retrains_again_after_the_back_off() -> None:
    driver = live_driver().receive(degraded(2))
    driver.receive(model_version(2, driver.requests[0].record_id, at=driver.now))
    stepping = RolloutStatus(
        record_id="s", model=MODEL, at=driver.now + 1.0, rollout_id="o", version=2, champion=1,
        phase="stepping", weight=5, step=0, reason="",
    )  # fmt: skip
    driver.receive(stepping)
    idle = RolloutStatus(
        record_id="t", model=MODEL, at=driver.now + 1.0, rollout_id="o", version=1, champion=1,
        phase="idle", weight=0, step=0, reason="",
    )  # fmt: skip
    driver.receive(idle).wait(1.0)
    assert len(driver.requests) == 1
    driver.wait(RULES.back_off_seconds + RULES.cooldown_seconds + 1.0)
    assert [request.cause for request in driver.requests] == ["concept", "concept"]


def test_concept_drift_is_debounced_like_a_shift_of_the_inputs() -> None:
    driver = live_driver()
    driver.rules = replace(RULES, debounce_seconds=15.0)
    driver.receive(degraded(2))
    assert driver.requests == []
    assert "The shift has lasted 10 s" in driver.replies[-1].reason
    driver.receive(degraded(3))
    assert [request.cause for request in driver.requests] == ["concept"]
