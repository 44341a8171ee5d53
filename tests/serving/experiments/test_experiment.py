"""Whole experiments on in-memory engines: outcomes, guardrails, and rollouts beside them."""

from __future__ import annotations

import pytest

from serving.phase import Phase
from serving.ports import ALL_STABLE
from tests.serving.experiments.experiment_world import (
    ExperimentSimulation,
    arm,
    definition,
)
from tests.serving.rollout_simulation import version


def test_a_better_version_wins_and_is_not_live_by_that() -> None:
    simulation = ExperimentSimulation(means={1: 0.6, 2: 0.8}).begin().until_ended()
    last = simulation.last
    assert (last.outcome, last.winner, last.phase) == ("better", 2, "ended")
    assert "published again" in last.reason
    low = last.effects[0].low
    assert low is not None
    assert low > 0
    assert simulation.live == 1
    assert simulation.split == ALL_STABLE
    assert [status.phase for status in simulation.experiment_statuses][-2:] == ["running", "ended"]
    assert simulation.looks[-1].outcome == "better"


def test_harm_sends_all_users_to_the_champion_at_once() -> None:
    simulation = ExperimentSimulation(means={1: 0.8, 2: 0.5}).begin().until_ended()
    assert (simulation.last.outcome, simulation.last.winner) == ("worse", 0)
    assert simulation.now - (simulation.last.started_at or 0) < 120
    assert simulation.split == ALL_STABLE


def test_no_difference_that_matters_is_said_as_such() -> None:
    simulation = ExperimentSimulation(users_per_second=60.0).begin().until_ended()
    assert simulation.last.outcome == "no-difference"
    assert simulation.last.winner == 0


def test_too_few_users_end_as_insufficient_when_the_time_is_over() -> None:
    simulation = ExperimentSimulation(users_per_second=1.0)
    simulation.begin(definition(end=definition().begin + 300.0)).until_ended()
    assert simulation.last.outcome == "insufficient"
    phases = [status.phase for status in simulation.experiment_statuses]
    assert phases[-3:] == ["running", "settling", "ended"]
    settling = next(s for s in simulation.experiment_statuses if s.phase == "settling")
    assert simulation.last.stopped_at == settling.stopped_at
    assert simulation.now >= (settling.stopped_at or 0) + 15.0


def test_lost_users_are_an_error_and_never_a_winner() -> None:
    simulation = ExperimentSimulation(means={1: 0.6, 2: 0.75}, lost=0.5, users_per_second=40.0)
    simulation.begin(definition(min_users=2000)).until_ended()
    assert (simulation.last.outcome, simulation.last.winner) == ("error", 0)
    assert "users are lost" in simulation.last.reason
    assert simulation.split == ALL_STABLE


def test_users_that_do_not_meet_their_arm_are_an_error() -> None:
    simulation = ExperimentSimulation(crossed=0.9).begin().until_ended()
    assert simulation.last.outcome == "error"
    assert "must send the user's header" in simulation.last.reason


@pytest.mark.parametrize("fault", ["errors", "slow"])
def test_a_guardrail_takes_an_arm_out(fault: str) -> None:
    simulation = ExperimentSimulation(counting=False).begin()
    simulation.run(20)
    assert simulation.split.experiment is not None
    setattr(simulation.serving, fault, {2: 0.08})
    since = simulation.now
    simulation.until_ended(seconds=400)
    assert simulation.last.outcome == "worse"
    assert "is tolerated" in simulation.last.reason
    assert simulation.now - since < 300
    assert simulation.split == ALL_STABLE


def test_a_dead_arm_is_taken_out_within_seconds() -> None:
    simulation = ExperimentSimulation(counting=False).begin().run(20)
    simulation.serving.errors = {2: 1.0}
    since = simulation.now
    simulation.until(lambda running: running.state.experiment is None, 60)
    assert simulation.now - since <= 16


def test_of_three_arms_the_bad_one_goes_and_the_others_stay() -> None:
    arms = (arm("champion", 1, 3000), arm("v2", 2, 3000), arm("v3", 3, 3000))
    simulation = ExperimentSimulation(means={1: 0.7, 2: 0.4, 3: 0.76}, users_per_second=90.0)
    simulation.begin(definition(arms=arms, minimum_effect=0.02))
    simulation.until(lambda running: bool(running.last.dropped))
    split = simulation.tick().split.experiment
    assert split is not None
    assert [entry.arm for entry in split.arms] == ["stable", None, "control"]
    simulation.until_ended()
    assert (simulation.last.outcome, simulation.last.winner) == ("better", 3)


def test_prometheus_away_ends_the_experiment_as_error() -> None:
    simulation = ExperimentSimulation(users_per_second=0.5).begin().run(10)
    simulation.serving.metrics.down = True
    simulation.until_ended(400)
    assert simulation.last.outcome == "error"
    assert "guardrails are blind" in simulation.last.reason


def test_a_silent_label_service_ends_the_experiment_as_error() -> None:
    simulation = ExperimentSimulation(counting=False).begin().until_ended(1000)
    assert simulation.last.outcome == "error"
    assert "label service" in simulation.last.reason


def test_a_version_that_cannot_be_loaded_ends_it_before_any_user_meets_it() -> None:
    simulation = ExperimentSimulation()
    simulation.serving.servers.store.discard(2)
    simulation.begin().until_ended(300)
    assert simulation.last.outcome == "error"
    assert "version 2 on the canary server" in simulation.last.reason
    assert all(split.experiment is None for split in simulation.serving.router.history)


def test_an_experiment_waits_for_its_beginning() -> None:
    simulation = ExperimentSimulation().until_first()
    planned = definition(begin=simulation.now + 60.0, end=simulation.now + 900.0)
    assert simulation.order(planned).accepted
    simulation.run(50)
    waiting = simulation.last
    assert (waiting.phase, waiting.ends_at) == ("scheduled", planned.begin)
    simulation.run(20)
    assert simulation.last.phase == "running"
    assert (simulation.last.started_at or 0) >= planned.begin


def test_it_is_refused_during_a_rollout_and_a_new_version_waits_for_it() -> None:
    simulation = ExperimentSimulation().until_first()
    simulation.send(version(2)).run(2)
    refused = simulation.order(definition())
    assert not refused.accepted
    assert refused.reason.startswith("Conflict: version 2 is being rolled out")
    assert simulation.send_command("abort", 2).accepted
    simulation.until(lambda running: running.phase is Phase.IDLE)
    assert simulation.order(definition()).accepted
    simulation.run(10).send(version(3)).run(10)
    assert simulation.phase is Phase.IDLE
    assert simulation.state.queued_version is not None
    assert simulation.statuses[-1].waits_for == "the end of an experiment (version 3)"
    assert not simulation.send_command("retry", 2, force=True).accepted
    assert simulation.order(None, action="stop-experiment").accepted
    assert simulation.split == ALL_STABLE or simulation.tick().split == ALL_STABLE
    simulation.run(3)
    assert simulation.last.outcome == "stopped"
    assert simulation.phase is not Phase.IDLE


def test_a_winner_that_a_person_had_turned_down_can_be_rolled_out_without_force() -> None:
    simulation = ExperimentSimulation(means={1: 0.6, 2: 0.9}).until_first()
    simulation.send(version(2)).run(2)
    assert simulation.send_command("abort", 2).accepted
    simulation.until(lambda running: running.phase is Phase.IDLE)
    assert not simulation.send_command("retry", 2).accepted
    simulation.begin().until_ended()
    assert simulation.last.winner == 2
    assert "`driftline rollout retry m 2` makes it so" in simulation.last.reason
    assert simulation.send_command("retry", 2).accepted


def test_a_version_that_failed_its_rollout_meets_users_only_by_force() -> None:
    simulation = ExperimentSimulation().until_first()
    simulation.rules = simulation.rules.__class__(
        **{**{name: getattr(simulation.rules, name) for name in simulation.rules.__slots__},
           "approval": "never"}
    )  # fmt: skip
    simulation.serving.errors = {2: 0.5}
    simulation.send(version(2)).until(lambda running: 2 in running.state.rejected_versions)
    simulation.serving.errors = {}
    simulation.until(lambda running: running.phase is Phase.IDLE)
    refused = simulation.order(definition())
    assert "failed its rollout" in refused.reason
    assert simulation.order(definition(), force=True).accepted


def test_a_rollback_ends_the_experiment_at_once() -> None:
    simulation = ExperimentSimulation()
    simulation.rules = simulation.rules
    simulation.until_first()
    simulation.send(version(2)).until(lambda running: running.phase is Phase.AWAITING_APPROVAL)
    simulation.let_on("approve")
    simulation.until_live(2).until(lambda running: running.phase is Phase.IDLE)
    arms = (arm("champion", 2), arm("v3", 3))
    assert simulation.order(definition(arms=arms)).accepted
    simulation.run(10)
    assert simulation.split.experiment is not None
    assert simulation.send_command("rollback").accepted
    simulation.tick()
    assert simulation.split.experiment is None
    assert simulation.last.outcome == "stopped"
    simulation.until_live(1)


def test_envoy_or_its_loss_of_routes_is_repaired() -> None:
    simulation = ExperimentSimulation().begin().run(5)
    simulation.serving.router.split = ALL_STABLE
    simulation.run(2)
    assert simulation.split.experiment is not None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arms": (arm("champion", 3), arm("v2", 2))}, "version 1 is live"),
        ({"arms": (arm("champion", 1),)}, "2 to 3 arms"),
        ({"arms": (arm("champion", 1), arm("v2", 1))}, "named after"),
        ({"arms": (arm("champion", 1, 6000), arm("v2", 2, 6000))}, "at most 100 %"),
        ({"end": 5.0}, "end is over"),
        ({"end": 1e9}, "at most 28"),
        ({"alpha": 0.5}, "alpha"),
        ({"user_header": "Host Name"}, "header"),
    ],
)
def test_an_experiment_that_cannot_work_is_refused_with_the_reason(
    changes: dict[str, object], reason: str
) -> None:
    simulation = ExperimentSimulation().until_first()
    refused = simulation.order(definition(**changes))
    assert not refused.accepted
    assert reason in refused.reason


def test_a_text_with_the_id_of_another_is_refused() -> None:
    from msgspec.structs import replace

    simulation = ExperimentSimulation().until_first()
    forged = replace(definition(), alpha=0.2)
    assert "id is not that of its text" in simulation.order(forged).reason


def test_one_id_stands_for_one_text() -> None:
    simulation = ExperimentSimulation(means={1: 0.6, 2: 0.8}).begin().until_ended()
    by_id: dict[str, object] = {}
    for record in (*simulation.experiment_statuses, *simulation.looks):
        assert by_id.setdefault(record.record_id, record) == record


def test_a_clock_that_goes_back_does_not_prolong_an_experiment_without_a_limit() -> None:
    simulation = ExperimentSimulation(users_per_second=1.0)
    simulation.begin(definition(end=definition().begin + 120.0)).run(30)
    back = 100_000.0
    simulation.now -= back
    simulation.serving.started -= back
    taken = simulation.serving.metrics.taken
    taken[:] = [scrape for scrape in taken if scrape.at <= simulation.now]
    simulation.until_ended(1200)
    assert simulation.last.outcome in ("insufficient", "error")
    assert simulation.split == ALL_STABLE
