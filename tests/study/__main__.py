"""`python -m tests.study quiet`: simulate quiet days and compare false alarms with the budget.

Seeded: the same command prints the same figures. `--days` is what the cheapest arm gets; dearer
arms get fewer. Results go to `.driftline/study/quiet.json` as well.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.study.quiet import ARMS, measure

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
OUT = Path(".driftline") / "study"


@app.callback()
def study() -> None:
    """Simulations of the judgement."""


@app.command()
def quiet(
    days: Annotated[int, typer.Option(help="Quiet days of the cheapest arm.")] = 300,
    alarms: Annotated[float, typer.Option(help="False alarms allowed in 30 days.")] = 10.0,
    only: Annotated[str, typer.Option(help="Arms whose name contains this.")] = "",
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
) -> None:
    """False alarms on days on which nothing changes.

    Example: `python -m tests.study quiet --days 1000 --alarms 1`
    """
    talk = Console(stderr=True)
    table = Table("arm", "allowed", "seen", "ratio", "95 % interval", "seconds")
    found = []
    for place, arm in enumerate(ARMS):
        if only not in arm.name:
            continue
        began = time.monotonic()
        rate = measure(arm, days=days, alarms=alarms, seed=seed + place)
        took = time.monotonic() - began
        talk.print(f"{arm.name}: {rate.ratio:.2f} ({took:.0f} s)")
        table.add_row(
            arm.name,
            f"{rate.expected:.0f}",
            str(rate.observed),
            f"{rate.ratio:.2f}",
            f"{rate.low:.2f} – {rate.high:.2f}",
            f"{took:.0f}",
        )
        found.append({"arm": dataclasses.asdict(arm), **dataclasses.asdict(rate)})
    Console().print(table)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "quiet.json").write_text(json.dumps({"alarms": alarms, "arms": found}, indent=1))


if __name__ == "__main__":
    app()
