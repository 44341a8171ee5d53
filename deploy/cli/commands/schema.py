"""`driftline schema check | propose`: what windows say against the schema, and what would fit."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from deploy.app.deployment import Deployment
from deploy.cli.commands import schema_versions
from deploy.records import schemas
from deploy.views.output import Json, Model, data, exits, show_json, table, talk
from streaming.contracts.errors import Conflict, GateFailedError
from streaming.contracts.records import SchemaChange, SchemaProposal, SchemaVerdict
from streaming.engines.tfdv import schema_text
from streaming.schema import propose

COLOURS = {"conforms": "green", "suspected": "yellow", "broken": "red", "inconclusive": "dim"}

commands = typer.Typer(help="A model's schema: check it, change it, follow its versions.")


def add_to(root: typer.Typer) -> None:
    """Hang the commands under `driftline`."""
    schema_versions.add_to(commands)
    root.add_typer(commands, name="schema", no_args_is_help=True)


@commands.command("check")
def check_(context: typer.Context, model: Model, json: Json = False) -> None:
    """Show the newest window's verdict on the schema; exit code 4 when a column is broken.

    Example: `driftline schema check big_tipper`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        with deployment.log() as log:
            report = schemas.verdict(deployment, log, model)
        if json:
            show_json(report)
        else:
            _show(report)
        if report.outcome == "broken":
            raise GateFailedError(report.reason)


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

    The daemon publishes it with an id that `driftline schema accept` takes. `--write` is for those
    who would rather edit the schema beside the model's code. Example: `driftline schema propose
    big_tipper --write next.pbtxt`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        with deployment.log() as log:
            base = schemas.current(deployment, log, model)
            report = schemas.verdict(deployment, log, model)
            offers = [one for one in schemas.proposals(log, model) if one.state == "open"]
        offer = offers[-1] if offers and offers[-1].base_digest == base.digest else None
        changes = offer.changes if offer else propose(report)
        text = schema_text.changed(base.text, changes)
        if write is not None:
            if write.exists():
                raise Conflict(f"{write} exists; name a new file.")
            write.write_text(text)
            talk.print(f"Written to {write}.")
    if json:
        ident = offer.proposal_id if offer else ""
        show_json({"id": ident, "base": base.digest, "changes": changes})
        return
    if not changes:
        data.print(f"Nothing to change: {report.outcome}. {report.reason}")
        return
    _changes(model, changes)
    before = schema_text.changed(base.text, ()).splitlines()
    names = (f"version {base.version}", "proposed")
    diff = unified_diff(before, text.splitlines(), *names, lineterm="")
    data.print("\n".join(diff), markup=False)
    _next_step(offer)


def _changes(model: str, changes: tuple[SchemaChange, ...]) -> None:
    shown = table(f"proposed for {model}", "change", "column", "by itself", "because", "cost")
    for one in changes:
        safe = "yes" if one.safe else "no"
        shown.add_row(one.act.replace("_", " "), one.feature, safe, one.reason, one.cost)
    data.print(shown)


def _next_step(offer: SchemaProposal | None) -> None:
    if offer is None:
        talk.print("Not published yet: the daemon gives it an id with the next window's verdict.")
        return
    for line in offer.affects:
        data.print(f"affects: {line}", markup=False)
    talk.print(f"`driftline schema accept {offer.proposal_id} --reason …` makes it the next one.")


def _show(report: SchemaVerdict) -> None:
    data.print(f"[{COLOURS[report.outcome]}]{report.outcome}[/] ", end="")
    data.print(report.reason, markup=False)
    title = f"{report.model} against version {report.schema_version} of its schema"
    shown = table(title, "finding", "column", "verdict", ">hits", ">value", ">limit", "because")
    for one in report.findings:
        unit = "sd" if one.kind == "skew" else "%"
        reason = one.reason + (f" ({', '.join(one.values)})" if one.values else "")
        shown.add_row(
            one.kind.replace("_", " "),
            one.feature,
            one.outcome,
            f"{one.hits} of {one.of}",
            _figure(one.value, unit),
            _figure(one.limit, unit),
            reason,
        )
    if report.findings:
        data.print(shown)


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:.2%}" if unit == "%" else f"{value:+.2f} sd"
