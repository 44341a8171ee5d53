"""Every contradiction in a task is named, and all of them at once."""

from __future__ import annotations

import msgspec
import pytest

from streaming.contracts.task import BINARY, Task, problems

USABLE = [
    BINARY,
    Task(kind="multiclass", classes=("billing", "fault", "other")),
    Task(kind="regression"),
    Task(kind="regression", loss="poisson"),
    Task(kind="regression", loss="quantile", quantiles=(0.1, 0.5, 0.9)),
]
CONTRADICTIONS = [
    (Task(kind="binary", classes=("no", "yes")), ["has no classes"]),
    (Task(kind="binary", loss="poisson"), ["is for regression"]),
    (Task(kind="binary", quantiles=(0.5,)), ["belong to a regression"]),
    (Task(kind="regression", classes=("a", "b")), ["has no classes"]),
    (Task(kind="regression", quantiles=(0.5,)), ["belong to a regression"]),
    (Task(kind="regression", loss="quantile"), ["needs quantiles"]),
    (Task(kind="regression", loss="quantile", quantiles=(0.1, 0.9)), ["contain the median"]),
    (
        Task(kind="regression", loss="quantile", quantiles=(0.9, 0.5, 0.5, 1.0)),
        ["between 0 and 1; wrong: 1", "increase"],
    ),
    (
        Task(kind="regression", loss="quantile", quantiles=(0.5, float("nan"))),
        ["between 0 and 1; wrong: nan"],
    ),
    (Task(kind="multiclass"), ["two or more classes; this one has 0"]),
    (Task(kind="multiclass", classes=("a", "a", "")), ["repeated: 'a'", "A class needs a name"]),
    (Task(kind="multiclass", classes=("a", "b"), loss="quantile"), ["is for regression"]),
]


@pytest.mark.parametrize("task", USABLE)
def test_a_usable_task_has_no_problems_and_survives_a_journey_as_json(task: Task) -> None:
    assert problems(task) == []
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task


@pytest.mark.parametrize(("task", "reasons"), CONTRADICTIONS)
def test_each_contradiction_is_named(task: Task, reasons: list[str]) -> None:
    named = problems(task)

    assert len(named) == len(reasons), named
    for reason, part in zip(named, reasons, strict=True):
        assert part in reason
