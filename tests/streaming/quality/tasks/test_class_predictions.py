"""Predictions of classes and numbers are read by their task, and refused with a reason."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streaming.contracts.events import Reason
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.task import Task
from streaming.quality.rows import read_labels, read_predictions
from streaming.quality.tasks import quality_of
from tests.streaming.quality.task_populations import POISSON, QUANTILE, SQUARED

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)
ABC = Task(kind="multiclass", classes=("a", "b", "c"))


def message(**fields: Any) -> Message:
    value = orjson.dumps({"id": "k", "at": 10.0, "version": 1} | fields)
    return Message(topic="t", partition=0, offset=0, key=None, value=value, time=50.0)


@pytest.mark.parametrize(
    ("task", "prediction"),
    [
        (ABC, [0.2, 0.5, 0.3]),
        (ABC, [0, 1, 0]),
        (ABC, [0.2, 0.5, 0.305]),
        (ABC, {"b": 0.7}),
        (ABC, {"a": 0.1, "b": 0.9}),
        (SQUARED, 12),
        (SQUARED, -3.5),
        (POISSON, 0.0),
        (QUANTILE, [1.0, 2.0, 3]),
    ],
)
def test_a_prediction_of_the_task_is_read(task: Task, prediction: Any) -> None:
    rows, rejected = read_predictions([message(prediction=prediction)], CONTRACT, task, now=20.0)
    assert not rejected
    (row,) = rows
    packed = row[3]
    assert row[:3] == ("k", 10.0, 1)
    width = 1 if isinstance(packed, int) else len(packed)
    assert width == quality_of(task).width


@pytest.mark.parametrize(
    ("task", "prediction", "reason", "words"),
    [
        (ABC, None, Reason.MISSING_FIELD, "missing"),
        (ABC, 0.5, Reason.WRONG_TYPE, "list of probabilities"),
        (ABC, "a", Reason.WRONG_TYPE, "list of probabilities"),
        (ABC, [0.5, 0.5], Reason.OUT_OF_RANGE, "3 classes"),
        (ABC, [0.5, 0.5, 0.5], Reason.OUT_OF_RANGE, "add up to 1.5"),
        (ABC, [1.5, -0.5, 0.0], Reason.OUT_OF_RANGE, "between 0 and 1"),
        (ABC, [0.5, 0.5, True], Reason.WRONG_TYPE, "probabilities"),
        (ABC, [0.5, 0.5, None], Reason.WRONG_TYPE, "probabilities"),
        (ABC, {"d": 1.0}, Reason.OUT_OF_RANGE, "names a class"),
        (ABC, {}, Reason.OUT_OF_RANGE, "names no class"),
        (ABC, {"a": 0.9, "b": 0.9}, Reason.OUT_OF_RANGE, "add up to 1.8"),
        (SQUARED, "12", Reason.WRONG_TYPE, "a number"),
        (SQUARED, True, Reason.WRONG_TYPE, "a number"),
        (SQUARED, [1.0], Reason.WRONG_TYPE, "a number"),
        (SQUARED, 1e300, Reason.OUT_OF_RANGE, "must lie between"),
        (POISSON, -0.5, Reason.OUT_OF_RANGE, "between 0 and"),
        (QUANTILE, 1.0, Reason.WRONG_TYPE, "a list of quantiles"),
        (QUANTILE, [1.0, 2.0], Reason.OUT_OF_RANGE, "3 quantiles"),
    ],
)
def test_a_prediction_of_another_kind_is_refused(
    task: Task, prediction: Any, reason: Reason, words: str
) -> None:
    bad = message(prediction=prediction)
    rows, (rejected,) = read_predictions([bad], CONTRACT, task, now=20.0)
    assert not rows
    assert (rejected.reason, rejected.field) == (reason.value, "prediction")
    assert words in rejected.detail


@pytest.mark.parametrize(
    ("task", "label", "outcome"),
    [
        (ABC, "b", 1.0),
        (ABC, "d", None),
        (ABC, 1, None),
        (ABC, True, None),
        (SQUARED, 3, 3.0),
        (SQUARED, -2.5, -2.5),
        (SQUARED, "3", None),
        (SQUARED, True, None),
        (SQUARED, 1e300, None),
        (POISSON, -1.0, None),
        (QUANTILE, 4.0, 4.0),
    ],
)
def test_a_label_is_one_of_the_task(task: Task, label: Any, outcome: float | None) -> None:
    rows, rejected = read_labels(
        [message(y=label)], CONTRACT, lambda fields: fields.get("y"), (), task
    )
    assert [row[1] for row in rows] == ([] if outcome is None else [outcome])
    assert [(entry.reason, entry.field) for entry in rejected] == (
        [] if rows else [(Reason.WRONG_TYPE.value, "y")]
    )
    words = "none of the task's classes" if task.classes else "is no number from"
    assert all(words in entry.detail for entry in rejected)
