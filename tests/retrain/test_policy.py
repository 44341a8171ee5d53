from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from retrain.policy import PolicyInput, RetrainRules, back_off, decide
from streaming.contracts.records import Cause

RULES = RetrainRules(min_labelled_rows=100)
READY = PolicyInput(rows=500, labels=400)
NOW = 1_000_000.0


def test_without_an_obstacle_a_retrain_starts() -> None:
    decision = decide("drift", READY, RULES, now=NOW)
    assert (decision.outcome, decision.code) == ("start", "start")
    assert "400 labelled rows" in decision.reason


def test_a_second_trigger_merges_with_the_running_one_and_names_it() -> None:
    busy = replace(READY, running="r7", running_since=NOW - 30, running_progress="Trainer started")
    causes: tuple[Cause, ...] = ("drift", "manual")
    for cause in causes:
        decision = decide(cause, busy, RULES, now=NOW)
        assert (decision.outcome, decision.result_id) == ("merged", "r7")
        assert "r7, running for 30 s (Trainer started)" in decision.reason


def test_a_rollout_blocks_retrains_until_its_records_stop() -> None:
    rolling = replace(READY, rollout=4, rollout_seen_at=NOW - 100)
    assert decide("drift", rolling, RULES, now=NOW).outcome == "wait"
    assert decide("manual", rolling, RULES, now=NOW).outcome == "refused"
    later = NOW + RULES.rollout_timeout_seconds
    assert decide("drift", rolling, RULES, now=later).outcome == "start"


def test_the_budget_limits_commands_too_and_names_the_time_left() -> None:
    used_up = replace(READY, starts=tuple(NOW - 1_000 * n for n in range(1, 5)))
    decision = decide("manual", used_up, RULES, now=NOW)
    assert (decision.outcome, decision.code) == ("refused", "budget")
    assert "in 82400 s" in decision.reason
    assert decide("manual", used_up, RULES, now=NOW + 82_400).outcome == "start"


def test_the_cool_down_delays_neither_commands_nor_the_first_version() -> None:
    ended = replace(READY, last_ended_at=NOW - 100)
    assert decide("drift", ended, RULES, now=NOW).code == "cool-down"
    assert decide("schedule", ended, RULES, now=NOW).code == "cool-down"
    assert decide("manual", ended, RULES, now=NOW).code == "start"
    assert decide("initial", ended, RULES, now=NOW).code == "start"


def test_failures_back_off_twice_as_long_each_time_up_to_a_bound() -> None:
    failed = replace(READY, failures=2, failed_at=NOW)
    decision = decide("initial", failed, RULES, now=NOW + 1_199)
    assert (decision.outcome, decision.code) == ("wait", "back-off")
    assert decide("initial", failed, RULES, now=NOW + 1_200).outcome == "start"
    assert back_off(1_000, RULES) == RULES.max_back_off_seconds


def test_too_few_labels_delay_automatic_retrains_and_refuse_commands() -> None:
    unlabelled = replace(READY, labels=3)
    assert decide("drift", unlabelled, RULES, now=NOW).outcome == "wait"
    assert decide("manual", unlabelled, RULES, now=NOW).outcome == "refused"
    assert "3 of 100 labelled rows" in decide("manual", unlabelled, RULES, now=NOW).reason
    assert decide("initial", replace(READY, rows=0), RULES, now=NOW).code == "no-data"


def test_the_first_version_may_need_more_rows() -> None:
    rules = replace(RULES, min_initial_rows=1_000)
    assert decide("initial", READY, rules, now=NOW).code == "labels"
    assert decide("drift", READY, rules, now=NOW).code == "start"


def test_the_debounce_delays_a_shift_until_it_has_lasted_long_enough() -> None:
    rules = replace(RULES, debounce_seconds=300.0)
    short, long = (replace(READY, shift_seconds=seconds) for seconds in (299.0, 300.0))
    decision = decide("drift", short, rules, now=NOW)
    assert (decision.outcome, decision.code) == ("wait", "debounce")
    assert "has lasted 299 s; a retrain starts once it has lasted 300 s" in decision.reason
    assert decide("drift", long, rules, now=NOW).outcome == "start"
    assert decide("manual", short, rules, now=NOW).outcome == "start"
    assert decide("schedule", READY, rules, now=NOW).outcome == "start"


def test_without_a_debounce_a_shift_of_any_length_starts() -> None:
    assert decide("drift", replace(READY, shift_seconds=0.0), RULES, now=NOW).outcome == "start"


facts_strategy = st.builds(
    PolicyInput,
    running=st.sampled_from(["", "r"]),
    running_since=st.floats(0, 100),
    rollout=st.integers(0, 3),
    rollout_seen_at=st.floats(0, 1_000),
    starts=st.lists(st.floats(0, 1_000), max_size=6).map(tuple),
    failures=st.integers(0, 90),
    failed_at=st.floats(0, 1_000),
    last_ended_at=st.floats(0, 1_000),
    shift_seconds=st.one_of(st.none(), st.floats(0, 100)),
    rows=st.integers(0, 300),
    labels=st.integers(0, 300),
)
causes = st.sampled_from(["drift", "manual", "schedule", "initial"])


@given(causes, facts_strategy, st.floats(0, 10_000))
def test_every_refusal_has_a_sentence_and_nothing_starts_twice(
    cause: Cause, facts: PolicyInput, now: float
) -> None:
    decision = decide(cause, facts, RULES, now=now)
    assert decision.reason.endswith(".")
    assert (decision.code == "start") == (decision.outcome == "start")
    if decision.outcome == "start":
        assert not facts.running
        assert min(facts.rows, facts.labels) >= RULES.min_labelled_rows
    if cause == "manual":
        assert decision.outcome != "wait"
