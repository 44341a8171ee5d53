"""Multiclass classification: macro F1 decides; top-k accuracy and log loss are reported. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from retrain.blessing import BlessingRules
from retrain.intervals import Floats
from retrain.tasks.bootstrap import Statistic, intervals
from retrain.tasks.strategy import (
    SMALLEST_PROBABILITY,
    Rows,
    compared,
    largest_distance,
    metric,
    usable_outputs,
)
from streaming.contracts.records import Metric
from streaming.contracts.task import Task

TOP = 3
"""The k of top-k accuracy, where the task has more classes than that."""

Classes = NDArray[np.int64]


class Multiclass:
    """Label is the number of the class, output ``probabilities`` [rows, classes].

    Macro F1 is the mean of F1 over the classes that occur among the labels of a slice; there must
    be two. The floor lies a fifth of the way from guessing (1 / classes) to perfection, as that of
    the AUC does. A class that the champion does not know has the probability 0 there.
    """

    output = "probabilities"

    def __init__(self, task: Task) -> None:
        self._classes = task.classes
        self._top = f"top_{TOP}" if len(task.classes) > TOP else ""
        top = (self._top,) if self._top else ()
        self.names = ("macro_f1", "macro_f1_diff", "accuracy", *top, "log_loss", "score_distance")
        chance = 1.0 / max(len(task.classes), 1)
        self.rules = BlessingRules(metric="macro_f1", floor=chance + 0.2 * (1.0 - chance))

    def metrics(self, rows: Rows) -> list[Metric]:
        """Macro F1 and its paired difference with bootstrap intervals, and the other metrics."""
        known = np.isfinite(rows.labels)
        labels, n = rows.labels[known].astype(np.int64), int(known.sum())
        outputs = usable_outputs(rows, known)
        if not outputs:
            return []
        entities = None if rows.entities is None else rows.entities[known]
        measured = self._f1(labels, outputs, entities, rows.seed)
        ranks = {model: _ranks(labels, values) for model, values in outputs.items()}
        for name, k in (("accuracy", 1), (self._top, TOP)):
            if name:
                shares = {model: float(np.mean(rank < k)) for model, rank in ranks.items()}
                measured.append(compared(name, shares, n))
        losses = {model: _log_loss(labels, values) for model, values in outputs.items()}
        return [*measured, compared("log_loss", losses, n), *largest_distance(outputs, n)]

    def _f1(
        self,
        labels: Classes,
        outputs: Mapping[str, Floats],
        entities: NDArray[np.int64] | None,
        seed: int,
    ) -> list[Metric]:
        """Numbers of true, predicted and agreeing rows by class give the F1 of every resample."""
        unit = np.eye(len(self._classes))
        truth = unit[labels]
        parts = [truth]
        for values in outputs.values():
            predicted = unit[values.argmax(axis=1)]
            parts += [predicted, predicted * truth]
        contributions = np.concatenate(parts, axis=1)
        total = contributions.sum(axis=0, keepdims=True)
        statistics: dict[str, Statistic] = {"macro_f1": self._own}
        champion = None
        if "champion" in outputs:
            champion = float(self._live(total)[0])
            statistics["macro_f1_diff"] = lambda sums: self._own(sums) - self._live(sums)
        if len(np.unique(labels)) < 2:
            statistics = {}
        n = len(labels)
        by_name = intervals(contributions, statistics, entities=entities, seed=seed)
        value = float(self._own(total)[0])
        measured = [metric("macro_f1", value, n, by_name.get("macro_f1"), champion)]
        if (difference := by_name.get("macro_f1_diff")) is not None:
            measured.append(metric("macro_f1_diff", difference.value, n, difference))
        return measured

    def _own(self, sums: Floats) -> Floats:
        return self._of_model(sums, 0)

    def _live(self, sums: Floats) -> Floats:
        return self._of_model(sums, 1)

    def _of_model(self, sums: Floats, number: int) -> Floats:
        blocks = sums.reshape(len(sums), -1, len(self._classes))
        return macro_f1(blocks[:, 0], blocks[:, 1 + 2 * number], blocks[:, 2 + 2 * number])

    def aligned(self, outputs: Floats, classes: tuple[str, ...]) -> Floats:
        """The champion's columns in the order of this task's classes."""
        if classes == self._classes:
            return outputs
        columns = np.zeros((len(outputs), len(self._classes)))
        for number, name in enumerate(self._classes):
            if name in classes:
                columns[:, number] = outputs[:, classes.index(name)]
        return columns

    def difference(self, served: Floats, expected: Floats) -> float:
        """Largest absolute difference of probabilities."""
        return float(np.max(np.abs(served - expected)))


def macro_f1(true: Floats, predicted: Floats, agreeing: Floats) -> Floats:
    """Mean F1 over the classes that occur, from numbers of rows [draws, classes].

    >>> macro_f1(np.array([[2.0, 2.0, 0.0]]), np.array([[4.0, 0.0, 0.0]]), np.array([[2.0, 0, 0]]))
    array([0.33333333])
    """
    occurs = true > 0.0
    scores = np.where(occurs, 2.0 * agreeing / np.maximum(true + predicted, 1.0), 0.0)
    mean: Floats = scores.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
    return mean


def _ranks(labels: Classes, outputs: Floats) -> Classes:
    """Number of classes that are more probable than the true one; ties count against the model."""
    own = outputs[np.arange(len(labels)), labels][:, np.newaxis]
    ranks: Classes = (outputs >= own).sum(axis=1) - 1
    return ranks


def _log_loss(labels: Classes, outputs: Floats) -> float:
    own = outputs[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.clip(own, SMALLEST_PROBABILITY, 1.0))))
