"""What a person may ask, and when it is refused."""

from __future__ import annotations

import pytest

from serving.engines.memory import MemoryWorld
from serving.rules import RolloutRules
from tests.serving.serving_builders import Story, version

BEFORE_CANARY = RolloutRules(
    steps=(5, 50), hold_seconds=10.0, bake_seconds=20.0, approval="before-canary"
)
BEFORE_PROMOTION = RolloutRules(
    steps=(5, 50), hold_seconds=10.0, bake_seconds=20.0, approval="before-promotion"
)


def test_no_client_meets_the_canary_before_the_approval() -> None:
    story = Story(rules=BEFORE_CANARY).canarying().run(30)
    assert story.phase == "awaiting-approval"
    assert story.canary == 0
    assert story.statuses[-1].waits_for == "approval before canary"
    assert story.ask("approve", 2, "digest-2").accepted
    story.until(lambda story: story.live == 2)
    assert any(cause.startswith("command-") for cause in story.promotions[-1].caused_by)


@pytest.mark.parametrize(
    ("number", "digest", "why"),
    [(2, "digest-1", "changed"), (3, "digest-2", "version 2"), (2, "", "needs the digest")],
)
def test_a_stale_approval_is_refused(number: int, digest: str, why: str) -> None:
    story = Story(rules=BEFORE_CANARY).canarying()
    answer = story.ask("approve", number, digest)
    assert not answer.accepted
    assert answer.reason.startswith("Conflict:")
    assert why in answer.reason
    assert story.phase == "awaiting-approval"


def test_a_rejected_version_is_not_tried_again() -> None:
    story = Story(rules=BEFORE_CANARY).canarying()
    assert story.ask("reject", 2, "digest-2").accepted
    story.run(4).send(version(2)).run(3)
    assert story.phase == "idle"
    assert story.live == 1


def test_a_newer_version_takes_the_place_of_one_that_nobody_approved() -> None:
    story = Story(rules=BEFORE_CANARY).canarying().send(version(3)).run(4)
    assert story.state.rollout is not None
    assert story.state.rollout.candidate.version == 3
    assert not story.ask("approve", 2, "digest-2").accepted


def test_the_watch_works_while_a_person_is_asked() -> None:
    story = Story(rules=BEFORE_PROMOTION).canarying()
    story.until(lambda story: story.phase == "awaiting-approval")
    assert story.canary == 50
    story.world.slow = {2: 1.0}
    story.until(lambda story: story.canary == 0, 10)
    story.until(lambda story: story.phase == "idle")
    assert story.live == 1
    assert story.verdicts[-1].outcome == "fail"


def test_waiting_for_a_person_does_not_use_up_the_deadline() -> None:
    rules = RolloutRules(
        steps=(50,), hold_seconds=5.0, deadline_seconds=60.0, approval="before-promotion"
    )
    story = Story(rules=rules).canarying().until(lambda story: story.phase == "awaiting-approval")
    story.run(120)
    assert story.ask("approve", 2, "digest-2").accepted
    story.until(lambda story: story.live == 2)


def test_pause_holds_the_weight_and_still_judges() -> None:
    story = Story().canarying()
    assert story.ask("pause").accepted
    story.run(120)
    assert (story.phase, story.canary) == ("paused", 5)
    assert story.ask("resume").accepted
    story.until(lambda story: story.live == 2)


def test_a_paused_canary_that_turns_bad_is_rolled_back() -> None:
    story = Story(MemoryWorld(rate=400)).canarying()
    story.ask("pause")
    story.world.errors = {2: 0.3}
    story.until(lambda story: story.phase == "idle", 200)
    assert story.live == 1


def test_abort_sends_everybody_back_at_once() -> None:
    story = Story().canarying().run(5)
    assert story.ask("abort").accepted
    story.tick()
    assert story.canary == 0
    story.until(lambda story: story.phase == "idle", 5)
    assert [promotion.change for promotion in story.promotions] == ["initial"]


def test_promote_skips_the_gates_and_says_who_wanted_it() -> None:
    story = Story().canarying().run(2)
    assert story.ask("promote").accepted
    story.until(lambda story: story.live == 2, 10)
    assert "ann promoted it" in story.promotions[-1].reason


def test_rollback_after_the_bake_goes_to_the_version_before() -> None:
    story = (
        Story()
        .canarying()
        .until(lambda story: story.live == 2)
        .until(lambda story: story.phase == "idle")
    )
    assert story.ask("rollback").accepted
    story.until(lambda story: story.phase == "idle", 10)
    assert (story.live, story.promotions[-1].change) == (1, "rolled-back")
    assert not story.ask("rollback").accepted


@pytest.mark.parametrize("action", ["approve", "reject", "pause", "resume", "promote", "abort"])
def test_nothing_can_be_done_to_no_rollout(action: str) -> None:
    answer = Story().ask(action)  # type: ignore[arg-type]
    assert not answer.accepted
    assert "Nothing is being rolled out" in answer.reason


def test_retrain_is_somebody_elses_command() -> None:
    from streaming.contracts.records import Command

    story = Story()
    story.send(Command(record_id="c", model="m", at=0.0, action="retrain", reason="", who="ann"))
    assert story.records == []
