"""A change of meaning under still inputs asks for one retrain, and a moved input for no second."""

from __future__ import annotations

import pytest

from streaming.contracts.records import QualityVerdict, RolloutStatus
from tests.retrain.builders import MODEL, RULES, model_version, promotion, quality, verdict
from tests.retrain.test_trigger_stories import Story


def live(windows: int = 6) -> Story:
    """Version 1 is live, its inputs are stable, the cool-down is over."""
    story = Story().hears(promotion(1, 0.0))
    for number in range(windows):
        story.hears(verdict(number))
    return story.waits(RULES.cooldown_seconds)


def concept(number: int) -> QualityVerdict:
    return quality(number, "degraded", cause="concept")


def test_concept_drift_asks_for_one_retrain_on_rows_after_it() -> None:
    story = live().hears(concept(2))
    (request,) = story.requests
    assert request.cause == "concept"
    assert request.caused_by == ("q2-1-realised",)
    assert "degraded" in request.reason
    assert request.window_start == 20.0
    assert request.after_shift
    story.hears(concept(3), concept(4))
    assert len(story.requests) == 1
    assert any("Merged" in answer.reason for answer in story.answers)


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
def test_nothing_else_does(record: QualityVerdict) -> None:
    assert live().hears(record).requests == []


def test_it_waits_for_labels_like_any_other_cause() -> None:
    story = live()
    story.labels.count = 10
    story.hears(concept(2))
    assert story.requests == []
    assert "10 of 100 labelled rows" in story.answers[-1].reason
    story.labels.count = 5000
    assert [request.cause for request in story.waits(1.0).requests] == ["concept"]


def test_a_retrain_for_moved_inputs_serves_both() -> None:
    story = live()
    story.hears(verdict(6, "drifted"), concept(6), concept(7))
    assert story.requests == []  # the shift of the inputs comes first, and waits for its rows
    story.hears(*(verdict(number, "drifted") for number in (7, 8)))
    assert [request.cause for request in story.requests] == ["drift"]
    request = story.requests[0]
    story.hears(model_version(2, request.record_id, at=story.now))
    story.hears(concept(8), promotion(2, story.now + 1.0, replaced=1))
    story.waits(10 * RULES.cooldown_seconds)
    assert len(story.requests) == 1
    assert story.state.concept is None


def test_quality_that_comes_back_ends_it() -> None:
    story = live()
    story.labels.count = 0
    story.hears(concept(2), quality(3), quality(4))
    assert story.state.concept is None
    assert "quality is back" in story.answers[-1].reason
    story.labels.count = 5000
    assert story.waits(1.0).requests == []


def test_a_replayed_verdict_changes_nothing() -> None:
    story = live().hears(concept(2), quality(3))
    before = story.state
    story.hears(concept(2), quality(3), quality(1))
    assert story.state == before


def test_a_rollout_given_up_lets_concept_drift_ask_again_after_a_rest() -> None:
    story = live().hears(concept(2))
    story.hears(model_version(2, story.requests[0].record_id, at=story.now))
    idle = RolloutStatus(
        record_id="s", model=MODEL, at=story.now + 1.0, rollout_id="o", version=2, champion=1,
        phase="stepping", weight=5, step=0, reason="",
    )  # fmt: skip
    story.hears(idle)
    over = RolloutStatus(
        record_id="t", model=MODEL, at=story.now + 1.0, rollout_id="o", version=1, champion=1,
        phase="idle", weight=0, step=0, reason="",
    )  # fmt: skip
    story.hears(over).waits(1.0)
    assert len(story.requests) == 1
    story.waits(RULES.back_off_seconds + RULES.cooldown_seconds + 1.0)
    assert [request.cause for request in story.requests] == ["concept", "concept"]
