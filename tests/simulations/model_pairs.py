"""Rows that a challenger and a champion predict, for each task. Seeded.

The errors of the two have a correlation of 0.9, as those of two trainings on nearly the same rows
have. The production strategies measure them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy import special, stats

from retrain.tasks import Rows, strategy_of
from streaming.contracts.records import Metric
from streaming.contracts.task import BINARY, Task

CORRELATION = 0.9
ERROR = 0.5
"""Standard deviation of a model's error of the signal, whose own is 1."""
SPREAD = 0.5
"""Standard deviation of a number around its mean."""
Numbers = NDArray[np.float64]

TASKS = {
    "binary": BINARY,
    "multiclass": Task(kind="multiclass", classes=("a", "b", "c", "d", "e")),
    "squared": Task(kind="regression"),
    "poisson": Task(kind="regression", loss="poisson"),
    "quantile": Task(kind="regression", loss="quantile", quantiles=(0.1, 0.5, 0.9)),
}


@dataclass(frozen=True, slots=True)
class Predicted:
    """Rows with both models' outputs."""

    labels: Numbers
    challenger: Numbers
    champion: Numbers


def predict(task: Task, factors: Numbers, generator: np.random.Generator) -> Predicted:
    """Draw rows and both models' outputs.

    Parameters
    ----------
    factors:
        For each row, the challenger's error as a multiple of the champion's.
    """
    rows = len(factors)
    width = max(1, len(task.classes))
    signal = generator.normal(size=(rows, width))
    shared, own, live = generator.normal(size=(3, rows, width))
    common, own_share = np.sqrt(CORRELATION), np.sqrt(1.0 - CORRELATION)
    errors = [ERROR * (common * shared + own_share * part) for part in (own, live)]
    errors[0] *= factors[:, np.newaxis]
    kind = task.kind if task.kind != "regression" else task.loss
    labels, output = _DRAWS[kind](task, signal, generator)
    challenger, champion = (output(signal + error) for error in errors)
    return Predicted(labels, challenger, champion)


def metrics_of(
    task: Task, rows: Predicted, slices: Mapping[str, NDArray[np.bool_]], *, seed: int
) -> list[Metric]:
    """The metrics of each slice, given by its rows; the slice "" is overall."""
    strategy = strategy_of(task)
    return [
        replace(metric, slice=name)
        for name, member in slices.items()
        for metric in strategy.metrics(
            Rows(
                labels=rows.labels[member],
                challenger=rows.challenger[member],
                champion=rows.champion[member],
                seed=seed,
            )
        )
    ]


def difference_name(task: Task) -> str:
    """Name of the metric that compares the two."""
    rules = strategy_of(task).rules
    return rules.difference or f"{rules.metric}_diff"


Draw = tuple[Numbers, Callable[[Numbers], Numbers]]


def _binary(task: Task, signal: Numbers, generator: np.random.Generator) -> Draw:
    def output(seen: Numbers) -> Numbers:
        return np.asarray(special.expit(1.5 * seen), np.float64)

    return (generator.random(len(signal)) < output(signal)[:, 0]).astype(np.float64), output


def _multiclass(task: Task, signal: Numbers, generator: np.random.Generator) -> Draw:
    def output(seen: Numbers) -> Numbers:
        return np.asarray(special.softmax(2.0 * seen, axis=1), np.float64)

    noise = generator.gumbel(size=signal.shape)
    return (2.0 * signal + noise).argmax(axis=1).astype(np.float64), output


def _squared(task: Task, signal: Numbers, generator: np.random.Generator) -> Draw:
    return signal[:, 0] + SPREAD * generator.normal(size=len(signal)), lambda seen: seen


def _poisson(task: Task, signal: Numbers, generator: np.random.Generator) -> Draw:
    def output(seen: Numbers) -> Numbers:
        return np.asarray(np.exp(1.0 + 0.5 * seen), np.float64)

    return generator.poisson(output(signal)[:, 0]).astype(np.float64), output


def _quantile(task: Task, signal: Numbers, generator: np.random.Generator) -> Draw:
    levels = SPREAD * stats.norm.ppf(task.quantiles)
    return _squared(task, signal, generator)[0], lambda seen: seen + levels


_DRAWS: dict[str, Callable[[Task, Numbers, np.random.Generator], Draw]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "squared": _squared,
    "poisson": _poisson,
    "quantile": _quantile,
}
