"""`driftline drift`: the latest verdicts, per feature."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from deploy import history
from deploy.output import Json, Model, data, exits, show_json, table
from deploy.wiring import House
from streaming.contracts.errors import NotFound
from streaming.contracts.records import DriftVerdict

COLOURS = {"stable": "green", "suspected": "yellow", "drifted": "red", "inconclusive": "dim"}


def add_to(root: typer.Typer) -> None:
    """Hang the command under `driftline`."""
    root.command()(drift)


def drift(
    context: typer.Context,
    model: Model,
    last: Annotated[int, typer.Option(min=1, help="How many windows.")] = 10,
    json: Json = False,
) -> None:
    """Show the latest verdicts, and the newest window's features.

    Example: `driftline drift big_tipper --last 5`
    """
    with exits():
        house = House.load(context.obj)
        house.settings_of(model)
        with house.log() as log:
            found = history.records(log, DriftVerdict, model)[-last:]
        if not found:
            raise NotFound(f"No window of {model} was judged yet; `driftline job status {model}`.")
    if json:
        show_json(found)
        return
    data.print(_windows(model, found))
    data.print(_features(found[-1]))


def _windows(model: str, verdicts: list[DriftVerdict]) -> Table:
    shown = table(f"windows of {model}", "end", ">rows", "verdict", "against", "because")
    for verdict in verdicts:
        end = datetime.fromtimestamp(verdict.window_end, UTC).strftime("%H:%M:%S")
        against = f"version {verdict.reference_version}" if verdict.reference_version else "–"
        shown.add_row(end, str(verdict.rows), _outcome(verdict.outcome), against, verdict.reason)
    return shown


def _features(verdict: DriftVerdict) -> Table:
    shown = table(
        "the newest window", "feature", "verdict", ">effect sd", ">p", ">limit", ">n", "hits"
    )
    worst_first = sorted(verdict.features, key=lambda feature: -abs(feature.effect))
    for feature in worst_first:
        shown.add_row(
            feature.feature,
            _outcome(feature.outcome),
            f"{feature.effect:+.2f}",
            f"{feature.p:.2g}",
            f"{feature.p_limit:.2g}",
            str(feature.n),
            f"{feature.hits} of {feature.of}",
        )
    return shown


def _outcome(outcome: str) -> str:
    return f"[{COLOURS[outcome]}]{outcome}[/]"
