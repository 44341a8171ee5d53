"""`driftline schema accept | reject | history | show | diff`: the versions of a schema."""

from __future__ import annotations

import time
from difflib import unified_diff
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, Yes, command, confirm, refused
from deploy.views.output import format_time, show_json, stderr, stdout, table
from streaming.contracts.records import Action, SchemaProposal

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

Proposal = Annotated[str, typer.Argument(help="The proposal's id, or its beginning.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the log.")]


@command
def accept(
    deployment: Deployment,
    proposal: Proposal,
    reason: Reason,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make a proposal the next version of the schema; exit code 5 when it is refused.

    The stream job checks its next windows against it, and the next retrain uses it.

    Example: `driftline schema accept 3f2a --reason "a new way to pay"`
    """
    _decide(deployment, "accept-schema", proposal, reason, yes=yes, json=json)


@command
def reject(deployment: Deployment, proposal: Proposal, reason: Reason, json: Json = False) -> None:
    """Reject a proposal: its changes are not proposed again while the schema stays as it is.

    Example: `driftline schema reject 3f2a --reason "a bug of the producer"`
    """
    _decide(deployment, "reject-schema", proposal, reason, yes=True, json=json)


@command
def history(deployment: Deployment, model: Model, json: Json = False) -> None:
    """List the versions of a model's schema, and the proposals that await a decision.

    Example: `driftline schema history big_tipper`
    """
    from deploy.records import schemas

    deployment.settings_of(model)
    with deployment.log() as log:
        versions = schemas.versions(log, model)
        waiting = [entry for entry in schemas.proposals(log, model) if entry.state == "open"]
    if json:
        show_json({"versions": versions, "open": waiting})
        return
    shown = table(f"schema of {model}", ">version", "since", "digest", "accepted by", "reason")
    for version in versions:
        shown.add_row(
            str(version.version),
            format_time(version.at),
            version.digest[:12],
            version.accepted_by,
            version.reason,
        )
    stdout.print(shown if versions else "No version yet: the model's file is in force.")
    for proposal in waiting:
        stdout.print(f"open: {proposal.proposal_id}: {proposal.reason}")


@command
def show(
    deployment: Deployment,
    model: Model,
    version: Annotated[
        int | None, typer.Argument(help="Version number; default: the version in force.")
    ] = None,
    json: Json = False,
) -> None:
    """Print a version's text, which TFDV reads.

    Example: `driftline schema show big_tipper 2`
    """
    from deploy.records import schemas

    deployment.settings_of(model)
    with deployment.log() as log:
        numbered = schemas.numbered(deployment, log, model, version)
    if json:
        show_json(numbered)
        return
    stderr.print(f"version {numbered.version}, by {numbered.accepted_by}: {numbered.reason}")
    stdout.print(numbered.text, end="", soft_wrap=True)


@command
def diff(
    deployment: Deployment,
    model: Model,
    old: Annotated[int, typer.Argument(help="Version number.")],
    new: Annotated[int, typer.Argument(help="Version number to compare with.")],
    json: Json = False,
) -> None:
    """Compare two versions of a model's schema.

    Example: `driftline schema diff big_tipper 1 2`
    """
    from deploy.records import schemas
    from streaming.engines.tfdv import schema_text

    deployment.settings_of(model)
    with deployment.log() as log:
        pair = [schemas.numbered(deployment, log, model, number) for number in (old, new)]
    texts = [schema_text.apply_changes(version.text, ()).splitlines() for version in pair]
    lines = list(unified_diff(texts[0], texts[1], f"version {old}", f"version {new}", lineterm=""))
    if json:
        show_json({"old": pair[0].digest, "new": pair[1].digest, "diff": lines})
        return
    stdout.print("\n".join(lines) or "The two versions are equivalent.", soft_wrap=True)


def _decide(
    deployment: Deployment, action: Action, prefix: str, reason: str, *, yes: bool, json: bool
) -> None:
    from deploy.records import commands, schemas

    with deployment.log() as log:
        proposal = schemas.proposal(log, prefix)
        if action == "accept-schema":
            confirm(_consequence(proposal), yes=yes)
        request = commands.new_command(
            proposal.model,
            action,
            reason,
            at=time.time(),
            digest=proposal.digest,
            subject=proposal.proposal_id,
        )
        reply = commands.send_command(log, request, timeout=commands.REPLY_SECONDS)
    if not reply.accepted:
        raise refused(reply.reason)
    if json:
        show_json(reply)
    stderr.print(f"done: {reply.reason}")


def _consequence(proposal: SchemaProposal) -> str:
    changes = ", ".join(
        f"{change.act.replace('_', ' ')} {change.feature}" for change in proposal.changes
    )
    return (
        f"Version {proposal.base_version + 1} of the schema of {proposal.model} comes into force: "
        f"{changes}. The stream job checks its next windows against it, and the next retrain "
        "uses it."
    )


def register(group: typer.Typer) -> None:
    """Add these commands to `driftline schema`."""
    for function in (accept, reject, history, show, diff):
        group.command()(function)
