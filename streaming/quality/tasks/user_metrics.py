"""What an experiment measures on a prediction once its label is known, by the task of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from typing import Any, Protocol

import numpy as np

from streaming.contracts.experiment_records import ExperimentMetric
from streaming.contracts.task import Kind, Task
from streaming.quality.tasks.regression import losses_of

UNIT = 10_000
"""Values of the metric are rounded to one in this."""
_CLIPPED = 1e-6

Held = tuple[float, ...]
"""What is kept of a prediction until its label arrives."""


class UserMetric(Protocol):
    """The metric of one experiment."""

    def held(self, prediction: Any) -> Held:
        """What is kept of a prediction, as `TaskQuality.prediction_of` gave it."""

    def value(self, held: Held, outcome: float) -> int:
        """The metric of a kept prediction and its label, in 1 / `UNIT`."""


def user_metric(task: Task, metric: ExperimentMetric, loss_scale: float) -> UserMetric:
    """The metric of an experiment on a model of this task."""
    return _METRICS[task.kind](task, metric, loss_scale)


def values_of(metric: ExperimentMetric, score: float) -> tuple[int, int]:
    """The metric of a score if its label is positive, and if it is negative, in 1 / UNIT.

    >>> values_of("brier", 0.8), values_of("accuracy", 0.8), values_of("positives", 0.8)
    ((400, 6400), (10000, 0), (10000, 0))
    """
    if metric == "brier":
        pair = ((1.0 - score) ** 2, score**2)
    elif metric == "log_loss":
        p = min(max(score, _CLIPPED), 1.0 - _CLIPPED)
        pair = (-log(p), -log(1.0 - p))
    elif metric == "accuracy":
        pair = (float(score >= 0.5), float(score < 0.5))
    else:
        pair = (1.0, 0.0)
    return round(pair[0] * UNIT), round(pair[1] * UNIT)


class _OfClasses:
    """Classes: the value for each label that there can be is kept."""

    def __init__(self, task: Task, metric: ExperimentMetric, loss_scale: float) -> None:
        del task, loss_scale
        self._metric = metric

    def held(self, prediction: Any) -> Held:
        """The metric for each class as the label."""
        probabilities = np.asarray(prediction, np.float64)
        if self._metric == "log_loss":
            values = -np.log(np.maximum(probabilities, _CLIPPED))
        elif self._metric == "brier":
            values = 1.0 - 2.0 * probabilities + float(probabilities @ probabilities)
        else:
            values = np.arange(len(probabilities)) == probabilities.argmax()
        return tuple(np.rint(values * UNIT).tolist())

    def value(self, held: Held, outcome: float) -> int:
        """That of the class that was true."""
        return int(held[int(outcome)])


class _OfScore(_OfClasses):
    """A probability of 1."""

    def held(self, prediction: Any) -> Held:
        """The metric for the label 0, and for the label 1."""
        return values_of(self._metric, float(prediction))[::-1]


class _OfNumbers:
    """Numbers: the bounded loss."""

    def __init__(self, task: Task, metric: ExperimentMetric, loss_scale: float) -> None:
        del metric
        self._losses, self._scale = losses_of(task), max(loss_scale, 1e-300)

    def held(self, prediction: Any) -> Held:
        """The numbers themselves."""
        return tuple(prediction)

    def value(self, held: Held, outcome: float) -> int:
        """Loss / (loss + scale)."""
        loss = float(self._losses(np.array([outcome]), np.array([held]))[0])
        return round(loss / (loss + self._scale) * UNIT) if loss < float("inf") else UNIT


_METRICS: Mapping[Kind, Callable[[Task, ExperimentMetric, float], UserMetric]] = {
    "binary": _OfScore,
    "multiclass": _OfClasses,
    "regression": _OfNumbers,
}
