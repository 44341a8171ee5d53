"""The trigger's behaviour over sequences of records, as the daemon handles them."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from retrain.trigger import find_candidate
from streaming.contracts.records import (
    DriftOutcome,
    RetrainFailure,
    RetrainProgress,
    RolloutStatus,
    SchemaAnomaly,
)
from tests.retrain.builders import (
    MODEL,
    RULES,
    FakeLabels,
    model_version,
    promotion,
    retrain_command,
    verdict,
)
from tests.retrain.trigger_driver import (
    TriggerDriver,
    live_driver,
    shifted_driver,
    shifted_verdicts,
)


def test_the_first_version_is_requested_once_there_are_enough_labels() -> None:
    driver = TriggerDriver(labels=FakeLabels(count=10))
    driver.receive(*(verdict(n, "inconclusive", reference=0) for n in range(4)))
    assert not driver.requests
    assert driver.replies[-1].reason.startswith("Waiting: 10 of 100 labelled rows")
    driver.labels.count = 150
    driver.wait(1.0)
    (request,) = driver.requests
    assert (request.cause, request.base_version) == ("initial", 0)
    assert (request.window_start, request.window_end) == (0.0, 40.0)
    assert request.after_shift == ()
    assert not driver.wait(1.0).replies[1:]


def test_a_confirmed_shift_starts_one_retrain_on_rows_after_and_before_it() -> None:
    driver = live_driver().receive(*(verdict(n, "suspected") for n in (10, 11, 12)))
    assert not driver.requests
    driver.receive(verdict(13, "drifted"))
    (request,) = driver.requests
    assert request.cause == "drift"
    assert request.caused_by == ("v10-1", "v11-1", "v12-1", "v13-1")
    assert [(r.start, r.stop) for r in request.after_shift] == [(550, 700)]
    assert (request.window_start, request.window_end) == (110.0, 140.0)
    assert sum(r.stop - r.start for r in request.events) == 150 + 64
    assert request.reason.startswith("Window 13 is drifted.")
    driver.receive(verdict(14, "drifted"), verdict(15, "drifted"))
    assert len(driver.requests) == 1
    (merged,) = [a for a in driver.replies if a.result_id == request.record_id]
    assert not merged.accepted
    assert merged.command_id == "v14-1"


def test_the_first_window_of_a_shift_is_neither_new_nor_part_of_the_next_reference() -> None:
    onset = verdict(10, "drifted", rows=500)
    driver = live_driver().receive(onset)
    candidate = find_candidate(driver.state, driver.context)
    assert candidate is not None
    assert (candidate.decision.outcome, candidate.selection.after_shift) == ("wait", ())
    assert driver.labels.counted == 0
    assert not driver.wait(1_000.0).requests
    assert [a.reason for a in driver.replies] == [
        "Waiting: 0 of 100 labelled rows so far (0 rows, 0 labels)."
    ]
    driver.receive(verdict(11, "drifted", rows=600))
    (request,) = driver.requests
    assert request.caused_by == ("v10-1", "v11-1")
    (new,) = request.after_shift
    (mixed,) = onset.offsets
    assert (new.start, new.stop) == (6_600, 7_200)
    assert new.start >= mixed.stop
    assert (request.window_start, request.window_end) == (onset.window_end, 120.0)


def test_a_shift_waits_for_labels_and_announces_it_once() -> None:
    driver = live_driver()
    driver.labels.count = 5
    driver.receive(verdict(10, "suspected"))
    driver.receive(verdict(11, "drifted"), verdict(12, "drifted"), verdict(13, "drifted")).wait(1.0)
    assert not driver.requests
    assert [a.reason for a in driver.replies] == [
        "Waiting: 5 of 100 labelled rows so far (50 rows, 5 labels)."
    ]
    driver.labels.count = 200
    assert len(driver.wait(1.0).requests) == 1


def test_a_shift_that_ends_is_announced_and_starts_no_retrain() -> None:
    driver = live_driver()
    driver.labels.count = 5
    driver.receive(verdict(10, "drifted"), verdict(11), verdict(12))
    driver.labels.count = 500
    assert not driver.wait(60.0).requests
    assert "the shift is over, no retrain" in driver.replies[-1].reason


def test_a_replayed_verdict_changes_nothing() -> None:
    driver = live_driver().receive(*shifted_verdicts())
    assert len(driver.requests) == 1
    before, count = driver.state, len(driver.published)
    driver.receive(*(verdict(n) for n in range(10)), *shifted_verdicts())
    assert driver.state == before
    assert len(driver.published) == count


def test_two_commands_at_once_start_one_retrain() -> None:
    driver = live_driver().receive(
        retrain_command("c1"), retrain_command("c2"), retrain_command("c1")
    )
    (request,) = driver.requests
    first, second = driver.replies
    assert (first.command_id, first.accepted, first.result_id) == ("c1", True, request.record_id)
    assert (second.command_id, second.accepted, second.result_id) == (
        "c2",
        False,
        request.record_id,
    )
    assert second.reason.startswith(f"Merged with retrain {request.record_id}")
    assert request.reason.startswith("Requested by ana: tips look odd.")
    assert request.proposed_by == "ana"


def test_a_command_may_name_windows_and_is_refused_when_they_are_too_few() -> None:
    driver = live_driver().receive(retrain_command("c1", window=(0.0, 10.0)))
    assert not driver.requests
    assert "50 of 100 labelled rows" in driver.replies[-1].reason
    driver.receive(retrain_command("c2", window=(0.0, 30.0)))
    assert (driver.requests[0].window_start, driver.requests[0].window_end) == (0.0, 30.0)


def test_what_no_person_asked_for_has_no_proposer() -> None:
    _, request = shifted_driver()
    assert request.proposed_by == ""


def test_a_waiting_shift_merges_with_a_retrain_started_by_command() -> None:
    driver = live_driver()
    driver.receive(verdict(10, "drifted"))
    driver.receive(retrain_command("c1"))
    (request,) = driver.requests
    assert request.cause == "manual"
    driver.receive(verdict(11, "drifted"), verdict(12, "drifted"))
    assert len(driver.requests) == 1
    assert driver.replies[-1].result_id == request.record_id


def test_no_retrain_while_its_version_is_rolled_out_and_none_against_the_old_reference() -> None:
    driver, request = shifted_driver()
    driver.receive(model_version(2, request.record_id, at=200.0))
    driver.receive(*(verdict(n, "drifted") for n in range(20, 40)))
    assert len(driver.requests) == 1
    assert "Version 2 is being rolled out" in driver.replies[-1].reason
    driver.receive(promotion(2, 500.0, replaced=1))
    assert driver.state.shift is None
    driver.now += RULES.cooldown_seconds
    driver.receive(*(verdict(n, "drifted", reference=1) for n in range(50, 53)))
    assert len(driver.requests) == 1
    assert "reference of version 1, while version 2 is live" in driver.replies[-1].reason
    driver.receive(*(verdict(n, "drifted", reference=2) for n in range(60, 63)))
    assert len(driver.requests) == 2
    assert driver.requests[1].base_version == 2


def test_an_abandoned_canary_backs_off_before_the_next_retrain() -> None:
    driver, request = shifted_driver()
    driver.receive(model_version(2, request.record_id, at=200.0))
    driver.receive(_status("stepping", 2, 210.0), _status("idle", 1, 220.0))
    driver.receive(verdict(21, "drifted"))
    assert driver.replies[-1].reason.startswith("Waiting: 1 retrain(s) gave no promotion")
    driver.wait(RULES.cooldown_seconds + 400)
    assert len(driver.requests) == 2
    assert driver.requests[0].record_id != driver.requests[1].record_id


def test_the_end_of_an_earlier_rollout_does_not_end_the_next_one() -> None:
    driver, request = shifted_driver()
    driver.receive(model_version(2, request.record_id, at=200.0), _status("idle", 1, 210.0))
    assert (driver.state.rollout, driver.state.failures) == (2, 0)
    driver.receive(_status("preparing", 2, 220.0), _status("idle", 1, 230.0))
    assert (driver.state.rollout, driver.state.failures) == (0, 1)


def test_an_unblessed_version_is_a_failure_and_starts_no_rollout() -> None:
    driver, request = shifted_driver()
    driver.receive(model_version(2, request.record_id, blessed=False, at=200.0))
    assert (driver.state.rollout, driver.state.failures) == (0, 1)
    driver.wait(RULES.cooldown_seconds)
    assert len(driver.requests) == 2


def test_a_failure_is_retried_after_the_cool_down_and_counted_once() -> None:
    driver, request = shifted_driver()
    driver.receive(_failure(request.record_id, 200.0))
    driver.receive(_failure(request.record_id, 200.0))
    assert driver.state.failures == 1
    driver.wait(RULES.cooldown_seconds)
    assert len(driver.requests) == 2
    driver.receive(_failure(driver.requests[1].record_id, driver.now))
    assert driver.state.failures == 2


def test_a_lost_worker_is_detected_at_the_deadline() -> None:
    driver, request = shifted_driver()
    driver.receive(_progress(request.record_id, 130.0))
    driver.wait(RULES.deadline_seconds + 1)
    (lost,) = [a for a in driver.replies if a.command_id == request.record_id]
    assert "the worker is lost (Trainer started, step 5 of 9, attempt 1 on w1)" in lost.reason
    driver.wait(RULES.cooldown_seconds)
    assert len(driver.requests) == 2


def test_broken_data_starts_no_retrain() -> None:
    anomaly = SchemaAnomaly(feature="fare", code="FEATURE_TYPE_NOT_PRESENT", detail="")
    driver = live_driver().receive(verdict(10, "drifted", anomalies=(anomaly,)))
    driver.receive(verdict(11, "drifted", dead=40), verdict(12, "drifted", dead=40))
    assert not driver.requests
    reason = driver.replies[0].reason
    assert "breaks the schema: FEATURE_TYPE_NOT_PRESENT in fare" in reason
    assert reason.endswith("The window is left out; no retrain starts because of it.")
    new_value = SchemaAnomaly(
        feature="company", code="ENUM_TYPE_UNEXPECTED_STRING_VALUES", detail=""
    )
    driver.receive(verdict(13, "suspected", anomalies=(new_value,)))
    driver.receive(*(verdict(n, "drifted", anomalies=(new_value,)) for n in (14, 15)))
    (request,) = driver.requests
    assert {r.start for r in request.after_shift} == {700}


@pytest.mark.parametrize(("dead", "late"), [(40, 0), (0, 40), (4, 4), (0, 1_200)])
@pytest.mark.parametrize("outcome", ["inconclusive", "drifted"])
def test_a_window_that_lost_many_of_its_rows_causes_no_retrain(
    outcome: DriftOutcome, dead: int, late: int
) -> None:
    driver = live_driver()
    driver.receive(*(verdict(n, outcome, dead=dead, late=late) for n in range(10, 20)))
    assert not driver.requests
    assert not any(window.usable for window in driver.state.windows if window.start >= 100)
    driver.receive(*(verdict(n, "drifted", dead=2, late=2) for n in range(20, 25)))
    assert len(driver.requests) == 1


def test_the_schedule_starts_a_retrain_without_drift() -> None:
    driver = live_driver()
    driver.rules = replace(RULES, schedule_seconds=1_000.0)
    driver.wait(500.0)
    assert not driver.requests
    driver.wait(600.0)
    (request,) = driver.requests
    assert (request.cause, request.after_shift) == ("schedule", ())


def test_the_budget_stops_a_series_of_failures() -> None:
    driver, _ = shifted_driver()
    for _ in range(20):
        if driver.state.running is not None:
            driver.receive(_failure(driver.state.running.request_id, driver.now))
        driver.wait(200.0)
    assert len(driver.requests) == RULES.budget_runs
    assert "The budget of 3 retrains" in driver.replies[-1].reason


def test_labels_are_counted_only_when_nothing_else_prevents_a_retrain() -> None:
    driver, _ = shifted_driver()
    before = driver.labels.counted
    driver.wait(1.0).wait(1.0)
    assert driver.labels.counted == before


def test_a_rollback_returns_to_the_older_version_and_counts_as_a_failure() -> None:
    driver, request = shifted_driver()
    driver.receive(model_version(2, request.record_id, at=200.0), promotion(2, 300.0, replaced=1))
    driver.receive(promotion(1, 400.0, replaced=2, change="rolled-back"))
    assert (driver.state.live, driver.state.failures) == (1, 1)
    driver.receive(model_version(2, request.record_id, at=200.0), promotion(2, 300.0, replaced=1))
    assert (driver.state.live, driver.state.rollout) == (1, 0)


def test_the_state_is_bounded() -> None:
    driver = live_driver()
    for number in range(10, 800):
        driver.receive(verdict(number, "drifted" if number % 3 else "suspected"))
    assert len(driver.state.windows) <= RULES.max_windows
    assert len(msgspec.json.encode(driver.state)) < 40_000
    replayed = verdict(20, "drifted")
    before = driver.state
    assert driver.receive(replayed).state == before


def test_a_debounced_shift_waits_until_it_has_lasted_long_enough() -> None:
    driver = live_driver()
    driver.rules = replace(RULES, debounce_seconds=40.0)
    driver.receive(*(verdict(n, "drifted") for n in (10, 11, 12, 13)))
    assert not driver.requests
    assert driver.replies[-1].reason == (
        "Waiting: The shift has lasted 0 s; a retrain starts once it has lasted 40 s."
    )
    assert not driver.wait(1_000.0).requests, "time without further alarms does not count"
    driver.receive(verdict(14, "suspected"))
    (request,) = driver.requests
    assert (request.cause, request.window_start) == ("drift", 110.0)


def test_a_debounced_shift_that_ends_in_time_starts_no_retrain() -> None:
    driver = live_driver()
    driver.rules = replace(RULES, debounce_seconds=40.0)
    driver.receive(*shifted_verdicts(), verdict(13), verdict(14))
    assert driver.state.shift is None
    assert not driver.wait(1_000.0).requests


def test_a_command_is_not_debounced() -> None:
    driver = live_driver()
    driver.rules = replace(RULES, debounce_seconds=1_000.0)
    driver.receive(*shifted_verdicts(), retrain_command("c1"))
    assert [request.cause for request in driver.requests] == ["manual"]


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


def test_a_reference_that_comes_later_starts_no_new_cool_down() -> None:
    driver = live_driver()
    before = driver.state
    driver.receive(promotion(before.live, before.promoted_at + 9.0, change="referenced"))
    after = driver.state
    assert (after.promoted_at, after.live) == (before.promoted_at + 9.0, before.live)
    assert after.promotion_id != before.promotion_id
    assert after.last_ended_at == before.last_ended_at
    assert (after.failures, after.concept) == (before.failures, before.concept)
