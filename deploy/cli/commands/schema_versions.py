"""`driftline schema accept | reject | history | show | diff`: the versions of a schema."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from difflib import unified_diff
from typing import Annotated

import typer

from deploy.app.deployment import Deployment
from deploy.records import commands as asking
from deploy.records import schemas
from deploy.views.output import Json, Model, data, exits, show_json, table, talk
from streaming.contracts.errors import Conflict
from streaming.contracts.records import Action

Proposal = Annotated[str, typer.Argument(help="The proposal's id, or its beginning.")]
Reason = Annotated[str, typer.Option(help="Why; it stays in the log.")]
TIMEOUT_SECONDS = 60.0


def add_to(commands: typer.Typer) -> None:
    """Hang the commands under `driftline schema`."""
    for command in (accept, reject, history, show, diff):
        commands.command()(command)


def accept(context: typer.Context, proposal: Proposal, reason: Reason, json: Json = False) -> None:
    """Make a proposal the next version of the schema; exit code 5 when it is refused.

    The stream job holds its next windows against it, and the next retrain is trained under it.
    Example: `driftline schema accept 3f2a --reason "a new way to pay"`
    """
    _decide(context, "accept-schema", proposal, reason, json)


def reject(context: typer.Context, proposal: Proposal, reason: Reason, json: Json = False) -> None:
    """Put a proposal away: its changes are not offered again while the schema stays as it is.

    Example: `driftline schema reject 3f2a --reason "a bug of the producer"`
    """
    _decide(context, "reject-schema", proposal, reason, json)


def history(context: typer.Context, model: Model, json: Json = False) -> None:
    """List the versions of a model's schema, and the proposals that await a decision.

    Example: `driftline schema history big_tipper`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        deployment.settings_of(model)
        with deployment.log() as log:
            found = schemas.versions(log, model)
            asked = [one for one in schemas.proposals(log, model) if one.state == "open"]
    if json:
        show_json({"versions": found, "open": asked})
        return
    shown = table(f"schema of {model}", ">version", "since", "digest", "by", "because")
    for one in found:
        since = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        shown.add_row(str(one.version), since, one.digest[:12], one.accepted_by, one.reason)
    data.print(shown if found else "No version yet: the model's file is in force.")
    for offer in asked:
        data.print(f"open: {offer.proposal_id}: {offer.reason}", markup=False)


def show(
    context: typer.Context,
    model: Model,
    version: Annotated[int | None, typer.Argument(help="Default: the one in force.")] = None,
    json: Json = False,
) -> None:
    """Print a version's text, which TFDV reads.

    Example: `driftline schema show big_tipper 2`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        with deployment.log() as log:
            found = schemas.numbered(deployment, log, model, version)
    if json:
        show_json(found)
        return
    talk.print(f"version {found.version}, by {found.accepted_by}: {found.reason}", markup=False)
    data.print(found.text, markup=False, end="")


def diff(
    context: typer.Context,
    model: Model,
    old: Annotated[int, typer.Argument(help="A version.")],
    new: Annotated[int, typer.Argument(help="Another one.")],
    json: Json = False,
) -> None:
    """Compare two versions of a model's schema.

    Example: `driftline schema diff big_tipper 1 2`
    """
    from streaming.engines.tfdv import schema_text

    with exits():
        deployment = Deployment.load(context.obj)
        with deployment.log() as log:
            pair = [schemas.numbered(deployment, log, model, number) for number in (old, new)]
        texts = [schema_text.changed(one.text, ()).splitlines() for one in pair]
    lines = list(unified_diff(texts[0], texts[1], f"version {old}", f"version {new}", lineterm=""))
    if json:
        show_json({"old": pair[0].digest, "new": pair[1].digest, "diff": lines})
        return
    data.print("\n".join(lines) or "They promise the same.", markup=False)


def _decide(context: typer.Context, action: Action, proposal: str, reason: str, json: bool) -> None:
    with exits():
        deployment = Deployment.load(context.obj)
        with deployment.log() as log:
            about = schemas.proposal(log, proposal)
            wanted = asking.command(
                about.model,
                action,
                reason,
                at=time.time(),
                digest=about.digest,
                subject=about.proposal_id,
            )
            answer = asking.ask(log, wanted, timeout=TIMEOUT_SECONDS)
        if json:
            show_json(answer)
        talk.print(f"{'done' if answer.accepted else 'refused'}: {answer.reason}", markup=False)
        if not answer.accepted:
            raise Conflict(answer.reason)
