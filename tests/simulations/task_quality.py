"""`python -m tests.simulations tasks`: the quality verdicts of multiclass and regression tasks.

As in `tests.simulations.quality` the production judge judges drawn windows, seeded: the same
command prints the same figures. The errors of the regressions are normal, log-normal with a
standard deviation of 1.2 on the log scale (their fourth moment does not converge in any window),
and counts that vary more than Poisson's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import typer

from streaming.drift.backtest.alarm_count import AlarmCounter, AlarmRate, alarm_rate
from streaming.quality import QualityRules
from streaming.quality.counts import Counts
from streaming.quality.verdict import Judgement
from tests.simulations.quality import (
    DAY,
    DAYS_OF_A_VERSION,
    QUIET_BATCHES,
    delay_cells,
    delay_figures,
    judgements,
)
from tests.simulations.tables import rate_cells, show
from tests.streaming.quality.task_populations import (
    MULTICLASS,
    NO_CHANGE,
    POISSON,
    QUANTILE,
    SQUARED,
    Change,
    Population,
)

app = typer.Typer(help="Quality of tasks.", no_args_is_help=True, add_completion=False)
MAX_BATCHES = 100
POPULATIONS = {
    "multiclass, 5 classes": Population(task=MULTICLASS),
    "regression, normal": Population(task=SQUARED),
    "regression, log-normal": Population(task=SQUARED, errors="log-normal", sigma=1.2),
    "counts": Population(task=POISSON, errors="counts", sigma=0.5),
    "quantiles": Population(task=QUANTILE),
}
"""What is predicted, by name."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One quiet setting."""

    population: str
    rows: int = 1000
    day_sd: float = 0.0
    """Standard deviation of a daily shift of the labels' level."""
    floors: bool = False
    """Whether the smallest reported changes are those of the shipped rules."""
    window_seconds: float = 1800.0

    @property
    def name(self) -> str:
        """The arm's name in the table."""
        daily = ", day variation" if self.day_sd else ""
        return f"{self.population}, {self.rows:,} labels{daily}{', as shipped' * self.floors}"


ARMS = (
    *(Arm(population=name, rows=rows) for name in POPULATIONS for rows in (500, 2000)),
    Arm(population="regression, log-normal", rows=2000, day_sd=0.02),
    Arm(population="regression, log-normal", rows=2000, day_sd=0.02, floors=True),
    Arm(population="multiclass, 5 classes", rows=2000, floors=True),
)
CHANGES = {
    "multiclass, 5 classes": (
        ("half of the information is lost", Change(slope=0.5)),
        ("a fifth of it is lost", Change(slope=0.8)),
    ),
    "regression, normal": (
        ("errors 20 % larger", Change(spread=1.2)),
        ("labels 10 % higher", Change(shift=0.1)),
        ("5 % of the errors five times as large", Change(tail=0.05)),
    ),
    "regression, log-normal": (
        ("errors 20 % larger", Change(spread=1.2)),
        ("labels 30 % higher", Change(shift=0.3)),
    ),
    "counts": (("labels 20 % higher", Change(shift=0.2)),),
    "quantiles": (("errors 20 % larger", Change(spread=1.2)),),
}
"""Changes of the relation between predictions and labels, by population."""


def rules_of(arm: Arm, budget: float) -> QualityRules:
    """The rules of an arm: `budget` false alarms in 30 days, all of them for quality itself."""
    shipped = QualityRules(
        false_alarms=budget,
        prediction_drift_share=0.0,
        day_variation=0.01 if arm.day_sd or arm.floors else 0.0,
        min_labels=400,
        task=POPULATIONS[arm.population].task,
    )
    if arm.floors:
        return shipped
    return replace(
        shipped,
        f1_fall=0.0,
        log_loss_rise=0.0,
        calibration_shift=0.0,
        loss_rise=0.0,
        large_errors_rise=0.0,
        bias_shift=0.0,
    )


def quiet(arm: Arm, *, versions: int, budget: float, seed: int) -> AlarmRate:
    """Alarms of unchanged versions over those allowed."""
    rng, population = np.random.default_rng(seed), POPULATIONS[arm.population]
    windows_a_day = round(DAY / arm.window_seconds)

    def windows() -> Iterator[Counts]:
        for _ in range(DAYS_OF_A_VERSION):
            change = Change(shift=arm.day_sd * float(rng.normal())) if arm.day_sd else NO_CHANGE
            for _ in range(windows_a_day):
                yield population.window(rng, arm.rows, change)

    counts = []
    for _ in range(versions):
        counter = AlarmCounter()
        for number, judgement in enumerate(
            judgements(windows(), rules_of(arm, budget), arm.window_seconds)
        ):
            if number % windows_a_day == 0:
                counter.new_day()
            alarmed = judgement.outcome in ("degraded", "suspected")
            counter.window(["quality"] if alarmed else [])
        counts.append(counter.alarms)
    return alarm_rate(counts, budget * versions * DAYS_OF_A_VERSION / 30.0)


def delay(
    population: Population, change: Change, rows: int, *, runs: int, seed: int
) -> tuple[float, float, float]:
    """Median batches to `degraded`, share found within `MAX_BATCHES`, median batches to the first
    suspicion; with the shipped rules and one-minute windows."""
    rng, rules = np.random.default_rng(seed), QualityRules(task=population.task)
    degraded, suspected = [], []
    for _ in range(runs):

        def windows() -> Iterator[Counts]:
            for number in range(QUIET_BATCHES + MAX_BATCHES):
                yield population.window(rng, rows, NO_CHANGE if number < QUIET_BATCHES else change)

        alarms = {
            number - QUIET_BATCHES + 1: judgement.outcome
            for number, judgement in enumerate(_until_degraded(windows(), rules))
            if number >= QUIET_BATCHES and judgement.outcome in ("degraded", "suspected")
        }
        suspected.append(min(alarms, default=MAX_BATCHES))
        late = (batches for batches, outcome in alarms.items() if outcome == "degraded")
        degraded.append(min(late, default=MAX_BATCHES))
    return delay_figures(degraded, suspected, MAX_BATCHES)


def _until_degraded(windows: Iterator[Counts], rules: QualityRules) -> Iterator[Judgement]:
    for number, judgement in enumerate(judgements(windows, rules, 60.0)):
        yield judgement
        if number >= QUIET_BATCHES and judgement.outcome == "degraded":
            return


@app.command()
def alarms(
    versions: Annotated[int, typer.Option(help="Versions of ten days in each arm.")] = 8,
    allowed: Annotated[float, typer.Option(help="False alarms allowed in 30 days.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """False alarms of unchanged versions.

    Example: `python -m tests.simulations tasks alarms --versions 20`
    """
    rows = [
        {
            "arm": arm.name,
            **rate_cells(quiet(arm, versions=versions, budget=allowed, seed=seed + number)),
        }
        for number, arm in enumerate(ARMS)
    ]
    show("task-alarms", rows, {"seed": seed, "versions": versions, "allowed": allowed})


@app.command()
def delays(
    runs: Annotated[int, typer.Option(help="Versions for each figure.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """Batches until a change is found, with the shipped rules and one-minute windows.

    Example: `python -m tests.simulations tasks delays --runs 100`
    """
    table = []
    for name, changes in CHANGES.items():
        for title, change in changes:
            for rows in (500, 2000):
                figures = delay(POPULATIONS[name], change, rows, runs=runs, seed=seed)
                cells = delay_cells(rows, figures, MAX_BATCHES)
                table.append({"task": name, "change": title, **cells})
    show("task-delays", table, {"seed": seed, "runs": runs})
