"""Simulations of the judgement: what it promises, measured.

Seeded: the same command prints the same figures. Results also go to `.driftline/study` as JSON and
as markdown. `python -m tests.simulations all` runs every study.
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

from streaming.drift.backtest.alarm_count import Rate
from tests.competitors.peer import Peer
from tests.simulations import quality
from tests.simulations.arms import ARMS, Arm
from tests.simulations.changes import CHANGES, Change
from tests.simulations.power import SIZES, Delay
from tests.simulations.power import measure as delays_of
from tests.simulations.quiet import Found, measure
from tests.simulations.tables import TALK, cells, log_folder, save, show
from tests.streaming.statistics_data import TAXI

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
app.add_typer(quality.app, name="quality")
Seed = Annotated[int, typer.Option(help="Of the random numbers.")]


@app.callback()
def study() -> None:
    """Simulations of the judgement."""


@app.command()
def quiet(
    scale: Annotated[float, typer.Option(help="Of the days of every arm.")] = 1.0,
    only: Annotated[str, typer.Option(help="Arms whose name contains this.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Arms at a time, a process each.")] = 1,
    seed: Seed = 1,
) -> None:
    """False alarms on days on which nothing changes.

    Example: `python -m tests.simulations quiet --scale 0.1 --only wobble`
    """
    asked = [
        (arm, max(1, round(arm.days * scale)), seed + place)
        for place, arm in enumerate(ARMS)
        if only in arm.name
    ]
    rows, details = [], {}
    with ProcessPoolExecutor(jobs) as pool:
        for (arm, _, _), (rate, found, took) in zip(asked, pool.map(_timed, asked), strict=True):
            TALK.print(f"{arm.name}: {rate.ratio:.2f} ({took:.0f} s)")
            details[arm.name] = {"seconds": took, "lanes": found.begun, "tests": found.tests}
            rows.append(_row(arm, rate, found))
    show("quiet", rows, {"seed": seed, "scale": scale, "details": details})


def _timed(asked: tuple[Arm, int, int]) -> tuple[Rate, Found, float]:
    """One arm's simulation and the processor's seconds it took."""
    arm, days, seed = asked
    began = time.process_time()
    rate, found = measure(arm, days=days, seed=seed)
    return rate, found, time.process_time() - began


def _row(arm: Arm, rate: Rate, found: Found) -> dict[str, object]:
    return {
        "arm": arm.name,
        "features": len(arm.kinds),
        "days": found.days,
        "budget in 30 days": f"{arm.alarms:g}",
        **cells(rate),
    }


@app.command()
def peers(
    rows: Annotated[int, typer.Option(help="Of a window.")] = 1_000,
    seed: Seed = 1,
) -> None:
    """False alarms of other detectors in 30 quiet days, with the settings they come with.

    Example: `python -m tests.simulations peers --rows 1000`
    """
    from tests.simulations.beside import month

    still, wobbly = (month(rows, sd, seed=seed, logs=log_folder()) for sd in (0.0, 0.05))
    found = [
        {
            "detector": name,
            "alarms": one.alarms,
            "features alarmed, by day": one.feature_days,
            "windows alarmed": f"{one.alarmed_windows / one.windows:.1%}",
            "alarms, wobble 0.05 sd": wobbly[name].alarms,
            "windows alarmed, wobble 0.05 sd": f"{wobbly[name].alarmed_windows / one.windows:.1%}",
        }
        for name, one in still.items()
    ]
    show("peers", found, {"seed": seed})


@app.command()
def power(
    trials: Annotated[int, typer.Option(help="Streams for each change and size.")] = 100,
    only: Annotated[str, typer.Option(help="Changes whose name contains this.")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Cells at a time, a process each.")] = 1,
    seed: Seed = 1,
) -> None:
    """Windows until a change is found, beside other detectors at the same budget.

    Median and, in brackets, mean. What is measured is in the files after every cell.

    Example: `python -m tests.simulations power --trials 20 --only ramp --jobs 2`
    """
    asked = [
        (change, size, trials, seed) for change in CHANGES if only in change.name for size in SIZES
    ]
    facts = {"seed": seed, "trials": trials}
    found: list[Delay] = []
    with ProcessPoolExecutor(jobs) as pool:
        for (change, size, _, _), (cell, took) in zip(asked, pool.map(_cell, asked), strict=True):
            TALK.print(f"{change.name}, {size:,} rows ({took:.0f} s)")
            found += cell
            save("power", _table_of(found), facts)
    show("power", _table_of(found), facts)


def _cell(asked: tuple[Change, int, int, int]) -> tuple[list[Delay], float]:
    """One change at one size of a window, and the seconds it took."""
    change, size, trials, seed = asked
    began = time.monotonic()
    with Peer("river", log_folder() / f"river-{os.getpid()}.log") as peer:
        found = delays_of(change, size, trials=trials, seed=seed, peer=peer)
    return found, time.monotonic() - began


def _table_of(found: Sequence[Delay]) -> list[dict[str, object]]:
    """A row for each cell, a column for each detector."""
    detectors = list(dict.fromkeys(one.detector for one in found))
    rows: list[dict[str, object]] = []
    for name, size in dict.fromkeys((one.change, one.rows) for one in found):
        own = {o.detector: o for o in found if (o.change, o.rows) == (name, size)}
        delays = {detector: _windows(own.get(detector)) for detector in detectors}
        events = f"{own['ours'].windows * size:,.0f}"
        rows.append({"change": name, "rows": f"{size:,}", **delays, "ours, events": events})
    return rows


def _windows(delay: Delay | None) -> str:
    if delay is None:
        return "–"
    return "never" if delay.windows == inf else f"{delay.windows:g} ({delay.mean:.1f})"


@app.command()
def taxi(
    data: Annotated[Path, typer.Option(help="The rows.", envvar="DRIFTLINE_TAXI")] = TAXI,
    splits: Annotated[int, typer.Option(help="Random halves.")] = 100,
    seed: Seed = 1,
) -> None:
    """Real rows: random halves against each other, 2016 against 2013.

    Example: `python -m tests.simulations taxi --data ../shared/data/chicago_taxi.csv`
    """
    from tests.simulations.taxi import halves, then_and_now

    if not data.exists():
        TALK.print(f"There is no file {data}; name it with --data or DRIFTLINE_TAXI.")
        raise typer.Exit(2)
    same = halves(data, splits=splits, seed=seed)
    found = [
        {"rules": rules, "splits": splits, "features": same.features, "judged": judged}
        for rules, judged in (
            ("default", _counts(same.by_outcome)),
            ("no floors, no wobble", _counts(same.strict)),
        )
    ]
    show("taxi-halves", found, {"seed": seed})
    moved = [
        {
            "feature": one.feature,
            "outcome": one.outcome,
            "effect, sd": f"{one.effect:.2f}",
            "why": one.reason,
        }
        for one in then_and_now(data, seed=seed)
    ]
    show("taxi-years", moved, {"seed": seed})


def _counts(by_outcome: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(by_outcome.items()))


@app.command()
def robust(
    runs: Annotated[int, typer.Option(help="Streams.")] = 10,
    seed: Seed = 1,
) -> None:
    """One bad row in 10,000, and windows of every size when nothing changed.

    Example: `python -m tests.simulations robust --runs 4`
    """
    from tests.simulations.robust import one_bad_row, quiet_by_rows

    found = [
        {
            "one bad row in 10,000": one.bad,
            "floors": "on" if one.floors else "off",
            "verdicts compared": f"{one.compared:,}",
            "changed": one.changed,
        }
        for one in one_bad_row(runs=runs, seed=seed)
    ]
    show("robust-rows", found, {"seed": seed, "runs": runs})
    sizes = quiet_by_rows(runs=runs, seed=seed)
    table = [
        {"rows of a quiet window": f"{n:,}", "verdicts": _counts(said)} for n, said in sizes.items()
    ]
    show("robust-sizes", table, {"seed": seed, "runs": runs})


@app.command()
def seasons(
    seeds: Annotated[int, typer.Option(help="So many seeds, from 1.")] = 5,
) -> None:
    """A daily swing of 1 sd over two weeks, and +0.5 sd on a Sunday.

    Example: `python -m tests.simulations seasons --seeds 2`
    """
    from tests.simulations.seasons import season

    found = [season(seed) for seed in range(1, seeds + 1)]
    rows = [
        {
            "seed": one.seed,
            "quiet windows": one.windows,
            "alarms": one.alarms,
            "windows until +0.5 sd on Sunday": one.delay or "not in 3",
        }
        for one in found
    ]
    show("seasons", rows, {})


@app.command()
def together(
    scale: Annotated[float, typer.Option(help="Of the draws.")] = 1.0,
    seed: Seed = 1,
) -> None:
    """How features move together: tails, false alarms, how fast a turned pair is found.

    Example: `python -m tests.simulations together --scale 0.1`
    """
    from tests.simulations import together as study_of_together

    show("together", study_of_together.measure(scale, seed), {"seed": seed, "scale": scale})


@app.command()
def wobble(
    draws: Annotated[int, typer.Option(help="Histories for each line.")] = 300,
    seed: Seed = 1,
) -> None:
    """False alarms when the wobble is learnt from few days, in closed form.

    Example: `python -m tests.simulations wobble --draws 100`
    """
    from tests.simulations import wobble as study_of_wobble

    show("wobble", study_of_wobble.measure(draws, seed), {"seed": seed, "draws": draws})


@app.command("all")
def everything(seed: Seed = 1) -> None:
    """Every study; the quiet days, the longest, in a process beside the others.

    Example: `python -m tests.simulations all`
    """
    command = [sys.executable, "-m", "tests.simulations", "quiet", "--seed", str(seed)]
    with subprocess.Popen(command) as beside:
        try:
            _others(seed)
        except BaseException:
            beside.terminate()
            raise
    raise typer.Exit(beside.returncode)


def _others(seed: int) -> None:
    """All but the quiet days, the cheap ones first."""
    if TAXI.exists():
        taxi(TAXI, 100, seed)
    else:
        TALK.print("Left out: taxi; its rows are not here, DRIFTLINE_TAXI names them.")
    robust(10, seed)
    seasons(5)
    wobble(300, seed)
    quality.delays(100, seed)
    quality.alarms(20, 15.0, seed)
    peers(1_000, seed)
    power(100, "", 1, seed)
    together(1.0, seed)


if __name__ == "__main__":
    app()
