"""`python -m tests.study quiet`: simulate quiet days and compare false alarms with the budget.

Seeded: the same command prints the same figures. `--days` is what the cheapest arm gets; dearer
arms get fewer. Results go to `.driftline/study/quiet.json` as well.
"""

from __future__ import annotations

import dataclasses
import json
import time
from math import inf
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.peers.peer import Peer
from tests.study.arms import ARMS
from tests.study.changes import CHANGES
from tests.study.power import measure as delays
from tests.study.quiet import measure

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
OUT = Path(".driftline") / "study"


@app.callback()
def study() -> None:
    """Simulations of the judgement."""


@app.command()
def quiet(
    scale: Annotated[float, typer.Option(help="Of the days of every arm.")] = 1.0,
    only: Annotated[str, typer.Option(help="Arms whose name contains this.")] = "",
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
) -> None:
    """False alarms on days on which nothing changes.

    Example: `python -m tests.study quiet --scale 0.1 --only wobble`
    """
    talk = Console(stderr=True)
    table = Table("arm", "days", "allowed", "seen", "ratio", "95 % interval", "lanes", "seconds")
    results = []
    for place, arm in enumerate(ARMS):
        if only not in arm.name:
            continue
        began = time.process_time()
        found_rate, found = measure(arm, days=max(1, round(arm.days * scale)), seed=seed + place)
        took = time.process_time() - began
        talk.print(f"{arm.name}: {found_rate.ratio:.2f} ({took:.0f} s)")
        talk.print(f"  {found.tests.most_common(12)}")
        table.add_row(
            arm.name,
            str(found.days),
            f"{found_rate.expected:.0f}",
            str(found_rate.observed),
            f"{found_rate.ratio:.2f}",
            f"{found_rate.low:.2f} – {found_rate.high:.2f}",
            " ".join(f"{lane} {count}" for lane, count in sorted(found.begun.items())),
            f"{took:.0f}",
        )
        results.append(
            {
                "arm": dataclasses.asdict(arm),
                "days": found.days,
                **dataclasses.asdict(found_rate),
                "lanes": found.begun,
                "tests": found.tests,
            }
        )
    Console(width=140).print(table)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "quiet.json").write_text(json.dumps({"seed": seed, "arms": results}, indent=1))


@app.command()
def power(
    trials: Annotated[int, typer.Option(help="Streams for each change and size.")] = 100,
    only: Annotated[str, typer.Option(help="Changes whose name contains this.")] = "",
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
) -> None:
    """Windows until a change is found, beside other detectors at the same budget.

    Example: `python -m tests.study power --trials 20 --only ramp`
    """
    talk, rows = Console(stderr=True), []
    with Peer("river", OUT / "river.log") as peer:
        for change in CHANGES:
            if only in change.name:
                for size in (1_000, 10_000):
                    began = time.process_time()
                    rows += delays(change, size, trials=trials, seed=seed, peer=peer)
                    talk.print(f"{change.name}, {size:,} rows: {time.process_time() - began:.0f} s")
    detectors = list(dict.fromkeys(one.detector for one in rows))
    table = Table("change", "rows", *detectors)
    for name, size in dict.fromkeys((one.change, one.rows) for one in rows):
        own = {o.detector: o.windows for o in rows if (o.change, o.rows) == (name, size)}
        cells = [_windows(own.get(detector)) for detector in detectors]
        table.add_row(name, f"{size:,}", *cells)
    Console(width=140).print(table)
    OUT.mkdir(parents=True, exist_ok=True)
    found = [dataclasses.asdict(one) for one in rows]
    (OUT / "power.json").write_text(json.dumps({"seed": seed, "delays": found}, indent=1))


def _windows(median: float | None) -> str:
    if median is None:
        return "–"
    return "never" if median == inf else f"{median:g}"


if __name__ == "__main__":
    app()
