"""`python -m tests.simulations canary`: rollouts on simulated traffic, with our judge and others.

Seeded: the same command prints the same figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import numpy as np
import typer

from serving.rules import RolloutRules
from serving.slice_rules import NO_SLICES, SliceRules
from tests.simulations.canary.judges import JUDGES, Ending, ours
from tests.simulations.canary.slice_scores import SliceEnding, sliced_scores
from tests.simulations.canary.stops import FAULTS, IDENTICAL, seconds_to_stop, stops
from tests.simulations.canary.traffic import (
    FAMILIES,
    HARMS,
    NONE,
    SLICE_HARMS,
    SLICES,
    Family,
    Harm,
    Traffic,
)
from tests.simulations.tables import PROGRESS, save, show

app = typer.Typer(help="Canaries.", no_args_is_help=True, add_completion=False)
BEFORE_SECONDS = 600
"""Time before a rollout that the judge knows; `serving.observing` reads as much."""

Task = tuple[str, Family, Harm, float, int, int]


@app.command("rollouts")
def rollouts(
    number: Annotated[int, typer.Option(help="Rollouts of each cell.")] = 100,
    rate: Annotated[list[float] | None, typer.Option(help="Requests per second.")] = None,
    only: Annotated[str, typer.Option(help="Families and harms whose name contains this.")] = "",
    seconds: Annotated[int, typer.Option(help="Time in steps after which a rollout ends.")] = 3600,
    jobs: Annotated[int, typer.Option(min=1, help="Rollouts simulated at a time.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """How rollouts of identical and of harmful canaries end.

    Example: `python -m tests.simulations canary rollouts --number 20 --rate 100 --only identical`
    """
    facts = {"seed": seed, "number": number, "seconds": seconds}
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(jobs) as pool:
        for requests, family, harm in _traffic(rate, HARMS, only):
            row: dict[str, object] = _head(requests, family, harm)
            for judge in JUDGES:
                tasks = [(judge, family, harm, requests, seconds, seed + n) for n in range(number)]
                row |= _cells(judge, list(pool.map(run, tasks, chunksize=4)))
            rows.append(row)
            PROGRESS.print(row)
            save("canary", rows, facts)
    show("canary", rows, facts)


def _traffic(
    rates: list[float] | None, harms: Sequence[Harm], only: str
) -> Iterator[tuple[float, Family, Harm]]:
    """At each rate identical canaries in every family, then every harm, if named so."""
    cells = [(family, NONE) for family in FAMILIES] + [(FAMILIES[0], harm) for harm in harms]
    for requests in rates or [20.0, 100.0, 1_000.0]:
        for family, harm in cells:
            if only in f"{family.name}, {harm.name}":
                yield requests, family, harm


def _head(requests: float, family: Family, harm: Harm) -> dict[str, object]:
    return {"rate": f"{requests:g}", "traffic": f"{family.name}, {harm.name}"}


WANDERING = (
    (50.0, 1.5, 1_000.0),
    (100.0, 1.5, 1_000.0),
    (50.0, 2.0, 2_000.0),
    (20.0, 1.5, 1_000.0),
    (50.0, 1.5, 100.0),
    (100.0, 1.0, 1_000.0),
    (20.0, 2.0, 200.0),
    (100.0, 2.0, 2_000.0),
)
"""Correlation time in seconds, log-sd, requests per second."""


@app.command("wandering")
def wandering(
    number: Annotated[int, typer.Option(help="Rollouts of each cell.")] = 35,
    excess: Annotated[float, typer.Option(help="Excess of the canary's errors, in points.")] = 0.0,
    seconds: Annotated[int, typer.Option(help="Time in steps after which a rollout ends.")] = 2400,
    look: Annotated[int, typer.Option(help="Seconds between two looks.")] = 15,
    seed: Annotated[int, typer.Option(help="Seed of the first rollout.")] = 7000,
) -> None:
    """How rollouts end whose errors wander in each arm: several lengths, sizes and rates.

    Example: `python -m tests.simulations canary wandering --number 10`
    """
    facts = {"seed": seed, "number": number, "seconds": seconds, "look": look, "excess": excess}
    harm = Harm(name=f"errors +{excess:g} pp", errors=excess / 100) if excess else NONE
    rows: list[dict[str, object]] = []
    for length, log_sd, requests in WANDERING:
        family = Family(
            name=f"AR(1) per arm, {length:g} s, {log_sd:g}", seconds=length, log_sd=log_sd
        )
        drawn = (
            Traffic.draw(
                family, harm, rate=requests, seconds=seconds, seed=seed + n, before=BEFORE_SECONDS
            )
            for n in range(number)
        )
        rules = RolloutRules()
        endings = [ours(one, rules, seconds=seconds, look_seconds=look) for one in drawn]
        rows.append(_head(requests, family, harm) | _cells("ours", endings))
        PROGRESS.print(rows[-1])
        save("canary-wandering", rows, facts)
    show("canary-wandering", rows, facts)


_JUDGED = (("by slice", True), ("all requests", False))
SliceTask = tuple[bool, Family, Harm, float, int, int, int]
"""Whether slices are judged, family, harm, rate, seconds, look, seed."""


@app.command("slices")
def slices(
    number: Annotated[int, typer.Option(help="Rollouts of each cell.")] = 100,
    rate: Annotated[list[float] | None, typer.Option(help="Requests per second.")] = None,
    only: Annotated[str, typer.Option(help="Families and harms whose name contains this.")] = "",
    seconds: Annotated[int, typer.Option(help="Time in steps after which a rollout ends.")] = 7200,
    look: Annotated[int, typer.Option(help="Seconds between two looks.")] = 5,
    compare: Annotated[bool, typer.Option(help="Also without slices.")] = True,
    jobs: Annotated[int, typer.Option(min=1, help="Rollouts simulated at a time.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
) -> None:
    """How rollouts end whose harm is in one of ten slices, judged by slice and without slices.

    Example: `python -m tests.simulations canary slices --number 20 --rate 100 --only wholly`
    """
    facts = {"seed": seed, "number": number, "seconds": seconds, "look": look}
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(jobs) as pool:
        for requests, family, harm in _traffic(rate, SLICE_HARMS, only):
            row: dict[str, object] = _head(requests, family, harm)
            for label, judged in _JUDGED[: 1 + compare]:
                tasks = [
                    (judged, family, harm, requests, seconds, look, seed + n) for n in range(number)
                ]
                endings = list(pool.map(run_sliced, tasks, chunksize=2))
                row |= _cells(label, endings) | _seconds(label, endings)
            rows.append(row)
            PROGRESS.print(row)
            save("canary-slices", rows, facts)
    show("canary-slices", rows, facts)


@app.command("slice-scores")
def slice_scores(
    number: Annotated[int, typer.Option(help="Rollouts of each cell.")] = 300,
    rate: Annotated[list[float] | None, typer.Option(help="Requests per second.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Rollouts simulated at a time.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first rollout.")] = 1,
) -> None:
    """How rollouts end that are judged by scores and labels in ten slices; one may be flipped.

    Example: `python -m tests.simulations canary slice-scores --number 20 --rate 100`
    """
    facts = {"seed": seed, "number": number}
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(jobs) as pool:
        for requests in rate or [20.0, 100.0, 1_000.0]:
            for flipped in ("", "s1", "s03"):
                tasks = [(requests, flipped, seed + n) for n in range(number)]
                endings = list(pool.map(run_scores, tasks, chunksize=4))
                by_gate = Counter(ending.gate for ending in endings if ending.result == "failed")
                rows.append(
                    {"rate": f"{requests:g}", "flipped slice": flipped or "none"}
                    | _cells("by slice", endings)
                    | {"failed by": ", ".join(f"{gate} {n}" for gate, n in by_gate.items())}
                )
                PROGRESS.print(rows[-1])
                save("canary-slice-scores", rows, facts)
    show("canary-slice-scores", rows, facts)


@app.command("stops")
def protective_stops(
    number: Annotated[int, typer.Option(help="Rollouts of each cell.")] = 300,
    rate: Annotated[list[float] | None, typer.Option(help="Requests per second.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first rollout.")] = 1,
) -> None:
    """How often the protective stop stops an identical canary, and how soon a broken one.

    Example: `python -m tests.simulations canary stops --number 50`
    """
    facts, rules = {"seed": seed, "number": number}, RolloutRules()
    rows: list[dict[str, object]] = []
    seeds = range(seed, seed + number)
    for requests in rate or [20.0, 100.0, 1_000.0]:
        for mixture in IDENTICAL:
            counted = [stops(mixture, requests, one, rules) for one in seeds]
            ended = sum(count > rules.ejection.max_ejections for count in counted)
            rows.append(_stop_row(requests, f"identical, {mixture.name}"))
            rows[-1] |= {"stopped": sum(map(bool, counted)), "ended by it": ended}
            PROGRESS.print(rows[-1])
        for name, fault in FAULTS.items():
            scrapes = [seconds_to_stop(fault, requests, one, rules) for one in seeds]
            rows.append(_stop_row(requests, f"{name}, at 50 %"))
            rows[-1] |= {"scrapes until stopped": _quantiles(scrapes)}
            PROGRESS.print(rows[-1])
        save("canary-stops", rows, facts)
    show("canary-stops", rows, facts)


def _stop_row(rate: float, traffic: str) -> dict[str, object]:
    columns = ("stopped", "ended by it", "scrapes until stopped")
    return {"rate": f"{rate:g}", "traffic": traffic, **dict.fromkeys(columns, "-")}


def run_scores(task: tuple[float, str, int]) -> SliceEnding:
    """One rollout that is judged by scores and labels."""
    rate, flipped, seed = task
    return sliced_scores(rate, flipped, seed)


def run_sliced(task: SliceTask) -> Ending:
    """One rollout of requests in slices."""
    judged, family, harm, rate, seconds, look, seed = task
    traffic = Traffic.draw(
        family, harm, rate=rate, seconds=seconds, seed=seed, sliced=True, before=BEFORE_SECONDS
    )
    named = SliceRules(header="x-tenant", values=tuple(SLICES)) if judged else NO_SLICES
    return ours(traffic, RolloutRules(slices=named), seconds=seconds, look_seconds=look)


def _seconds(judge: str, endings: list[Ending]) -> dict[str, object]:
    promoted = [ending.seconds for ending in endings if ending.result == "promoted"]
    return {f"{judge}: seconds until promotion": _quantiles(promoted)}


def run(task: Task) -> Ending:
    """One rollout."""
    judge, family, harm, rate, seconds, seed = task
    before = BEFORE_SECONDS if judge == "ours" else 0
    traffic = Traffic.draw(family, harm, rate=rate, seconds=seconds, seed=seed, before=before)
    return JUDGES[judge](traffic, RolloutRules(), seconds=seconds)


def _cells(judge: str, endings: Sequence[Ending | SliceEnding]) -> dict[str, object]:
    ended = Counter(ending.result for ending in endings)
    shares = ", ".join(f"{result} {n / len(endings):.0%}" for result, n in ended.most_common())
    exposed = [ending.exposed for ending in endings if ending.result == "failed"]
    return {judge: shares, f"{judge}: requests until fail": _quantiles(exposed)}


def _quantiles(values: list[int]) -> str:
    if not values:
        return "-"
    half, ninety = np.percentile(values, [50, 90])
    return f"{half:,.0f} / {ninety:,.0f}"
