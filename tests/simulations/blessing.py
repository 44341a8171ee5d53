"""`python -m tests.simulations blessing`: error rates of the blessing for each task.

The production strategies measure and the production rules judge. Seeded: the same command prints
the same figures.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from retrain.blessing import bless
from retrain.ports import AFTER_SHIFT_SLICE
from retrain.tasks import strategy_of
from streaming.contracts.records import Metric
from streaming.contracts.task import Task
from tests.simulations.blessing_demo import demonstration
from tests.simulations.blessing_slices import missing_metrics, slice_rates
from tests.simulations.model_pairs import TASKS, difference_name, metrics_of, predict
from tests.simulations.tables import PROGRESS, show

SLICE = "region:north"
SLICE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Challenger:
    """How the challenger's error compares with the champion's."""

    name: str
    factor: float = 1.0
    """The challenger's error as a multiple of the champion's."""
    in_slice: float = 1.0
    """The same within the slice."""
    shift: bool = False
    """Whether it must be better on the newer half of the rows."""


CHALLENGERS = (
    Challenger("equal, no shift"),
    Challenger("equal, after a shift", shift=True),
    Challenger("error × 0.8, after a shift", factor=0.8, shift=True),
    Challenger("error × 0.5, after a shift", factor=0.5, shift=True),
    Challenger("error × 1.5, no shift", factor=1.5),
    Challenger("error × 3 in a tenth of the rows", in_slice=3.0),
)


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """The outcomes of many evaluations of one challenger, as shares."""

    blessed: float
    insufficient: float
    refused: float
    difference: float
    """Mean of the judged difference: overall, or in the slice where only that differs."""
    growth: float
    """Median factor by which insufficient evaluations ask for more rows; NaN without any."""


def measure(task: Task, challenger: Challenger, rows: int, *, runs: int, seed: int) -> ErrorRate:
    """Evaluate and judge `runs` times."""
    outcomes: Counter[str] = Counter()
    differences, growths = [], []
    place = SLICE if challenger.in_slice != 1.0 else ""
    rules, judged = strategy_of(task).rules, difference_name(task)
    must_win = AFTER_SHIFT_SLICE if challenger.shift else None
    for run in range(runs):
        metrics = evaluation(task, challenger, rows, seed=seed + run)
        blessing = bless(metrics, rules, has_champion=True, must_win=must_win)
        outcomes[blessing.outcome] += 1
        if blessing.growth:
            growths.append(blessing.growth)
        differences += [m.value for m in metrics if (m.name, m.slice) == (judged, place)]
    return ErrorRate(
        blessed=outcomes["pass"] / runs,
        insufficient=outcomes["insufficient"] / runs,
        refused=(outcomes["fail"] + outcomes["missing"]) / runs,
        difference=float(np.mean(differences)) if differences else np.nan,
        growth=float(np.median(growths)) if growths else np.nan,
    )


def evaluation(task: Task, challenger: Challenger, rows: int, *, seed: int) -> list[Metric]:
    """The metrics of one drawn evaluation, overall, after the shift and in the slice."""
    generator = np.random.default_rng(seed)
    in_slice = generator.random(rows) < SLICE_SHARE
    factors = np.where(in_slice & (challenger.in_slice != 1.0), challenger.in_slice, 1.0)
    drawn = predict(task, factors * challenger.factor, generator)
    newer = np.arange(rows) % 2 == 0
    slices = {"": np.ones(rows, np.bool_), AFTER_SHIFT_SLICE: newer, SLICE: in_slice}
    return metrics_of(task, drawn, slices, seed=seed)


def blessing(
    runs: Annotated[int, typer.Option(min=1, help="Evaluations of each cell.")] = 200,
    only: Annotated[str, typer.Option(help="Tasks whose name contains this text.")] = "",
    rows: Annotated[list[int], typer.Option(help="Evaluated rows.")] = [1_000, 3_000, 20_000],  # noqa: B006
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """Error rates of the blessing: equal, better and worse challengers, slices, missing metrics.

    Example: `python -m tests.simulations blessing --runs 50 --only poisson --rows 3000`
    """
    facts = {"seed": seed, "runs": runs}
    table: list[dict[str, object]] = []
    for name in (name for name in TASKS if only in name):
        for challenger in CHALLENGERS:
            for count in rows:
                rate = measure(TASKS[name], challenger, count, runs=runs, seed=seed)
                PROGRESS.print(f"{name}, {challenger.name}, {count:,}: {rate.blessed:.1%}")
                table.append(_row(name, challenger, count, rate))
    show("blessing", table, facts)
    slices = [
        row
        for name in TASKS
        if only in name
        for row in slice_rates(name, TASKS[name], runs=runs, seed=seed)
    ]
    show("blessing-slices", slices, facts)
    missing = [
        missing_metrics(name, TASKS[name], runs=1_000, seed=seed) for name in TASKS if only in name
    ]
    show("blessing-missing", missing, facts)
    if only in "binary":
        show("blessing-demonstration", list(demonstration(runs=runs, seed=seed)), facts)


def _row(name: str, challenger: Challenger, rows: int, rate: ErrorRate) -> dict[str, object]:
    return {
        "task": name,
        "challenger": challenger.name,
        "rows": f"{rows:,}",
        "blessed": f"{rate.blessed:.1%}",
        "insufficient": f"{rate.insufficient:.1%}",
        "refused": f"{rate.refused:.1%}",
        "mean difference": f"{rate.difference:+.3f}",
        "asks for rows": f"× {rate.growth:.1f}" if rate.insufficient else "–",
    }
