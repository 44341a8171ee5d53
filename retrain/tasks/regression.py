"""Regression: skill and the champion's loss that is saved decide; RMSE and MAE are reported. Pure.

Skill is 1 - loss / loss of the best constant: R² for the squared loss, and D² for Poisson deviance
and pinball loss (Hastie, Tibshirani and Wainwright, *Statistical Learning with Sparsity*, 2015,
section 3.2). It has no unit, so one floor serves prices, counts and seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special

from retrain.blessing import BlessingRules
from retrain.intervals import Floats
from retrain.tasks.bootstrap import Statistic, intervals
from retrain.tasks.strategy import Rows, compared, largest_distance, metric, usable_outputs
from streaming.contracts.records import Metric
from streaming.contracts.task import MEDIAN, Task

SMALLEST_MEAN = 1e-9
"""A predicted count of 0 would make the deviance infinite."""

LOWEST = {"poisson": 0.0}
"""Loss → smallest label; rows with a smaller one are left out."""


class Regression:
    """Label is a number, output ``predictions`` [rows, 1], or [rows, quantiles].

    ``loss_gain`` is the share of the champion's loss that the challenger saves: -0.05 is a loss
    larger by a twentieth.
    """

    output = "predictions"

    def __init__(self, task: Task) -> None:
        self._levels = np.asarray(task.quantiles)
        middle = task.quantiles.index(MEDIAN) if MEDIAN in task.quantiles else 0
        self._centre = middle
        kinds: dict[str, tuple[str, Callable[[Floats, Floats], Floats], Callable[[Floats], Floats]]]
        kinds = {
            "squared": ("", squared_error, _mean),
            "poisson": ("poisson_deviance", poisson_deviance, _mean),
            "quantile": ("pinball", self._pinball, self._quantiles),
        }
        self._name, self._loss, self._constant = kinds[task.loss]
        self._lowest = LOWEST.get(task.loss, -np.inf)
        own = (self._name,) if self._name else ()
        self.names = ("skill", "loss_gain", "rmse", "mae", *own, "score_distance")
        self.rules = BlessingRules(
            metric="skill",
            difference="loss_gain",
            floor=0.0,
            tolerance=0.05,
            slice_tolerance=0.05,
            smallest_gain=0.025,
        )

    def metrics(self, rows: Rows) -> list[Metric]:
        """Skill and saved loss with bootstrap intervals, RMSE, MAE, and the task's own loss."""
        known = np.isfinite(rows.labels) & (rows.labels >= self._lowest)
        labels, n = rows.labels[known], int(known.sum())
        outputs = usable_outputs(rows, known)
        if not outputs:
            return []
        losses = {model: self._loss(labels, values) for model, values in outputs.items()}
        constant = np.broadcast_to(self._constant(labels), outputs["challenger"].shape)
        losses["constant"] = self._loss(labels, constant)
        measured = self._judged(losses, rows, known)
        errors = {model: labels - values[:, self._centre] for model, values in outputs.items()}
        roots = {model: float(np.sqrt(np.mean(error**2))) for model, error in errors.items()}
        means = {model: float(np.mean(np.abs(error))) for model, error in errors.items()}
        measured += [compared("rmse", roots, n), compared("mae", means, n)]
        if self._name:
            own = {model: float(losses[model].mean()) for model in outputs}
            measured.append(compared(self._name, own, n))
        return [*measured, *largest_distance(outputs, n)]

    def _judged(
        self, losses: Mapping[str, Floats], rows: Rows, known: NDArray[np.bool_]
    ) -> list[Metric]:
        names = list(losses)
        own, constant = names.index("challenger"), names.index("constant")
        contributions = np.stack(list(losses.values()), axis=1)
        total = contributions.sum(axis=0, keepdims=True)
        statistics: dict[str, Statistic] = {"skill": lambda sums: saved(sums, own, constant)}
        champion = None
        if "champion" in losses:
            live = names.index("champion")
            statistics["loss_gain"] = lambda sums: saved(sums, own, live)
            champion = _finite_or_none(float(saved(total, live, constant)[0]))
        entities = None if rows.entities is None else rows.entities[known]
        by_name = intervals(contributions, statistics, entities=entities, seed=rows.seed)
        n, value = len(contributions), float(saved(total, own, constant)[0])
        # Labels that are all equal leave nothing to predict, so there is no skill.
        measured = [
            metric("skill", value, n, by_name.get("skill"), champion)
            if np.isfinite(value)
            else metric("skill", 0.0, n)
        ]
        if (gain := by_name.get("loss_gain")) is not None:
            measured.append(metric("loss_gain", gain.value, n, gain))
        return measured

    def aligned(self, outputs: Floats, classes: tuple[str, ...]) -> Floats:
        """The outputs themselves."""
        return outputs

    def difference(self, served: Floats, expected: Floats) -> float:
        """Largest difference as a share of the largest expected number."""
        scale = max(float(np.max(np.abs(expected))), float(np.finfo(np.float32).tiny))
        return float(np.max(np.abs(served - expected))) / scale

    def _pinball(self, labels: Floats, outputs: Floats) -> Floats:
        return pinball(labels, outputs, self._levels)

    def _quantiles(self, labels: Floats) -> Floats:
        return np.asarray(np.quantile(labels, self._levels), np.float64)


def squared_error(labels: Floats, outputs: Floats) -> Floats:
    """Squared error of each row."""
    error: Floats = (labels - outputs[:, 0]) ** 2
    return error


def poisson_deviance(labels: Floats, outputs: Floats) -> Floats:
    """Deviance of each row, 2 (y log(y / p) - y + p), which is 0 for p = y.

    >>> poisson_deviance(np.array([3.0]), np.array([[3.0]]))
    array([0.])
    """
    means = np.maximum(outputs[:, 0], SMALLEST_MEAN)
    deviance: Floats = 2.0 * (special.xlogy(labels, labels / means) - labels + means)
    return deviance


def pinball(labels: Floats, outputs: Floats, levels: Floats) -> Floats:
    """Mean pinball loss of each row over the quantile levels (Koenker and Bassett, 1978)."""
    short = labels[:, np.newaxis] - outputs
    loss: Floats = np.maximum(levels * short, (levels - 1.0) * short).mean(axis=1)
    return loss


def saved(sums: Floats, own: int, other: int) -> Floats:
    """1 - own loss / other loss; 0 where both are zero, and NaN where only the other is.

    >>> saved(np.array([[3.0, 4.0], [0.0, 0.0]]), 0, 1)
    array([0.25, 0.  ])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = 1.0 - sums[:, own] / sums[:, other]
    equal = (sums[:, own] == 0.0) & (sums[:, other] == 0.0)
    gain: Floats = np.where(equal, 0.0, np.where(np.isfinite(shares), shares, np.nan))
    return gain


def _mean(labels: Floats) -> Floats:
    return np.asarray([labels.mean()])


def _finite_or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
