"""What the trigger does, told as the daemon would live it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from retrain.handlers import TriggerState, handle, tick
from retrain.policy import RetrainRules
from retrain.trigger import consider
from streaming.contracts.records import (
    AnyRecord,
    CommandReply,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RolloutStatus,
    SchemaAnomaly,
)
from tests.retrain.builders import (
    CONTRACT,
    MODEL,
    RULES,
    FakeLabels,
    model_version,
    promotion,
    retrain_command,
    verdict,
)


@dataclass
class Story:
    """A daemon with one model; what it published lies in `out`."""

    rules: RetrainRules = RULES
    labels: FakeLabels = field(default_factory=FakeLabels)
    state: TriggerState = field(default_factory=lambda: TriggerState(model=MODEL))
    now: float = 0.0
    out: list[Record] = field(default_factory=list)

    def hears(self, *records: AnyRecord) -> Story:
        for record in records:
            self.now = max(self.now, record.at)
            step = handle(
                self.state,
                record,
                rules=self.rules,
                contract=CONTRACT,
                labels=self.labels,
                now=self.now,
            )
            self._take(step.state, step.records)
        return self

    def waits(self, seconds: float) -> Story:
        self.now += seconds
        step = tick(
            self.state, rules=self.rules, contract=CONTRACT, labels=self.labels, now=self.now
        )
        self._take(step.state, step.records)
        return self

    def _take(self, state: TriggerState, records: Sequence[Record]) -> None:
        self.state = msgspec.json.decode(msgspec.json.encode(state), type=TriggerState)
        assert self.state == state
        self.out.extend(records)

    @property
    def requests(self) -> list[RetrainRequest]:
        return [record for record in self.out if isinstance(record, RetrainRequest)]

    @property
    def answers(self) -> list[CommandReply]:
        return [record for record in self.out if isinstance(record, CommandReply)]


def live() -> Story:
    """Version 1 is live and ten stable windows have been judged against it."""
    story = Story().hears(promotion(1, 1.0, change="initial"))
    return story.hears(*(verdict(n) for n in range(10))).waits(0.0)


def test_the_first_version_is_asked_for_once_there_are_enough_labels() -> None:
    story = Story(labels=FakeLabels(count=10))
    story.hears(*(verdict(n, "inconclusive", reference=0) for n in range(4)))
    assert not story.requests
    assert story.answers[-1].reason.startswith("Waiting: 10 of 100 labelled rows")
    story.labels.count = 150
    story.waits(1.0)
    (request,) = story.requests
    assert (request.cause, request.base_version) == ("initial", 0)
    assert (request.window_start, request.window_end) == (0.0, 40.0)
    assert request.after_shift == ()
    assert not story.waits(1.0).answers[1:]


def test_a_confirmed_shift_asks_for_one_retrain_on_rows_after_and_before_it() -> None:
    story = live().hears(*(verdict(n, "suspected") for n in (10, 11, 12)))
    assert not story.requests
    story.hears(verdict(13, "drifted"))
    (request,) = story.requests
    assert request.cause == "drift"
    assert request.caused_by == ("v10-1", "v11-1", "v12-1", "v13-1")
    assert [(r.start, r.stop) for r in request.after_shift] == [(550, 700)]
    assert (request.window_start, request.window_end) == (110.0, 140.0)
    assert sum(r.stop - r.start for r in request.events) == 150 + 64
    assert request.reason.startswith("Window 13 is drifted.")
    story.hears(verdict(14, "drifted"), verdict(15, "drifted"))
    assert len(story.requests) == 1
    (merged,) = [a for a in story.answers if a.result_id == request.record_id]
    assert not merged.accepted
    assert merged.to == "v14-1"


def test_the_window_a_shift_begins_in_is_neither_new_nor_part_of_the_next_reference() -> None:
    onset = verdict(10, "drifted", rows=500)
    story = live().hears(onset)
    alone = consider(story.state, rules=RULES, labels=story.labels, now=story.now)
    assert alone is not None
    assert (alone.decision.outcome, alone.selection.after_shift) == ("wait", ())
    assert story.labels.asked == 0
    assert not story.waits(1_000.0).requests
    assert [a.reason for a in story.answers] == [
        "Waiting: 0 of 100 labelled rows so far (0 rows, 0 labels)."
    ]
    story.hears(verdict(11, "drifted", rows=600))
    (request,) = story.requests
    assert request.caused_by == ("v10-1", "v11-1")
    (new,) = request.after_shift
    (mixed,) = onset.offsets
    assert (new.start, new.stop) == (6_600, 7_200)
    assert new.start >= mixed.stop
    assert (request.window_start, request.window_end) == (onset.window_end, 120.0)


def test_it_waits_for_labels_after_the_shift_and_says_so_once() -> None:
    story = live()
    story.labels.count = 5
    story.hears(verdict(10, "suspected"))
    story.hears(verdict(11, "drifted"), verdict(12, "drifted"), verdict(13, "drifted")).waits(1.0)
    assert not story.requests
    assert [a.reason for a in story.answers] == [
        "Waiting: 5 of 100 labelled rows so far (50 rows, 5 labels)."
    ]
    story.labels.count = 200
    assert len(story.waits(1.0).requests) == 1


def test_a_shift_that_goes_away_is_forgotten_with_a_word() -> None:
    story = live()
    story.labels.count = 5
    story.hears(verdict(10, "drifted"), verdict(11), verdict(12))
    story.labels.count = 500
    assert not story.waits(60.0).requests
    assert "the shift is over, no retrain" in story.answers[-1].reason


def test_a_replayed_verdict_changes_nothing() -> None:
    shifted = (verdict(10, "suspected"), verdict(11, "drifted"), verdict(12, "drifted"))
    story = live().hears(*shifted)
    assert len(story.requests) == 1
    before, count = story.state, len(story.out)
    story.hears(*(verdict(n) for n in range(10)), *shifted)
    assert story.state == before
    assert len(story.out) == count


def test_asked_twice_at_once_it_runs_once() -> None:
    story = live().hears(retrain_command("c1"), retrain_command("c2"), retrain_command("c1"))
    (request,) = story.requests
    first, second = story.answers
    assert (first.to, first.accepted, first.result_id) == ("c1", True, request.record_id)
    assert (second.to, second.accepted, second.result_id) == ("c2", False, request.record_id)
    assert second.reason.startswith(f"Merged with retrain {request.record_id}")
    assert request.reason.startswith("ana asked: tips look odd.")


def test_a_person_may_name_windows_and_learns_when_they_are_too_few() -> None:
    story = live().hears(retrain_command("c1", window=(0.0, 10.0)))
    assert not story.requests
    assert "50 of 100 labelled rows" in story.answers[-1].reason
    story.hears(retrain_command("c2", window=(0.0, 30.0)))
    assert (story.requests[0].window_start, story.requests[0].window_end) == (0.0, 30.0)


def test_a_waiting_shift_merges_with_the_retrain_that_a_person_starts() -> None:
    story = live()
    story.hears(verdict(10, "drifted"))
    story.hears(retrain_command("c1"))
    (request,) = story.requests
    assert request.cause == "manual"
    story.hears(verdict(11, "drifted"), verdict(12, "drifted"))
    assert len(story.requests) == 1
    assert story.answers[-1].result_id == request.record_id


def drifting() -> tuple[Story, RetrainRequest]:
    story = live().hears(verdict(10, "suspected"), verdict(11, "drifted"), verdict(12, "drifted"))
    return story, story.requests[0]


def test_no_retrain_while_its_version_is_rolled_out_and_none_against_the_old_reference() -> None:
    story, request = drifting()
    story.hears(model_version(2, request.record_id, at=200.0))
    story.hears(*(verdict(n, "drifted") for n in range(20, 40)))
    assert len(story.requests) == 1
    assert "Version 2 is being rolled out" in story.answers[-1].reason
    story.hears(promotion(2, 500.0, replaced=1))
    assert story.state.shift is None
    story.now += RULES.cooldown_seconds
    story.hears(*(verdict(n, "drifted", reference=1) for n in range(50, 53)))
    assert len(story.requests) == 1
    assert "reference of version 1, while version 2 is live" in story.answers[-1].reason
    story.hears(*(verdict(n, "drifted", reference=2) for n in range(60, 63)))
    assert len(story.requests) == 2
    assert story.requests[1].base_version == 2


def test_a_canary_that_was_given_up_backs_off_before_the_next_try() -> None:
    story, request = drifting()
    story.hears(model_version(2, request.record_id, at=200.0))
    story.hears(_status("stepping", 2, 210.0), _status("idle", 1, 220.0))
    story.hears(verdict(21, "drifted"))
    assert story.answers[-1].reason.startswith("Waiting: 1 retrain(s) gave no promotion")
    story.waits(RULES.cooldown_seconds + 400)
    assert len(story.requests) == 2
    assert story.requests[0].record_id != story.requests[1].record_id


def test_the_end_of_the_rollout_before_does_not_end_the_one_that_waits() -> None:
    story, request = drifting()
    story.hears(model_version(2, request.record_id, at=200.0), _status("idle", 1, 210.0))
    assert (story.state.rollout, story.state.failures) == (2, 0)
    story.hears(_status("preparing", 2, 220.0), _status("idle", 1, 230.0))
    assert (story.state.rollout, story.state.failures) == (0, 1)


def test_an_unblessed_version_is_a_failure_and_starts_no_rollout() -> None:
    story, request = drifting()
    story.hears(model_version(2, request.record_id, blessed=False, at=200.0))
    assert (story.state.rollout, story.state.failures) == (0, 1)
    story.waits(RULES.cooldown_seconds)
    assert len(story.requests) == 2


def test_a_failure_is_retried_later_and_the_back_off_grows() -> None:
    story, request = drifting()
    story.hears(_failure(request.record_id, 200.0))
    story.hears(_failure(request.record_id, 200.0))
    assert story.state.failures == 1
    story.waits(RULES.cooldown_seconds)
    assert len(story.requests) == 2
    story.hears(_failure(story.requests[1].record_id, story.now))
    assert story.state.failures == 2


def test_a_lost_worker_is_noticed_at_the_deadline() -> None:
    story, request = drifting()
    story.hears(_progress(request.record_id, 130.0))
    story.waits(RULES.deadline_seconds + 1)
    (lost,) = [a for a in story.answers if a.to == request.record_id]
    assert "the worker is lost (Trainer started, step 5 of 9, attempt 1 on w1)" in lost.reason
    story.waits(RULES.cooldown_seconds)
    assert len(story.requests) == 2


def test_a_broken_producer_is_mended_not_learnt() -> None:
    anomaly = SchemaAnomaly(feature="fare", code="FEATURE_TYPE_NOT_PRESENT", detail="")
    story = live().hears(verdict(10, "drifted", anomalies=(anomaly,)))
    story.hears(verdict(11, "drifted", dead=40), verdict(12, "drifted", dead=40))
    assert not story.requests
    assert "breaks the schema (FEATURE_TYPE_NOT_PRESENT in fare)" in story.answers[0].reason
    new_value = SchemaAnomaly(
        feature="company", code="ENUM_TYPE_UNEXPECTED_STRING_VALUES", detail=""
    )
    story.hears(verdict(13, "suspected", anomalies=(new_value,)))
    story.hears(*(verdict(n, "drifted", anomalies=(new_value,)) for n in (14, 15)))
    (request,) = story.requests
    assert {r.start for r in request.after_shift} == {700}


def test_the_schedule_asks_without_drift() -> None:
    story = live()
    story.rules = replace(RULES, schedule_seconds=1_000.0)
    story.waits(500.0)
    assert not story.requests
    story.waits(600.0)
    (request,) = story.requests
    assert (request.cause, request.after_shift) == ("schedule", ())


def test_the_budget_ends_a_run_of_failures() -> None:
    story, _ = drifting()
    for _ in range(20):
        if story.state.running is not None:
            story.hears(_failure(story.state.running.request_id, story.now))
        story.waits(200.0)
    assert len(story.requests) == RULES.budget_runs
    assert "The budget of 3 retrains" in story.answers[-1].reason


def test_labels_are_counted_only_when_nothing_else_stands_in_the_way() -> None:
    story, _ = drifting()
    asked = story.labels.asked
    story.waits(1.0).waits(1.0)
    assert story.labels.asked == asked


def test_a_rollback_goes_back_to_the_older_reference_and_backs_off() -> None:
    story, request = drifting()
    story.hears(model_version(2, request.record_id, at=200.0), promotion(2, 300.0, replaced=1))
    story.hears(promotion(1, 400.0, replaced=2, change="rolled-back"))
    assert (story.state.live, story.state.failures) == (1, 1)
    story.hears(model_version(2, request.record_id, at=200.0), promotion(2, 300.0, replaced=1))
    assert (story.state.live, story.state.rollout) == (1, 0)


def test_the_state_stays_small() -> None:
    story = live()
    for number in range(10, 800):
        story.hears(verdict(number, "drifted" if number % 3 else "suspected"))
    assert len(story.state.windows) <= RULES.max_windows
    assert len(msgspec.json.encode(story.state)) < 40_000
    replayed = verdict(20, "drifted")
    before = story.state
    assert story.hears(replayed).state == before


def _status(phase: str, version: int, at: float) -> RolloutStatus:
    return RolloutStatus(
        record_id=f"s{phase}{at}",
        model=MODEL,
        at=at,
        rollout_id="o",
        version=version,
        champion=1,
        phase=phase,
        weight=0,
        step=0,
        reason="",
    )


def _failure(request_id: str, at: float) -> RetrainFailure:
    return RetrainFailure(
        record_id=f"f-{request_id}",
        model=MODEL,
        at=at,
        request_id=request_id,
        component="Trainer",
        reason="",
        advice="",
    )


def _progress(request_id: str, at: float) -> RetrainProgress:
    return RetrainProgress(
        record_id="p",
        model=MODEL,
        at=at,
        request_id=request_id,
        attempt=1,
        worker="w1",
        component="Trainer",
        state="started",
        step=5,
        steps=9,
    )
