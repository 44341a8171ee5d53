"""The daemon and experiments: commands move users at once, metrics follow, a loss is made good."""

from __future__ import annotations

from typing import Literal

import pytest

from deploy.daemon.controller import ControllerState, ModelController
from deploy.daemon.log_history import read_history
from deploy.metrics.exporter import MetricsExporter
from retrain.policy import RetrainRules
from retrain.state import TriggerState
from serving.ports import ALL_STABLE
from streaming.contracts import topics
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command, ExperimentStatus
from tests.deploy.daemon.doubles import NoLabels, contract
from tests.serving.experiments.experiment_world import ExperimentSimulation, definition


def running() -> tuple[ModelController, ExperimentSimulation]:
    """A controller whose users meet the arms of an experiment."""
    simulation = ExperimentSimulation().begin().run(5)
    assert simulation.split.experiment is not None
    controller = ModelController(
        contract=contract("m"),
        retrain_rules=RetrainRules(initial=False),
        rollout_rules=simulation.rules,
        labels=NoLabels(),
        serving=simulation.serving.ports,
    )
    controller.state = ControllerState(trigger=TriggerState(model="m"), rollout=simulation.state)
    return controller, simulation


@pytest.mark.parametrize("router_was_observed", [True, False])
def test_a_stop_sends_all_users_to_the_champion_without_waiting_for_a_tick(
    router_was_observed: bool,
) -> None:
    controller, simulation = running()
    if router_was_observed:
        controller.observed = controller.observe(now=simulation.now)
    action: Literal["stop-experiment"] = "stop-experiment"
    command = Command(
        record_id="stop", model="m", at=simulation.now, action=action, reason="enough", who="ann"
    )
    (reply,) = controller.on_record(command, now=simulation.now)
    assert reply.accepted  # type: ignore[attr-defined]
    assert simulation.split == ALL_STABLE
    records = controller.tick(now=simulation.now + 1.0)
    (status,) = [record for record in records if isinstance(record, ExperimentStatus)]
    assert (status.phase, status.outcome) == ("ended", "stopped")
    assert controller.experiment == ("ended", None, False)


def test_the_phase_and_the_outcomes_are_metrics() -> None:
    controller, simulation = running()
    exporter = MetricsExporter()
    exporter.experiments.state("m", *controller.experiment)

    def value(name: str, **labels: str) -> float | None:
        return exporter.registry.get_sample_value(name, {"model": "m", **labels})

    assert value("driftline_experiment_phase", phase="running") == 1.0
    assert value("driftline_experiment_phase_ends_seconds") == definition().end
    simulation.means = {1: 0.4, 2: 0.9}
    simulation.until_ended()
    for record in (*simulation.looks, simulation.last, simulation.last):
        exporter.on_record(record, simulation.now)
    assert value("driftline_experiments_total", outcome="better") == 1.0
    low = value("driftline_experiment_effect", arm="1", bound="low")
    assert low is not None
    assert low > 0


def test_a_daemon_without_its_table_takes_the_experiment_over_from_the_log() -> None:
    _, simulation = running()
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append([*simulation.promotions, *simulation.experiment_statuses])
    fresh, _ = running()
    fresh.restore(None)
    for step in fresh.catch_up(read_history(log, "m"), now=simulation.now):
        fresh.adopt(step)
    assert fresh.experiment[0] == "running"
