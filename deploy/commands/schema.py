"""`driftline schema`: what the newest windows say against the schema, and what would fit them."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from deploy import history
from deploy.output import Json, Model, data, exits, show_json, table, talk
from deploy.wiring import House
from streaming.contracts.errors import Conflict, GateFailed, Misconfigured, NotFound
from streaming.contracts.records import SchemaVerdict, WindowSummary
from streaming.engines import schema_file
from streaming.schema import check, limits, propose

COLOURS = {"conforms": "green", "suspected": "yellow", "broken": "red", "inconclusive": "dim"}

commands = typer.Typer(help="Check windows against the schema and propose its next form.")


def add_to(root: typer.Typer) -> None:
    """Hang the commands under `driftline`."""
    root.add_typer(commands, name="schema", no_args_is_help=True)


def _judged(context: typer.Context, model: str) -> tuple[Path, SchemaVerdict]:
    house = House.load(context.obj)
    path = house.contract(model).schema_path
    if not path:
        raise Misconfigured(f"{model} has no schema; put a schema.pbtxt beside its code.")
    with house.log() as log:
        windows = history.records(log, WindowSummary, model)
    if not windows:
        raise NotFound(f"{model} has no window yet; `driftline job status {model}`.")
    windows.sort(key=lambda window: window.window_start)
    schema, seconds = schema_file.read(Path(path)), house.contract(model).window_seconds
    allowed = limits(house.drift_rules(model), columns=len(schema.columns), window_seconds=seconds)
    return Path(path), check(schema, windows, allowed)


@commands.command("check")
def check_(context: typer.Context, model: Model, json: Json = False) -> None:
    """Judge the newest windows against the schema; exit code 4 when a column is broken.

    Example: `driftline schema check big_tipper`
    """
    with exits():
        _, report = _judged(context, model)
        if json:
            show_json(report)
        else:
            _show(model, report)
        if report.outcome == "broken":
            raise GateFailed(report.reason)


@commands.command("propose")
def propose_(
    context: typer.Context,
    model: Model,
    write: Annotated[
        Path | None, typer.Option(help="Write the schema with the safe changes to a new file.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the smallest change of the schema that would fit what lasts, as a diff.

    Nothing takes effect by itself: review the written file, put it in place of the model's
    schema.pbtxt, then restart the stream job and the worker. Example: `driftline schema propose
    big_tipper --write next.pbtxt`
    """
    with exits():
        path, report = _judged(context, model)
        changes = propose(report)
        text = schema_file.changed(schema_file.text_of(path), changes)
        if write is not None:
            if write.exists():
                raise Conflict(f"{write} exists; name a new file.")
            write.write_text(text)
            talk.print(f"Written to {write}.")
    if json:
        show_json({"base": report.schema_digest, "changes": changes})
        return
    shown = table(f"proposed for {model}", "change", "column", "by itself", "because", "cost")
    for one in changes:
        safe = "yes" if one.safe else "no"
        shown.add_row(one.act.replace("_", " "), one.feature, safe, one.reason, one.cost)
    data.print(shown if changes else f"Nothing to change: {report.outcome}. {report.reason}")
    before = schema_file.changed(schema_file.text_of(path), ()).splitlines()
    diff = unified_diff(before, text.splitlines(), path.name, "proposed", lineterm="")
    data.print("\n".join(diff), markup=False)


def _show(model: str, report: SchemaVerdict) -> None:
    data.print(f"[{COLOURS[report.outcome]}]{report.outcome}[/] ", end="")
    data.print(report.reason, markup=False)
    shown = table(
        f"schema of {model}", "finding", "column", "verdict", ">hits", ">share", "because"
    )
    for one in report.findings:
        share = "–" if one.value is None else f"{one.value:.2%}"
        reason = one.reason + (f" ({', '.join(one.values)})" if one.values else "")
        shown.add_row(
            one.kind.replace("_", " "), one.feature, one.outcome, str(one.hits), share, reason
        )
    if report.findings:
        data.print(shown)
