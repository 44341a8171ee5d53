"""`python -m tests.simulations tasks predictions`: prediction drift of multiclass and regression.

The production judge (`streaming.quality.scores.judge_scores`) judges drawn predictions, seeded: the
same command prints the same figures. A quiet version is served for ten days, and its predictions
come from one distribution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from unittest.mock import patch

import numpy as np
import typer
from scipy import special

from streaming.contracts.task import Task
from streaming.drift import DriftRules
from streaming.drift.backtest.alarm_count import AlarmCounter, AlarmRate, alarm_rate
from streaming.grid import Floats, Integers
from streaming.quality import QualityRules
from streaming.quality.counts import Counts
from streaming.quality.scores import ScoreDriftState, judge_scores
from streaming.quality.tasks import quality_of
from streaming.quality.tasks.probabilities import pack
from tests.simulations.quality import DAY, DAYS_OF_A_VERSION, delay_figures
from tests.simulations.tables import rate_cells, show
from tests.simulations.task_quality import app
from tests.streaming.quality.task_populations import MULTICLASS, POISSON, QUANTILE, SQUARED

WINDOW = 1800.0
MAX_WINDOWS = 100
LEARN = 2_000
"""Predictions of the reference, as shipped."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions of a model; the default is no change."""

    task: Task
    level: float = 0.0
    """Numbers: shift of the logarithm's mean, whose standard deviation is 0.5. Classes: added to
    the logit of the most frequent class, whose standard deviation is 1.6."""
    spread: float = 1.0
    """Factor on the standard deviation."""

    def window(self, rng: np.random.Generator, rows: int) -> Counts:
        """The counts of predictions without labels."""
        packed = pack(self._classes(rng, rows)) if self.task.classes else self._bits(rng, rows)
        return quality_of(self.task).count(packed, np.full(rows, -np.inf))

    def _classes(self, rng: np.random.Generator, rows: int) -> Floats:
        centres = np.array([1.0 + self.level, 0.5, 0.0, -0.5, -1.0])
        logits = centres + 1.6 * self.spread * rng.normal(size=(rows, len(centres)))
        probabilities: Floats = special.softmax(logits, axis=1)
        return probabilities

    def _bits(self, rng: np.random.Generator, rows: int) -> Integers:
        numbers = np.exp(rng.normal(1.0 + self.level, 0.5 * self.spread, rows))[:, None]
        if self.task.quantiles:
            numbers = numbers + special.ndtri(np.array(self.task.quantiles))
        return np.ascontiguousarray(numbers).view(np.int64)


TASKS = {
    "multiclass, 5 classes": MULTICLASS,
    "regression": SQUARED,
    "counts": POISSON,
    "quantiles": QUANTILE,
}
CHANGES: dict[str, tuple[tuple[str, float, float], ...]] = {
    "multiclass, 5 classes": (
        ("logit of the first class +1.6 (1 sd)", 1.6, 1.0),
        ("logit of the first class +0.8", 0.8, 1.0),
        ("logits spread 60 % wider", 0.0, 1.6),
    ),
    "regression": (
        ("0.7 sd higher", 0.35, 1.0),
        ("0.35 sd higher", 0.175, 1.0),
        ("spread 60 % wider", 0.0, 1.6),
    ),
    "counts": (("0.7 sd higher", 0.35, 1.0),),
    "quantiles": (("0.7 sd higher", 0.35, 1.0),),
}
"""Name, level and spread of each change, by task."""


def verdicts(
    windows: Iterator[Counts], rules: QualityRules, seconds: float
) -> Iterator[tuple[int, str]]:
    """Number of each judged window, from 0, and its outcome."""
    state, judged = ScoreDriftState(version=1), 0
    for number, counts in enumerate(windows):
        start = number * seconds
        verdict, state = judge_scores(state, counts, (start, start + seconds), rules)
        if verdict is not None:
            yield judged, verdict.outcome
            judged += 1


def quiet(
    name: str, rows: int, *, versions: int, budget: float, seed: int, floors: bool = False
) -> AlarmRate:
    """Alarms of unchanged predictions over those allowed, with the whole budget.

    Without `floors` there is no smallest effect that is reported and no day variation is assumed,
    so that the thresholds alone keep the budget.
    """
    with patch("streaming.quality.scores.DriftRules", DriftRules if floors else _WITHOUT_FLOORS):
        return _alarms_of(name, rows, versions=versions, budget=budget, seed=seed)


_WITHOUT_FLOORS = partial(DriftRules, between_day_sd=0.0, suspected_sd=0.0, drifted_sd=0.0)


def _alarms_of(name: str, rows: int, *, versions: int, budget: float, seed: int) -> AlarmRate:
    rng, drawn = np.random.default_rng(seed), Predictions(task=TASKS[name])
    rules = QualityRules(false_alarms=budget, prediction_drift_share=1.0, task=TASKS[name])
    windows_a_day = round(DAY / WINDOW)
    learning = -(-LEARN // rows)
    counts = []
    for _ in range(versions):
        counter = AlarmCounter()
        windows = (
            drawn.window(rng, rows) for _ in range(learning + DAYS_OF_A_VERSION * windows_a_day)
        )
        for number, outcome in verdicts(windows, rules, WINDOW):
            if number % windows_a_day == 0:
                counter.new_day()
            counter.window(["prediction"] if outcome in ("drifted", "suspected") else [])
        counts.append(counter.alarms)
    return alarm_rate(counts, budget * versions * DAYS_OF_A_VERSION / 30.0)


def delay(
    name: str, change: tuple[str, float, float], rows: int, *, runs: int, seed: int
) -> tuple[float, float, float]:
    """Median windows to `drifted`, share found within `MAX_WINDOWS`, median windows to the first
    suspicion; with the shipped rules and one-minute windows."""
    rng, task = np.random.default_rng(seed), TASKS[name]
    rules = QualityRules(task=task)
    before = Predictions(task=task)
    after = Predictions(task=task, level=change[1], spread=change[2])
    learning, quiet_windows = -(-LEARN // rows), 10
    drifted, suspected = [], []
    for _ in range(runs):
        windows = (
            (before if number < learning + quiet_windows else after).window(rng, rows)
            for number in range(learning + quiet_windows + MAX_WINDOWS)
        )
        first_of: dict[str, int] = {}
        for number, outcome in verdicts(windows, rules, 60.0):
            if number >= quiet_windows and outcome in ("drifted", "suspected"):
                first_of.setdefault("first", number - quiet_windows + 1)
                first_of.setdefault(outcome, number - quiet_windows + 1)
            if "drifted" in first_of:
                break
        drifted.append(first_of.get("drifted", MAX_WINDOWS))
        suspected.append(first_of.get("first", MAX_WINDOWS))
    return delay_figures(drifted, suspected, MAX_WINDOWS)


@app.command()
def predictions(
    versions: Annotated[int, typer.Option(help="Versions of ten days for each figure.")] = 8,
    allowed: Annotated[float, typer.Option(help="False alarms allowed in 30 days.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """False alarms of prediction drift on unchanged predictions.

    Example: `python -m tests.simulations tasks predictions --versions 20`
    """
    rows = [
        {
            "task": name + ", as shipped" * floors,
            "predictions a window": f"{size:,}",
            **rate_cells(
                quiet(name, size, versions=versions, budget=allowed, seed=seed, floors=floors)
            ),
        }
        for floors in (False, True)
        for name in TASKS
        for size in (200, 1000)
    ]
    show("prediction-alarms", rows, {"seed": seed, "versions": versions, "allowed": allowed})


@app.command("prediction-delays")
def prediction_delays(
    runs: Annotated[int, typer.Option(help="Versions for each figure.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """Windows until a change of the predictions is found, with the shipped rules.

    Example: `python -m tests.simulations tasks prediction-delays --runs 20`
    """
    table = []
    for name, changes in CHANGES.items():
        for change in changes:
            for rows in (200, 1000):
                median, share, suspicion = delay(name, change, rows, runs=runs, seed=seed)
                table.append(
                    {
                        "task": name,
                        "change": change[0],
                        "predictions a window": f"{rows:,}",
                        "median windows": f"{median:.0f}",
                        f"found in {MAX_WINDOWS}": f"{share:.0%}",
                        "first suspicion": f"{suspicion:.0f}",
                    }
                )
    show("prediction-delays", table, {"seed": seed, "runs": runs})
