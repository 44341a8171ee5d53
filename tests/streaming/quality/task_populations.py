"""Populations of predictions and labels for each task, whose relation can be changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from streaming.contracts.task import BINARY, Task
from streaming.quality.counts import Counts, score_buckets
from streaming.quality.tasks import quality_of
from streaming.quality.tasks.probabilities import pack

Numbers = NDArray[np.float64]
CLASSES = ("bug", "question", "billing", "access", "other")
MULTICLASS = Task(kind="multiclass", classes=CLASSES)
SQUARED = Task(kind="regression")
POISSON = Task(kind="regression", loss="poisson")
QUANTILE = Task(kind="regression", loss="quantile", quantiles=(0.1, 0.5, 0.9))
Errors = Literal["normal", "log-normal", "counts"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """How labels depart from what the predictions say; the default is not at all."""

    slope: float = 1.0
    """Classes: part of the logits' information that is left."""
    shift: float = 0.0
    """Numbers: the level of the labels rises by this share."""
    spread: float = 1.0
    """Numbers: factor on the errors."""
    tail: float = 0.0
    """Numbers: share of the labels whose errors are five times as large."""


NO_CHANGE = Change()


@dataclass(frozen=True, kw_only=True)
class Population:
    """Predictions of a good model, and labels."""

    task: Task = BINARY
    errors: Errors = "normal"
    sigma: float = 1.0
    """Spread of the labels around the prediction, on their own scale."""

    def draw(
        self, rng: np.random.Generator, rows: int, change: Change = NO_CHANGE
    ) -> tuple[Numbers, Numbers]:
        """Predictions, [rows, columns], and outcomes as numbers, [rows]."""
        predictions, outcomes = self._draws()[self.task.kind](rng, rows, change)
        return np.ascontiguousarray(predictions, np.float64), np.asarray(outcomes, np.float64)

    def window(
        self,
        rng: np.random.Generator,
        rows: int,
        change: Change = NO_CHANGE,
        *,
        labelled: float = 1.0,
    ) -> Counts:
        """The counts of a window; a share of the predictions has a label."""
        predictions, outcomes = self.draw(rng, rows, change)
        outcomes[rng.random(rows) >= labelled] = -np.inf
        packed = _PACKED[self.task.kind](predictions)
        return quality_of(self.task).count(packed, outcomes)

    def messages(self, predictions: Numbers) -> list[Any]:
        """The `prediction` of each message."""
        if predictions.shape[1] > 1:
            return list(predictions.tolist())
        return [float(number) for number in predictions[:, 0]]

    def labels(self, outcomes: Numbers) -> list[Any]:
        """The outcomes as a model's `outcome` gives them."""
        if self.task.classes:
            return [self.task.classes[int(number)] for number in outcomes]
        return [float(number) for number in outcomes]

    def _draws(self) -> dict[str, Any]:
        return {"binary": _binary, "multiclass": _classes, "regression": self._numbers}

    def _numbers(
        self, rng: np.random.Generator, rows: int, change: Change
    ) -> tuple[Numbers, Numbers]:
        level = np.exp(rng.normal(1.0, 0.5, rows))
        base = self.sigma * change.spread
        spread = base * np.where(rng.random(rows) < change.tail, 5.0, 1.0)
        moved = level * (1.0 + change.shift)
        if self.errors == "counts":  # negative binomial: variance = mean + spread² · mean²
            shape = 1.0 / np.maximum(spread, 1e-3) ** 2
            labels = rng.poisson(moved * rng.gamma(shape, 1.0 / shape, rows)).astype(float)
        elif self.errors == "log-normal":
            labels = moved * np.exp(spread * rng.normal(size=rows) - self.sigma**2 / 2.0)
        else:
            labels = moved + spread * rng.normal(size=rows)
        return self._columns(level), labels

    def _columns(self, level: Numbers) -> Numbers:
        """The predicted mean, or the predicted quantiles of normal errors."""
        if not self.task.quantiles:
            return level[:, None]
        return level[:, None] + self.sigma * special.ndtri(np.array(self.task.quantiles))


def _binary(rng: np.random.Generator, rows: int, change: Change) -> tuple[Numbers, Numbers]:
    logits = rng.normal(-1.5, 1.4, rows)
    chance = special.expit(change.slope * (logits + 1.5) - 1.5)
    return special.expit(logits)[:, None], (rng.random(rows) < chance).astype(np.float64)


@dataclass(frozen=True)
class _Classes:
    """Logits of the classes: unequal shares, the rarest about 4 %."""

    centres: tuple[float, ...] = field(default=(1.0, 0.5, 0.0, -0.5, -1.0))
    spread: float = 1.6


def _classes(rng: np.random.Generator, rows: int, change: Change) -> tuple[Numbers, Numbers]:
    settings = _Classes()
    centres = np.array(settings.centres)
    logits = centres + settings.spread * rng.normal(size=(rows, len(CLASSES)))
    true = special.softmax(change.slope * (logits - centres) + centres, axis=1)
    numbers = (np.cumsum(true, axis=1) < rng.random((rows, 1))).sum(axis=1)
    return special.softmax(logits, axis=1), np.minimum(numbers, len(CLASSES) - 1)


_PACKED: dict[str, Callable[[Numbers], NDArray[np.int64]]] = {
    "binary": lambda scores: score_buckets(scores).astype(np.int64),
    "multiclass": pack,
    "regression": lambda numbers: numbers.view(np.int64),
}
"""What `TaskQuality.packed` gives, as one array."""
