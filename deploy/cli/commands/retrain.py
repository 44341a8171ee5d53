"""`driftline retrain`: request a retrain, and wait for its version."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, UsageError, command, fail, refused
from deploy.views.escapes import one_line
from deploy.views.output import show_json, stderr
from streaming.contracts.errors import Conflict, GateFailedError
from streaming.contracts.records import Command, ModelVersion

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


@command
def retrain(
    deployment: Deployment,
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the version.")],
    start: Annotated[
        float | None,
        typer.Option("--from", help="Train on events since this time (seconds since 1970)."),
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--to", help="Train on events before this time.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the version.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 1800.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the command without sending it.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End the retrain that is queued or running.")
    ] = False,
    json: Json = False,
) -> None:
    """Request a retrain; the policy replies whether it starts, and why not.

    With --cancel end the one that is queued or running; `driftline queue` shows it.

    Example: `driftline retrain big_tipper --reason "new tariff" --wait`
    """
    from deploy.records import commands

    deployment.settings_of(model)
    if cancel:
        if wait or start is not None or stop is not None:
            raise UsageError("--cancel ends the retrain in flight: leave --wait, --from and --to.")
        _cancel(deployment, model, reason, dry_run=dry_run, timeout=timeout, json=json)
        return
    request = commands.new_command(
        model, "retrain", reason, at=time.time(), window_start=start, window_end=stop
    )
    if dry_run:
        show_json(request)
    else:
        _send(deployment, request, wait=wait, timeout=timeout, json=json)


def _cancel(
    deployment: Deployment, model: str, reason: str, *, dry_run: bool, timeout: float, json: bool
) -> None:
    from deploy.records import commands

    order = commands.new_command(model, "cancel-retrain", reason, at=time.time())
    if dry_run:
        show_json(order)
        return
    with deployment.log() as log:
        reply = commands.send_command(log, order, timeout=min(timeout, commands.REPLY_SECONDS))
    if not reply.accepted:
        raise refused(reply.reason)
    stderr.print(one_line(f"accepted: {reply.reason}"))
    if json:
        show_json(reply)


def _send(
    deployment: Deployment, request: Command, *, wait: bool, timeout: float, json: bool
) -> None:
    from deploy.records import commands

    deadline = time.monotonic() + timeout
    with deployment.log() as log:
        reply = commands.send_command(log, request, timeout=min(timeout, commands.REPLY_SECONDS))
        if not reply.accepted:
            raise refused(reply.reason)
        stderr.print(one_line(f"accepted: {reply.reason}"))
        if not wait:
            if json:
                show_json(reply)
            return
        result = commands.await_retrain(log, reply, deadline=deadline, say=stderr.print)
    if json:
        show_json(result)
    if not isinstance(result, ModelVersion):
        if result.outcome == "insufficient":
            fail(GateFailedError(f"No version yet. {result.reason} {result.advice}"))
        if result.outcome == "cancelled":
            fail(Conflict(f"No version. {result.reason}"))
        fail(GateFailedError(f"{result.component} failed: {result.reason} {result.advice}"))
    stderr.print(one_line(f"version {result.version}: {result.reason}"))
    if not result.blessed:
        fail(GateFailedError(f"Version {result.version} is not blessed: {result.reason}"))
