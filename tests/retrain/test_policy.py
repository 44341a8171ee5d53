from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from retrain.policy import RetrainRules, Situation, back_off, decide
from streaming.contracts.records import Cause

RULES = RetrainRules(min_labelled_rows=100)
READY = Situation(rows=500, labels=400)
NOW = 1_000_000.0


def test_everything_in_favour_starts() -> None:
    decision = decide("drift", READY, RULES, now=NOW)
    assert (decision.outcome, decision.code) == ("start", "start")
    assert "400 labelled rows" in decision.reason


def test_a_second_trigger_merges_with_the_running_one_and_names_it() -> None:
    busy = replace(READY, running="r7", running_since=NOW - 30, running_where="Trainer started")
    causes: tuple[Cause, ...] = ("drift", "manual")
    for cause in causes:
        decision = decide(cause, busy, RULES, now=NOW)
        assert (decision.outcome, decision.result_id) == ("merged", "r7")
        assert "r7, running for 30 s (Trainer started)" in decision.reason


def test_a_rollout_holds_retrains_until_nobody_hears_of_it() -> None:
    rolling = replace(READY, rollout=4, rollout_heard=NOW - 100)
    assert decide("drift", rolling, RULES, now=NOW).outcome == "wait"
    assert decide("manual", rolling, RULES, now=NOW).outcome == "refused"
    later = NOW + RULES.rollout_seconds
    assert decide("drift", rolling, RULES, now=later).outcome == "start"


def test_the_budget_binds_people_too_and_says_when_it_frees() -> None:
    spent = replace(READY, starts=tuple(NOW - 1_000 * n for n in range(1, 5)))
    decision = decide("manual", spent, RULES, now=NOW)
    assert (decision.outcome, decision.code) == ("refused", "budget")
    assert "in 82400 s" in decision.reason
    assert decide("manual", spent, RULES, now=NOW + 82_400).outcome == "start"


def test_cool_down_holds_machines_not_people_nor_the_first_version() -> None:
    rested = replace(READY, rested_at=NOW - 100)
    assert decide("drift", rested, RULES, now=NOW).code == "cool-down"
    assert decide("schedule", rested, RULES, now=NOW).code == "cool-down"
    assert decide("manual", rested, RULES, now=NOW).code == "start"
    assert decide("initial", rested, RULES, now=NOW).code == "start"


def test_failures_back_off_twice_as_long_each_time_up_to_a_bound() -> None:
    failed = replace(READY, failures=2, failed_at=NOW)
    decision = decide("initial", failed, RULES, now=NOW + 1_199)
    assert (decision.outcome, decision.code) == ("wait", "back-off")
    assert decide("initial", failed, RULES, now=NOW + 1_200).outcome == "start"
    assert back_off(1_000, RULES) == RULES.max_back_off_seconds


def test_too_few_labels_wait_for_machines_and_refuse_people() -> None:
    poor = replace(READY, labels=3)
    assert decide("drift", poor, RULES, now=NOW).outcome == "wait"
    assert decide("manual", poor, RULES, now=NOW).outcome == "refused"
    assert "3 of 100 labelled rows" in decide("manual", poor, RULES, now=NOW).reason
    assert decide("initial", replace(READY, rows=0), RULES, now=NOW).code == "no-data"


def test_the_first_version_may_ask_for_more() -> None:
    rules = replace(RULES, min_initial_rows=1_000)
    assert decide("initial", READY, rules, now=NOW).code == "labels"
    assert decide("drift", READY, rules, now=NOW).code == "start"


situations = st.builds(
    Situation,
    running=st.sampled_from(["", "r"]),
    running_since=st.floats(0, 100),
    rollout=st.integers(0, 3),
    rollout_heard=st.floats(0, 1_000),
    starts=st.lists(st.floats(0, 1_000), max_size=6).map(tuple),
    failures=st.integers(0, 90),
    failed_at=st.floats(0, 1_000),
    rested_at=st.floats(0, 1_000),
    rows=st.integers(0, 300),
    labels=st.integers(0, 300),
)
causes = st.sampled_from(["drift", "manual", "schedule", "initial"])


@given(causes, situations, st.floats(0, 10_000))
def test_every_refusal_has_a_sentence_and_nothing_starts_twice(
    cause: Cause, situation: Situation, now: float
) -> None:
    decision = decide(cause, situation, RULES, now=now)
    assert decision.reason.endswith(".")
    assert (decision.code == "start") == (decision.outcome == "start")
    if decision.outcome == "start":
        assert not situation.running
        assert min(situation.rows, situation.labels) >= RULES.min_labelled_rows
    if cause == "manual":
        assert decision.outcome != "wait"
