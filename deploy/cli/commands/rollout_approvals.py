"""`driftline rollout approvals | approve | reject`: what people decide on, and their decision.

A decision carries the id of the request and the digest of what was shown here; the daemon refuses
it when either is not the present one any more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, UsageError, Yes, command, confirm, refused
from deploy.cli.shared.completion import complete_model
from deploy.views.output import show_json, stderr, stdout
from streaming.contracts.errors import Conflict
from streaming.contracts.records import Action

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.records.approvals import Approval, Review
    from streaming.contracts.log import RecordLog

BY_HAND = "by hand"
"""The reason of a command that was given without one."""

Request = Annotated[
    str, typer.Option(help="Id of the request, or its beginning; default: the open one.")
]
Version = Annotated[int | None, typer.Option(min=1, help="The version; refused if it is another.")]
Digest = Annotated[
    str, typer.Option(help="Digest that was reviewed; refused if the request has another.")
]


@command
def approvals(
    deployment: Deployment,
    model: Annotated[
        str | None,
        typer.Argument(
            help="Name of the model; default: all models.", autocompletion=complete_model
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="Number of requests.")] = 20,
    json: Json = False,
) -> None:
    """List what people were asked to approve, what they said, and what is open.

    Example: `driftline rollout approvals big_tipper`
    """
    from deploy.records import approvals as reading
    from deploy.views.approvals import approvals_table

    if model is not None:
        deployment.settings_of(model)
    with deployment.log() as log:
        entries = reading.approvals(log, model, last)
    if json:
        show_json([_as_data(entry) for entry in entries])
        return
    if not entries:
        stdout.print("Nobody was asked to approve anything yet.")
        return
    stdout.print(approvals_table(entries, now=time.time()))
    for entry in entries:
        if entry.outcome is None:
            name = entry.request.model
            stderr.print(f"`driftline rollout approve {name}` shows what is asked.", soft_wrap=True)


def _as_data(entry: Approval) -> dict[str, object]:
    return {
        "state": entry.state,
        "request": entry.request,
        "decisions": entry.decisions,
        "outcome": entry.outcome,
    }


@command
def approve(
    deployment: Deployment,
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the decision.")] = BY_HAND,
    request: Request = "",
    version: Version = None,
    digest: Digest = "",
    force: Annotated[
        bool,
        typer.Option("--force", help="Also without the evidence; needs --reason, kept with it."),
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show what is asked, and let the version continue; bound to the digest that is shown.

    Example: `driftline rollout approve big_tipper --reason "The slices look right"`
    """
    from deploy.records.commands import current_user
    from serving.approvals import may_approve

    deployment.settings_of(model)
    if force and reason == BY_HAND:
        raise UsageError("--force needs a --reason; both are kept with the decision.")
    with deployment.log() as log:
        shown = _review(deployment, log, model, request, version, digest)
        asked_of = shown.approval.request
        approved_by = shown.approval.approved_by
        barrier = may_approve(asked_of, current_user(), approved_by=approved_by)
        if barrier:
            raise refused(barrier)
        number = len(approved_by) + 1
        first = "If you say yes"
        if number < asked_of.people:
            first = f"Your yes is {number} of {asked_of.people}. When all of them have said yes"
        confirm(f"{first}: {asked_of.on_yes}", yes=yes)
        _decide(log, shown, "approve", reason, force=force, json=json)


@command
def reject(
    deployment: Deployment,
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the decision.")] = "",
    request: Request = "",
    version: Version = None,
    digest: Digest = "",
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show what is asked, and do not let the version continue; needs a reason.

    Example: `driftline rollout reject big_tipper --reason "Night trips got worse"`
    """
    deployment.settings_of(model)
    if not reason.strip():
        raise UsageError("A rejection needs a --reason; it is kept with the decision.")
    with deployment.log() as log:
        shown = _review(deployment, log, model, request, version, digest)
        confirm(f"If you say no: {shown.approval.request.on_no}", yes=yes)
        _decide(log, shown, "reject", reason, json=json)


def _review(
    deployment: Deployment,
    log: RecordLog,
    model: str,
    request: str,
    version: int | None,
    digest: str,
) -> Review:
    """Show what the open request is about; it is compared with the request's digests."""
    from deploy.records import approvals as reading
    from deploy.views.approvals import decision_lines

    opened = reading.open_approval(log, model, request=request, version=version)
    known = (opened.request.digest, opened.request.artifact)
    if digest and digest not in known:
        raise Conflict(
            f"Version {opened.request.version} of {model} has the digest {known[0]}, not {digest}; "
            f"`driftline rollout approvals {model}` shows what is open."
        )
    shown = reading.review(log, opened)
    for line in decision_lines(shown, now=time.time()):
        stderr.print(line, soft_wrap=True)
    return shown


def _decide(
    log: RecordLog,
    shown: Review,
    action: Action,
    reason: str,
    *,
    json: bool,
    force: bool = False,
) -> None:
    """Send the decision on what was shown, and print the daemon's reply."""
    from deploy.records import commands

    request = shown.approval.request
    decision = commands.new_command(
        request.model,
        action,
        reason,
        at=time.time(),
        version=request.version,
        subject=request.record_id,
        digest=request.digest,
        force=force,
    )
    reply = commands.send_command(log, decision, timeout=commands.REPLY_SECONDS)
    if not reply.accepted:
        raise refused(reply.reason)
    if json:
        show_json(reply)
    stderr.print(
        f"accepted: version {request.version} of {request.model}: {reply.reason}", soft_wrap=True
    )


def register(app: typer.Typer) -> None:
    """Add the commands to `driftline rollout`."""
    app.command()(approvals)
    app.command()(approve)
    app.command()(reject)
