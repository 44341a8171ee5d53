"""`python -m tests.simulations experiments`: false winners and losers, and users until a decision.

Users bring 1 to 20 predictions each, which share a level of the user's own. Values are those of
`streaming.quality.tasks.user_metrics`; the interval of `serving.experiments.interval` is looked at
40 times between 200 and 20,000 users an arm. Seeded: the same command prints the same figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.experiments.interval import effect
from streaming.contracts.experiment_records import ExperimentDefinition, ExperimentMetric
from streaming.contracts.task import Task
from streaming.quality.tasks.regression import losses_of
from streaming.quality.tasks.user_metrics import user_metric
from tests.serving.experiments.experiment_world import arm_counts, definition
from tests.streaming.quality.task_populations import (
    MULTICLASS,
    NO_CHANGE,
    POISSON,
    QUANTILE,
    SQUARED,
    Change,
    Population,
)

Values = NDArray[np.float64]
LOOKS = np.unique(np.geomspace(200, 20_000, 40).astype(int))
MAX_PREDICTIONS = 20
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model whose versions are compared by user."""

    population: Population
    better: Change
    """Labels as the better version sees them: nearer to its predictions."""
    minimum_effect: float
    """The smallest effect that matters; about the better version's gain."""
    metric: ExperimentMetric = "loss"


COMPARISONS = {
    "multiclass, log loss": Comparison(
        population=Population(task=MULTICLASS),
        better=Change(slope=1.15),
        minimum_effect=0.05,
        metric="log_loss",
    ),
    "multiclass, accuracy": Comparison(
        population=Population(task=MULTICLASS),
        better=Change(slope=1.15),
        minimum_effect=0.02,
        metric="accuracy",
    ),
    "regression, normal": Comparison(
        population=Population(task=SQUARED), better=Change(spread=0.9), minimum_effect=0.02
    ),
    "regression, log-normal": Comparison(
        population=Population(task=SQUARED, errors="log-normal", sigma=1.2),
        better=Change(spread=0.9),
        minimum_effect=0.02,
    ),
    "counts": Comparison(
        population=Population(task=POISSON, errors="counts", sigma=0.5),
        better=Change(spread=0.7),
        minimum_effect=0.02,
    ),
    "quantiles": Comparison(
        population=Population(task=QUANTILE), better=Change(spread=0.9), minimum_effect=0.02
    ),
}
"""What is predicted and compared, by name."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of the experiments of one comparison."""

    wrong: int
    """Experiments of equal versions in which a look proved a difference."""
    won: int
    """Experiments in which the better version was proven to be better."""
    lost: int
    """Those in which it was proven to be worse."""
    users: float
    """Median number of users an arm when it was proven."""


def values(
    task: Task, metric: ExperimentMetric, scale: float, drawn: tuple[Values, Values]
) -> Values:
    """The metric of each prediction, for all rows at once."""
    predictions, outcomes = drawn
    if metric == "loss":
        losses = losses_of(task)(outcomes, predictions)
        bounded: Values = losses / (losses + scale)
        return bounded
    true = outcomes.astype(np.int64)
    if metric == "accuracy":
        right: Values = (predictions.argmax(axis=1) == true).astype(np.float64)
        return right
    chances = predictions[np.arange(len(true)), true]
    logarithms: Values = -np.log(np.maximum(chances, 1e-6))
    return logarithms


def users_of(
    compared: Comparison, rng: np.random.Generator, change: Change, scale: float, users: int
) -> Values:
    """The mean of the metric of each user."""
    task = compared.population.task
    counts = rng.integers(1, MAX_PREDICTIONS + 1, users)
    rows = values(
        task, compared.metric, scale, compared.population.draw(rng, int(counts.sum()), change)
    )
    owners = np.repeat(np.arange(users), counts)
    level = rng.normal(0.0, 0.1, users) * rows.std()
    means: Values = np.bincount(owners, rows, users) / counts + level
    return np.maximum(means, 0.0)


def scale_of(compared: Comparison, rng: np.random.Generator) -> float:
    """The champion's mean loss."""
    if compared.metric != "loss":
        return 0.0
    predictions, outcomes = compared.population.draw(rng, 20_000)
    return float(losses_of(compared.population.task)(outcomes, predictions).mean())


def first_proof(
    planned: ExperimentDefinition, treated: Values, champion: Values
) -> tuple[str, int]:
    """The first proven outcome and the users of an arm at that look; empty and 0 for none."""
    for users in LOOKS.tolist():
        arms = (arm_counts("v2", treated[:users]), arm_counts("champion", champion[:users]))
        outcome = effect(*arms, planned).outcome
        if outcome in ("better", "worse"):
            return outcome, users
    return "", 0


def run(compared: Comparison, *, runs: int, seed: int) -> Result:
    """Experiments of equal versions, and of a better one."""
    rng = np.random.default_rng(seed)
    scale = scale_of(compared, rng)
    planned = definition(
        metric=compared.metric,
        minimum_effect=compared.minimum_effect,
        alpha=ALPHA,
        loss_scale=scale,
    )
    most = int(LOOKS[-1])
    wrong, proofs = 0, []
    for _ in range(runs):
        champion, equal = (users_of(compared, rng, NO_CHANGE, scale, most) for _ in range(2))
        wrong += first_proof(planned, equal, champion)[0] != ""
        better = users_of(compared, rng, compared.better, scale, most)
        proofs.append(first_proof(planned, better, champion))
    users = [count for outcome, count in proofs if outcome == "better"]
    return Result(
        wrong=wrong,
        won=len(users),
        lost=sum(outcome == "worse" for outcome, _ in proofs),
        users=float(np.median(users)) if users else float("nan"),
    )


def table(*, runs: int, seed: int) -> list[dict[str, object]]:
    """A row for each comparison."""
    rows: list[dict[str, object]] = []
    for name, compared in COMPARISONS.items():
        result = run(compared, runs=runs, seed=seed)
        rows.append(
            {
                "task and metric": name,
                "equal versions: wrong": f"{result.wrong} of {runs}",
                "better version: proven": f"{result.won} of {runs}",
                "proven worse": result.lost,
                "median users an arm": f"{result.users:,.0f}",
            }
        )
    return rows


def check_values(compared: Comparison, seed: int) -> None:
    """Assert that the values of all rows at once are those of the label service."""
    rng = np.random.default_rng(seed)
    scale, task = scale_of(compared, rng), compared.population.task
    predictions, outcomes = compared.population.draw(rng, 100)
    at_once = values(task, compared.metric, scale, (predictions, outcomes))
    metric = user_metric(task, compared.metric, scale)
    for row, outcome, value in zip(predictions, outcomes.tolist(), at_once, strict=True):
        assert abs(metric.value(metric.held(row), outcome) / 10_000 - value) <= 1e-4
