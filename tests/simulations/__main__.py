"""Simulations of the drift, quality and canary verdicts: whether the promises hold.

Seeded: the same command prints the same figures. Results also go to `.driftline/simulations` as
JSON and as markdown. `python -m tests.simulations all` runs every simulation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from math import inf
from pathlib import Path
from typing import Annotated

import typer

from streaming.drift.backtest.alarm_count import AlarmRate
from tests.competitors.competitor import Competitor
from tests.simulations import canary, quality, task_predictions, task_quality
from tests.simulations import power as power_of_detectors
from tests.simulations import quiet as quiet_days
from tests.simulations.arms import ARMS, Arm
from tests.simulations.blessing import blessing
from tests.simulations.changes import CHANGES, Change
from tests.simulations.power import SIZES, Delay
from tests.simulations.quiet import QuietCounts
from tests.simulations.tables import PROGRESS, log_folder, rate_cells, save, show
from tests.taxi_excerpt import EXCERPT

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
app.add_typer(quality.app, name="quality")
app.add_typer(task_quality.app, name="tasks")
app.add_typer(canary.app, name="canary")
app.command()(blessing)
Seed = Annotated[int, typer.Option(help="Seed of the random numbers.")]


@app.callback()
def simulations() -> None:
    """Simulations of the drift, quality and canary verdicts."""


@app.command()
def quiet(
    scale: Annotated[float, typer.Option(help="Factor of the days of every arm.")] = 1.0,
    only: Annotated[str, typer.Option(help="Arms whose name contains this text.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Arms simulated at a time.")] = 1,
    seed: Seed = 1,
) -> None:
    """False alarms on days on which nothing changes.

    Example: `python -m tests.simulations quiet --scale 0.1 --only "day variation"`
    """
    tasks = [
        (arm, max(1, round(arm.days * scale)), seed + number)
        for number, arm in enumerate(ARMS)
        if only in arm.name
    ]
    rows, details = [], {}
    with ProcessPoolExecutor(jobs) as pool:
        results = pool.map(_timed, tasks)
        for (arm, _, _), (rate, counts, seconds) in zip(tasks, results, strict=True):
            PROGRESS.print(f"{arm.name}: {rate.ratio:.2f} ({seconds:.0f} s)")
            details[arm.name] = {
                "seconds": seconds,
                "alarm rules": counts.by_rule,
                "tests": counts.by_test,
            }
            rows.append(_row(arm, rate, counts))
    show("quiet", rows, {"seed": seed, "scale": scale, "details": details})


def _timed(task: tuple[Arm, int, int]) -> tuple[AlarmRate, QuietCounts, float]:
    """One arm's simulation and its CPU seconds."""
    arm, days, seed = task
    began = time.process_time()
    rate, counts = quiet_days.measure(arm, days=days, seed=seed)
    return rate, counts, time.process_time() - began


def _row(arm: Arm, rate: AlarmRate, counts: QuietCounts) -> dict[str, object]:
    return {
        "arm": arm.name,
        "features": len(arm.kinds),
        "days": counts.days,
        "budget in 30 days": f"{arm.budget:g}",
        **rate_cells(rate),
    }


@app.command("other-detectors")
def other_detectors(
    rows: Annotated[int, typer.Option(help="Rows of a window.")] = 1_000,
    seed: Seed = 1,
) -> None:
    """False alarms of other detectors in 30 quiet days, with their default settings.

    Example: `python -m tests.simulations other-detectors --rows 1000`
    """
    from tests.simulations.other_detectors import month

    without, varying = (month(rows, sd, seed=seed, logs=log_folder()) for sd in (0.0, 0.05))
    table = [
        {
            "detector": name,
            "alarms": counter.alarms,
            "features alarmed, by day": counter.feature_alarms,
            "windows alarmed": f"{counter.alarmed_windows / counter.windows:.1%}",
            "alarms, day variation 0.05 sd": varying[name].alarms,
            "windows alarmed, day variation 0.05 sd": (
                f"{varying[name].alarmed_windows / counter.windows:.1%}"
            ),
        }
        for name, counter in without.items()
    ]
    show("other-detectors", table, {"seed": seed})


@app.command()
def power(
    trials: Annotated[int, typer.Option(help="Streams for each change and window size.")] = 100,
    only: Annotated[str, typer.Option(help="Changes whose name contains this text.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Cells simulated at a time.")] = 1,
    seed: Seed = 1,
) -> None:
    """Windows until a change is found, compared with other detectors at the same budget.

    Shows the median and, in brackets, the mean. The files are written after every cell.

    Example: `python -m tests.simulations power --trials 20 --only ramp --jobs 2`
    """
    tasks = [
        (change, size, trials, seed) for change in CHANGES if only in change.name for size in SIZES
    ]
    facts = {"seed": seed, "trials": trials}
    delays: list[Delay] = []
    with ProcessPoolExecutor(jobs) as pool:
        for (change, size, _, _), (cell, seconds) in zip(
            tasks, pool.map(_cell, tasks), strict=True
        ):
            PROGRESS.print(f"{change.name}, {size:,} rows ({seconds:.0f} s)")
            delays += cell
            save("power", _power_table(delays), facts)
    show("power", _power_table(delays), facts)


def _cell(task: tuple[Change, int, int, int]) -> tuple[list[Delay], float]:
    """One change at one window size, and its seconds."""
    change, size, trials, seed = task
    began = time.monotonic()
    with Competitor("river", log_folder() / f"river-{os.getpid()}.log") as river:
        delays = power_of_detectors.measure(change, size, trials=trials, seed=seed, river=river)
    return delays, time.monotonic() - began


def _power_table(delays: Sequence[Delay]) -> list[dict[str, object]]:
    """A row for each cell, a column for each detector."""
    detectors = list(dict.fromkeys(delay.detector for delay in delays))
    rows: list[dict[str, object]] = []
    for change, size in dict.fromkeys((delay.change, delay.rows) for delay in delays):
        cell = {
            delay.detector: delay
            for delay in delays
            if (delay.change, delay.rows) == (change, size)
        }
        columns = {detector: _windows(cell.get(detector)) for detector in detectors}
        events = f"{cell['ours'].windows * size:,.0f}"
        rows.append({"change": change, "rows": f"{size:,}", **columns, "ours, events": events})
    return rows


def _windows(delay: Delay | None) -> str:
    if delay is None:
        return "–"
    return "never" if delay.windows == inf else f"{delay.windows:g} ({delay.mean:.1f})"


@app.command()
def taxi(
    data: Annotated[Path, typer.Option(help="CSV file of trips.", exists=True)] = EXCERPT,
    splits: Annotated[int, typer.Option(help="Number of random halves.")] = 100,
    seed: Seed = 1,
) -> None:
    """Real rows: random halves against each other, and 2016 against 2013.

    Example: `python -m tests.simulations taxi --splits 20`
    """
    from tests.simulations.taxi import by_year, halves

    result = halves(data, splits=splits, seed=seed)
    rows = [
        {"rules": rules, "splits": splits, "features": result.features, "judged": judged}
        for rules, judged in (
            ("default", _outcome_counts(result.by_outcome)),
            ("no floors, no day variation", _outcome_counts(result.strict)),
        )
    ]
    show("taxi-halves", rows, {"seed": seed})
    verdicts = [
        {
            "feature": verdict.feature,
            "outcome": verdict.outcome,
            "effect, sd": f"{verdict.effect:.2f}",
            "why": verdict.reason,
        }
        for verdict in by_year(data, seed=seed)
    ]
    show("taxi-years", verdicts, {"seed": seed})


def _outcome_counts(by_outcome: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(by_outcome.items()))


@app.command()
def robust(
    runs: Annotated[int, typer.Option(help="Number of streams.")] = 10,
    seed: Seed = 1,
) -> None:
    """One bad row in 10,000, and quiet windows of every size.

    Example: `python -m tests.simulations robust --runs 4`
    """
    from tests.simulations.robust import one_bad_row, quiet_by_rows

    rows = [
        {
            "one bad row in 10,000": result.bad,
            "floors": "on" if result.floors else "off",
            "verdicts compared": f"{result.compared:,}",
            "changed": result.changed,
        }
        for result in one_bad_row(runs=runs, seed=seed)
    ]
    show("robust-rows", rows, {"seed": seed, "runs": runs})
    sizes = [
        {"rows of a quiet window": f"{size:,}", "verdicts": _outcome_counts(by_outcome)}
        for size, by_outcome in quiet_by_rows(runs=runs, seed=seed).items()
    ]
    show("robust-sizes", sizes, {"seed": seed, "runs": runs})


@app.command()
def seasons(
    seeds: Annotated[int, typer.Option(help="Number of seeds, from 1.")] = 5,
) -> None:
    """A daily swing of 1 sd over two weeks, and +0.5 sd on a Sunday.

    Example: `python -m tests.simulations seasons --seeds 2`
    """
    from tests.simulations.seasons import season

    results = [season(seed) for seed in range(1, seeds + 1)]
    rows = [
        {
            "seed": result.seed,
            "quiet windows": result.windows,
            "alarms": result.alarms,
            "windows until +0.5 sd on Sunday": result.delay or "not in 3",
        }
        for result in results
    ]
    show("seasons", rows, {})


@app.command()
def correlation(
    scale: Annotated[float, typer.Option(help="Factor of the draws.")] = 1.0,
    seed: Seed = 1,
) -> None:
    """The test of correlations: its tails, false alarms and detection delay.

    Example: `python -m tests.simulations correlation --scale 0.1`
    """
    from tests.simulations.correlation import measure

    show("correlation", measure(scale, seed), {"seed": seed, "scale": scale})


@app.command()
def experiments(
    runs: Annotated[int, typer.Option(help="Experiments for each figure.")] = 200,
    seed: Seed = 1,
) -> None:
    """Experiments by user: false winners and losers, and users until a decision, by task.

    Example: `python -m tests.simulations experiments --runs 50`
    """
    from tests.simulations.experiments import table

    show("experiments", table(runs=runs, seed=seed), {"seed": seed, "runs": runs})


@app.command("day-variation")
def day_variation(
    draws: Annotated[int, typer.Option(help="Histories for each line.")] = 300,
    seed: Seed = 1,
) -> None:
    """False alarms when the day variance is estimated from few days, in closed form.

    Example: `python -m tests.simulations day-variation --draws 100`
    """
    from tests.simulations.day_variation import measure

    show("day-variation", measure(draws, seed), {"seed": seed, "draws": draws})


@app.command("blind-spots")
def blind_spots(
    streams: Annotated[int, typer.Option(min=1, help="Streams for each cell.")] = 20,
    only: Annotated[str, typer.Option(help="Changes whose name contains this text.")] = "",
    kind: Annotated[str, typer.Option(help="Kinds of features that contain this text.")] = "",
    others: Annotated[bool, typer.Option(help="Whether the other detectors run too.")] = True,
    jobs: Annotated[int, typer.Option(min=1, help="Kinds simulated at a time.")] = 1,
    seed: Seed = 1,
) -> None:
    """Every family of change on every kind of feature: found, missed, or named wrongly.

    Example: `python -m tests.simulations blind-spots --streams 4 --kind categories --no-others`
    """
    from tests.simulations.blind_spots.command import run

    run(streams=streams, only=only, kind=kind, others=others, jobs=jobs, seed=seed)


@app.command("all")
def everything(seed: Seed = 1) -> None:
    """Every simulation; the longest, the quiet days, runs in a process of its own.

    Example: `python -m tests.simulations all`
    """
    command = [sys.executable, "-m", "tests.simulations", "quiet", "--seed", str(seed)]
    with subprocess.Popen(command) as process:
        try:
            _all_but_quiet(seed)
        except BaseException:
            process.terminate()
            raise
    raise typer.Exit(process.returncode)


def _all_but_quiet(seed: int) -> None:
    """All simulations but the quiet days, the short ones first."""
    taxi(EXCERPT, 100, seed)
    robust(10, seed)
    seasons(5)
    day_variation(300, seed)
    quality.delays(100, seed)
    quality.alarms(20, 15.0, seed)
    task_quality.delays(40, seed)
    task_quality.alarms(8, 15.0, seed)
    task_predictions.prediction_delays(40, seed)
    task_predictions.predictions(8, 15.0, seed)
    experiments(200, seed)
    other_detectors(1_000, seed)
    power(100, "", 1, seed)
    blind_spots(20, "", "", True, 1, seed)
    correlation(1.0, seed)


if __name__ == "__main__":
    app()
