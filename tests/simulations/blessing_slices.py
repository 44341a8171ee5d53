"""Slices of an evaluation: many equal ones, one that is worse, tiny ones; and missing metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from retrain.blessing import bless
from retrain.ports import AFTER_SHIFT_SLICE
from retrain.tasks import strategy_of
from streaming.contracts.records import Metric
from streaming.contracts.task import Task
from tests.simulations.model_pairs import difference_name, metrics_of, predict
from tests.simulations.tables import PROGRESS

LARGE_SAMPLE = 30_000
"""Rows from which the true difference of an error's factor is measured."""
LARGEST_FACTOR = 64.0
TINY = 60
"""Rows of a tiny slice."""
CASES = ((1, 300), (20, 300), (50, 200), (20, 1_000))
"""Number of slices, and rows of each."""


def slice_rates(
    name: str, task: Task, *, runs: int, seed: int, cases: Sequence[tuple[int, int]] = CASES
) -> Iterator[dict[str, object]]:
    """A row for each number and size of slices."""
    for count, rows in cases:
        equal = [_sliced(task, count, rows, 1.0, seed=seed + run) for run in range(runs)]
        loss = float(np.mean([_detectable(task, metrics) for metrics in equal]))
        factor, difference = factor_of(task, -2.0 * loss, seed=seed)
        worse = [_sliced(task, count, rows, factor, seed=seed - run - 1) for run in range(runs)]
        with_tiny = [
            [*metrics, *_tiny(task, count, seed=seed + run)] for run, metrics in enumerate(equal)
        ]
        decided = sum(
            _refused(task, tiny) != _refused(task, metrics)
            for tiny, metrics in zip(with_tiny, equal, strict=True)
        )
        row = {
            "task": name,
            "slices": count,
            "rows of each": rows,
            "equal, refused by a slice": _share(task, equal),
            "detectable loss": f"{loss:.3f}",
            "one slice worse by": f"{-difference:.3f}",
            "refused by that slice": _share(task, worse, slice_name(0)),
            "decided by tiny slices": f"{decided / runs:.1%}",
        }
        PROGRESS.print(" | ".join(str(cell) for cell in row.values()))
        yield row


def slice_name(number: int) -> str:
    """Name of a slice."""
    return f"region:{number}"


def factor_of(task: Task, difference: float, *, seed: int) -> tuple[float, float]:
    """The factor of the error that makes the true difference, and the difference that it makes.

    Where no error makes it as low (an AUC does not fall below 0.5), those of the largest factor.
    """
    low, high = 1.0, LARGEST_FACTOR
    if (lowest := _true_difference(task, high, seed)) > difference:
        return high, lowest
    for _ in range(8):
        middle = float(np.sqrt(low * high))
        if _true_difference(task, middle, seed) > difference:
            low = middle
        else:
            high = middle
    return high, _true_difference(task, high, seed)


def missing_metrics(name: str, task: Task, *, runs: int, seed: int) -> dict[str, object]:
    """How often an evaluation is blessed of which a needed metric is missing or no number.

    The challenger is better by far, so every complete evaluation is blessed.
    """
    generator = np.random.default_rng(seed)
    rules, difference = strategy_of(task).rules, difference_name(task)
    needed = [(n, s) for n in (rules.metric, difference) for s in ("", AFTER_SHIFT_SLICE)]
    complete = blessed = 0
    for run in range(runs):
        if run % 10 == 0:
            drawn = predict(task, np.full(1_000, 0.3), np.random.default_rng(seed + run))
            newer = np.arange(1_000) % 2 == 0
            slices = {"": np.ones(1_000, np.bool_), AFTER_SHIFT_SLICE: newer}
            metrics = metrics_of(task, drawn, slices, seed=seed + run)
            complete += bless(metrics, rules, has_champion=True).blessed
        hurt = {needed[i] for i in generator.integers(0, len(needed), generator.integers(1, 4))}
        damaged = [
            part
            for metric in metrics
            for part in (
                _damaged(metric, generator) if (metric.name, metric.slice) in hurt else [metric]
            )
        ]
        blessed += bless(damaged, rules, has_champion=True).blessed
    return {
        "task": name,
        "complete, blessed": f"{complete} of {(runs + 9) // 10}",
        "with missing metrics, blessed": f"{blessed} of {runs}",
    }


def _damaged(metric: Metric, generator: np.random.Generator) -> list[Metric]:
    """The metric dropped, without an interval, or with a value or an end that is no number."""
    kind = generator.integers(0, 4)
    if kind == 0:
        return []
    if kind == 1:
        return [replace(metric, low=None, high=None)]
    wrong = float(generator.choice([np.nan, np.inf, -np.inf]))
    return [replace(metric, value=wrong) if kind == 2 else replace(metric, low=wrong)]


def _true_difference(task: Task, factor: float, seed: int) -> float:
    drawn = predict(task, np.full(LARGE_SAMPLE, factor), np.random.default_rng(seed))
    labels = {"": np.ones(LARGE_SAMPLE, np.bool_)}
    metrics = metrics_of(task, drawn, labels, seed=seed)
    return next(m.value for m in metrics if m.name == difference_name(task))


def _sliced(task: Task, count: int, rows: int, factor: float, *, seed: int) -> list[Metric]:
    """Metrics of equal slices, of which the first has an error that is `factor` as large."""
    generator = np.random.default_rng(abs(seed))
    total = count * rows
    member = np.arange(total) % count
    drawn = predict(task, np.where(member == 0, factor, 1.0), generator)
    slices: dict[str, NDArray[np.bool_]] = {
        slice_name(number): member == number for number in range(count)
    }
    return metrics_of(task, drawn, slices, seed=abs(seed))


def _tiny(task: Task, count: int, *, seed: int) -> list[Metric]:
    """Metrics of tiny slices in which the challenger knows nothing."""
    generator = np.random.default_rng(seed + 7)
    drawn = predict(task, np.full(count * TINY, LARGEST_FACTOR), generator)
    member = np.arange(count * TINY) % count
    slices = {f"tiny:{number}": member == number for number in range(count)}
    return metrics_of(task, drawn, slices, seed=seed)


def _detectable(task: Task, metrics: Sequence[Metric]) -> float:
    """The detectable loss of the first slice."""
    blessing = bless(metrics, strategy_of(task).rules, has_champion=True, must_win=None)
    losses = [f.detectable for f in blessing.findings if f.slice == slice_name(0)]
    return losses[0] if losses and losses[0] is not None else np.nan


def _refused(task: Task, metrics: Sequence[Metric]) -> tuple[str, ...]:
    """The slices that refuse."""
    blessing = bless(metrics, strategy_of(task).rules, has_champion=True, must_win=None)
    return tuple(f.slice for f in blessing.findings if f.slice and f.outcome == "fail")


def _share(task: Task, evaluations: Sequence[list[Metric]], by: str | None = None) -> str:
    """Share of the evaluations that a slice refuses: any, or the one that is named."""
    refused = [_refused(task, metrics) for metrics in evaluations]
    count = sum(bool(names) if by is None else by in names for names in refused)
    return f"{count / len(evaluations):.1%}"
