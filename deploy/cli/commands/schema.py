"""`driftline schema check | propose`: the newest verdict on the schema, and a change that fits."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.commands import schema_versions
from deploy.cli.shared.command import Json, Model, command, fail
from deploy.views.output import outcome_text, show_json, stderr, stdout, table
from streaming.contracts.errors import Conflict, GateFailedError
from streaming.contracts.records import SchemaChange, SchemaProposal, SchemaVerdict

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

app = typer.Typer(
    no_args_is_help=True, help="A model's schema: check it, change it, follow its versions."
)


@app.command("check")
@command
def check_(deployment: Deployment, model: Model, json: Json = False) -> None:
    """Show the newest window's verdict on the schema; exit code 4 when a column is broken.

    Example: `driftline schema check big_tipper`
    """
    from deploy.records import schemas

    deployment.settings_of(model)
    with deployment.log() as log:
        report = schemas.verdict(deployment, log, model)
    if json:
        show_json(report)
    else:
        _show(report)
    if report.outcome == "broken":
        fail(
            GateFailedError(
                f"The schema of {model} is broken; `driftline schema propose {model}` "
                "shows what would fit."
            )
        )


@app.command("propose")
@command
def propose_(
    deployment: Deployment,
    model: Model,
    write: Annotated[
        Path | None, typer.Option(help="Write the schema with the safe changes to a new file.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the smallest change of the schema that fits the persistent findings, as a diff.

    The daemon publishes it with an id that `driftline schema accept` takes. `--write` is for those
    who would rather edit the schema beside the model's code.

    Example: `driftline schema propose big_tipper --write next.pbtxt`
    """
    from deploy.records import schemas
    from streaming.engines.tfdv import schema_text
    from streaming.schema import propose

    deployment.settings_of(model)
    with deployment.log() as log:
        base = schemas.current(deployment, log, model)
        report = schemas.verdict(deployment, log, model)
        waiting = [entry for entry in schemas.proposals(log, model) if entry.state == "open"]
    proposal = waiting[-1] if waiting and waiting[-1].base_digest == base.digest else None
    changes = proposal.changes if proposal else propose(report)
    text = schema_text.apply_changes(base.text, changes)
    if write is not None:
        if write.exists():
            raise Conflict(f"{write} exists; name a new file.")
        write.write_text(text)
        stderr.print(f"Written to {write}.")
    if json:
        proposal_id = proposal.proposal_id if proposal else ""
        show_json({"id": proposal_id, "base": base.digest, "changes": changes})
        return
    if not changes:
        stdout.print(f"Nothing to change: {report.outcome}. {report.reason}")
        return
    _show_changes(model, changes)
    before = schema_text.apply_changes(base.text, ()).splitlines()
    names = (f"version {base.version}", "proposed")
    stdout.print("\n".join(unified_diff(before, text.splitlines(), *names, lineterm="")))
    _show_next_step(proposal)


def _show_changes(model: str, changes: tuple[SchemaChange, ...]) -> None:
    shown = table(f"proposed for {model}", "change", "column", "safe", "reason", "cost")
    for change in changes:
        safe = "yes" if change.safe else "no"
        shown.add_row(
            change.act.replace("_", " "), change.feature, safe, change.reason, change.cost
        )
    stdout.print(shown)


def _show_next_step(proposal: SchemaProposal | None) -> None:
    if proposal is None:
        stderr.print("Not published yet: the daemon publishes it with the next window's verdict.")
        return
    for line in proposal.affects:
        stdout.print(f"affects: {line}")
    stderr.print(
        f"`driftline schema accept {proposal.proposal_id} --reason …` makes it the next version.",
        soft_wrap=True,
    )


def _show(report: SchemaVerdict) -> None:
    stdout.print(outcome_text(report.outcome), report.reason)
    title = f"{report.model} against version {report.schema_version} of its schema"
    shown = table(title, "finding", "column", "verdict", ">hits", ">value", ">limit", "reason")
    for finding in report.findings:
        unit = "sd" if finding.kind == "skew" else "%"
        values = f" ({', '.join(finding.values)})" if finding.values else ""
        shown.add_row(
            finding.kind.replace("_", " "),
            finding.feature,
            outcome_text(finding.outcome),
            f"{finding.hits} of {finding.of}",
            _figure(finding.value, unit),
            _figure(finding.limit, unit),
            finding.reason + values,
        )
    if report.findings:
        stdout.print(shown)


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:.2%}" if unit == "%" else f"{value:+.2f} sd"


schema_versions.register(app)
