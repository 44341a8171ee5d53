"""`python -m tests.simulations blessing`: error rates of the blessing for each task.

Challenger and champion predict the same drawn rows; their errors have a correlation of 0.9, as two
trainings on nearly the same rows have. The production strategies measure and the production rules
judge. Seeded: the same command prints the same figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy import special, stats

from retrain.blessing import bless
from retrain.ports import AFTER_SHIFT_SLICE
from retrain.tasks import Rows, strategy_of
from streaming.contracts.records import Metric
from streaming.contracts.task import BINARY, Task
from tests.simulations.tables import PROGRESS, show

CORRELATION = 0.9
ERROR = 0.5
"""Standard deviation of a model's error of the signal, whose own is 1."""
SLICE = "region:north"
SLICE_SHARE = 0.1
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
class Challenger:
    """How the challenger's error compares with the champion's."""

    name: str
    factor: float = 1.0
    """The challenger's error as a multiple of the champion's."""
    in_slice: float = 1.0
    """The same within the slice."""
    shift: bool = False
    """Whether it must be ahead on the newer half of the rows."""


CHALLENGERS = (
    Challenger("equal, no shift"),
    Challenger("equal, after a shift", shift=True),
    Challenger("error × 0.8, after a shift", factor=0.8, shift=True),
    Challenger("error × 1.5, no shift", factor=1.5),
    Challenger("error × 1.5 in a tenth of the rows", in_slice=1.5),
    Challenger("error × 3 in a tenth of the rows", in_slice=3.0),
)


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """The outcome of many evaluations of one challenger."""

    blessed: float
    """Share of the evaluations that blessed."""
    difference: float
    """Mean of the judged difference: overall, or in the slice where only that differs."""


def measure(task: Task, challenger: Challenger, rows: int, *, runs: int, seed: int) -> ErrorRate:
    """Evaluate and judge `runs` times."""
    blessed, differences = 0, []
    place = SLICE if challenger.in_slice != 1.0 else ""
    rules = strategy_of(task).rules
    judged = rules.difference or f"{rules.metric}_diff"
    for run in range(runs):
        metrics = evaluation(task, challenger, rows, seed=seed + run)
        must_win = AFTER_SHIFT_SLICE if challenger.shift else None
        blessed += bless(metrics, rules, has_champion=True, must_win=must_win).blessed
        differences += [m.value for m in metrics if (m.name, m.slice) == (judged, place)]
    return ErrorRate(blessed / runs, float(np.mean(differences)) if differences else np.nan)


def evaluation(task: Task, challenger: Challenger, rows: int, *, seed: int) -> list[Metric]:
    """The metrics of one drawn evaluation, overall, after the shift and in the slice."""
    generator = np.random.default_rng(seed)
    width = max(1, len(task.classes))
    signal = generator.normal(size=(rows, width))
    shared, own, live = generator.normal(size=(3, rows, width))
    common = np.sqrt(CORRELATION)
    parts = [ERROR * (common * shared + np.sqrt(1.0 - CORRELATION) * x) for x in (own, live)]
    in_slice = generator.random(rows) < SLICE_SHARE
    parts[0] *= np.where(in_slice, challenger.in_slice, challenger.factor)[:, np.newaxis]
    labels, output = _DRAWS[task.kind if task.kind != "regression" else task.loss](
        task, signal, generator
    )
    newer = np.arange(rows) % 2 == 0
    slices = {"": np.ones(rows, np.bool_), AFTER_SHIFT_SLICE: newer, SLICE: in_slice}
    outputs = [output(signal + part) for part in parts]
    return [
        replace(metric, slice=name)
        for name, member in slices.items()
        for metric in strategy_of(task).metrics(
            Rows(
                labels=labels[member],
                challenger=outputs[0][member],
                champion=outputs[1][member],
                seed=seed,
            )
        )
    ]


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


def blessing(
    runs: Annotated[int, typer.Option(min=1, help="Evaluations of each cell.")] = 200,
    only: Annotated[str, typer.Option(help="Tasks whose name contains this text.")] = "",
    rows: Annotated[list[int], typer.Option(help="Evaluated rows.")] = [3_000, 20_000],  # noqa: B006
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """Error rates of the blessing: how often it takes an equal, a better and a worse challenger.

    Example: `python -m tests.simulations blessing --runs 50 --only poisson --rows 3000`
    """
    table = []
    for name in (name for name in TASKS if only in name):
        for challenger in CHALLENGERS:
            for count in rows:
                rate = measure(TASKS[name], challenger, count, runs=runs, seed=seed)
                PROGRESS.print(f"{name}, {challenger.name}, {count:,}: {rate.blessed:.1%}")
                table.append(
                    {
                        "task": name,
                        "challenger": challenger.name,
                        "rows": f"{count:,}",
                        "blessed": f"{rate.blessed:.1%}",
                        "mean difference": f"{rate.difference:+.3f}",
                    }
                )
    show("blessing", table, {"seed": seed, "runs": runs})
