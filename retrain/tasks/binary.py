"""Binary classification: AUC decides; log loss and Brier score are reported. Pure."""

from __future__ import annotations

import numpy as np

from retrain.blessing import BlessingRules
from retrain.intervals import Floats, auc, auc_difference
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

MIN_CLASS_ROWS = 10
"""Smallest number of rows of a class; the variance of fewer is not known."""


class Binary:
    """Label 0 or 1, output ``probabilities`` [rows, 1].

    A slice with a single class has no AUC: it is reported as 0.5 without an interval, which no rule
    accepts as a measurement. A class of fewer than `MIN_CLASS_ROWS` rows leaves an AUC without one.
    """

    output = "probabilities"
    names: tuple[str, ...] = ("auc", "auc_diff", "log_loss", "brier", "score_distance")
    rules = BlessingRules()

    def __init__(self, task: Task) -> None:
        """The binary tasks do not differ from each other."""

    def metrics(self, rows: Rows) -> list[Metric]:
        """AUC with DeLong's interval, its paired difference, log loss, Brier score, distance."""
        known = np.isfinite(rows.labels)
        truth, n = rows.labels[known] > 0.5, int(known.sum())
        outputs = usable_outputs(rows, known)
        if not outputs:
            return []
        scores = {model: values[:, 0] for model, values in outputs.items()}
        entities = None if rows.entities is None else rows.entities[known]
        areas = {name: auc(truth, values, entities) for name, values in scores.items()}
        own, live = areas["challenger"], areas.get("champion")
        enough = min(int(truth.sum()), n - int(truth.sum())) >= MIN_CLASS_ROWS
        interval = own if enough else None
        measured = [
            metric("auc", own.value if own else 0.5, n, interval, live.value if live else None),
        ]
        if "champion" in scores and enough:
            difference = auc_difference(truth, scores["challenger"], scores["champion"], entities)
            if difference is not None:
                measured.append(metric("auc_diff", difference.value, n, difference))
        losses = {name: _log_loss(truth, values) for name, values in scores.items()}
        briers = {name: float(np.mean((values - truth) ** 2)) for name, values in scores.items()}
        measured += [compared("log_loss", losses, n), compared("brier", briers, n)]
        return [*measured, *largest_distance(outputs, n)]

    def aligned(self, outputs: Floats, classes: tuple[str, ...]) -> Floats:
        """The outputs themselves: there is one column."""
        return outputs

    def difference(self, served: Floats, expected: Floats) -> float:
        """Largest absolute difference of probabilities."""
        return float(np.max(np.abs(served - expected)))


def _log_loss(truth: np.ndarray[tuple[int], np.dtype[np.bool_]], scores: Floats) -> float:
    inside = np.clip(scores, SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    return float(-np.mean(np.where(truth, np.log(inside), np.log1p(-inside))))
