from __future__ import annotations

import math

import pytest

from retrain.label_counts import label_problem
from streaming.contracts.task import BINARY, Task

CLASSES = Task(kind="multiclass", classes=("a", "b"))
NUMBER = Task(kind="regression")


@pytest.mark.parametrize(
    ("labels", "task", "problem"),
    [
        ([True] * 99 + [False], BINARY, ""),
        ([True] * 100, BINARY, "all 100 labels are 1; two classes are needed"),
        (["a"] * 90 + ["z"] * 10, CLASSES, "all 90 labels are a; two classes are needed"),
        (["a", b"b"] * 30, CLASSES, ""),
        (["z"] * 80, CLASSES, "there are 0 labels and 80 that the task does not know"),
        ([2.5] * 70, NUMBER, "all 70 labels are 2.5; different numbers are needed"),
        ([math.nan, None, 1.0, 2.0], NUMBER, "there are 2 labels and 2 that the task"),
        ([], NUMBER, "there is no labelled row"),
    ],
)
def test_labels_that_cannot_be_learnt_from(labels: list[object], task: Task, problem: str) -> None:
    reason = label_problem(labels, task)
    assert reason.startswith(problem)
    assert bool(reason) == bool(problem)
