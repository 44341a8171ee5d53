"""An experiment of a classifier with several classes, and of a regression, through the log.

The controller, the label service and the routes are those of `test_experiment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from serving.experiment_rules import ExperimentRules
from streaming.contracts.records import Metric
from streaming.contracts.task import Task
from tests.integration.test_experiment import Loop

RULES = ExperimentRules(minimum_effect=0.1, user_seconds=20.0, label_seconds=10.0, min_users=50)
CLASSES = Task(kind="multiclass", classes=("billing", "sales", "tech"))
NUMBERS = Task(kind="regression")


@dataclass
class TaskLoop(Loop):
    """Predictions of three classes, or of a number whose error is larger when it is not right."""

    def drawn(self, number: int) -> tuple[Any, Any]:
        right = self.rng.random() < self.accuracy[number]
        if self.task.kind == "regression":
            rented = self.rng.gauss(50.0, 10.0)
            return rented + self.rng.gauss(0.0, 1.0 if right else 6.0), rented
        label = self.rng.choice(self.task.classes)
        others = [name for name in self.task.classes if name != label]
        likely = label if right else self.rng.choice(others)
        return {name: 0.8 if name == likely else 0.1 for name in self.task.classes}, label


def loop(task: Task, accuracy: dict[int, float]) -> TaskLoop:
    measured = (Metric(name="rmse", slice="", value=4.0, n=2000),)
    return TaskLoop(accuracy, task=task, rules=RULES.for_task(task), evaluation=measured)


@pytest.mark.parametrize(
    ("task", "metric"), [(CLASSES, "log_loss"), (NUMBERS, "loss")], ids=["classes", "numbers"]
)
def test_a_better_version_is_found_by_the_metric_of_its_task(task: Task, metric: str) -> None:
    world = loop(task, {1: 0.5, 2: 0.9})
    world.start_experiment()
    last = world.until_ended()
    assert (last.outcome, last.winner) == ("better", 2), last.reason
    assert last.definition.metric == metric
    assert world.rollout.live == 1  # a winner is promoted by people, through a canary


@pytest.mark.parametrize("task", [CLASSES, NUMBERS], ids=["classes", "numbers"])
def test_equal_versions_are_not_told_apart(task: Task) -> None:
    world = loop(task, {1: 0.7, 2: 0.7})
    world.start_experiment(200.0)
    last = world.until_ended()
    assert last.outcome not in ("better", "worse", "error"), last.reason
    assert last.winner == 0
