"""`driftline retrain`: ask for a retrain by hand, and wait for what comes of it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from deploy.app.deployment import Deployment
from deploy.records import commands
from deploy.views.output import Json, Model, exits, show_json, talk
from streaming.contracts.errors import Conflict, GateFailedError
from streaming.contracts.records import Command, ModelVersion


def add_to(root: typer.Typer) -> None:
    """Hang the command under `driftline`."""
    root.command()(retrain)


def retrain(
    context: typer.Context,
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; it stays with the version for ever.")],
    start: Annotated[
        float | None, typer.Option("--from", help="Train on events from here on (s since 1970).")
    ] = None,
    stop: Annotated[float | None, typer.Option("--to", help="... up to here.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the version is there.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 1800.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked.")] = False,
    json: Json = False,
) -> None:
    """Ask for a retrain; the policy answers whether it starts, and why not.

    Example: `driftline retrain big_tipper --reason "new tariff" --wait`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        deployment.settings_of(model)
        command = commands.command(
            model, "retrain", reason, at=time.time(), window_start=start, window_end=stop
        )
        if dry_run:
            show_json(command)
            return
        _ask(deployment, command, wait=wait, timeout=timeout, json=json)


def _ask(
    deployment: Deployment, command: Command, *, wait: bool, timeout: float, json: bool
) -> None:
    deadline = time.time() + timeout
    with deployment.log() as log:
        answer = commands.ask(log, command, timeout=min(timeout, 60.0))
        talk.print(f"{'accepted' if answer.accepted else 'refused'}: {answer.reason}")
        if not answer.accepted:
            raise Conflict(answer.reason)
        if not wait:
            if json:
                show_json(answer)
            return
        outcome = commands.outcome(log, answer, deadline=deadline, say=talk.print)
    if json:
        show_json(outcome)
    if not isinstance(outcome, ModelVersion):
        raise GateFailedError(f"{outcome.component} failed: {outcome.reason} {outcome.advice}")
    talk.print(f"version {outcome.version}: {outcome.reason}")
    if not outcome.blessed:
        raise GateFailedError(f"Version {outcome.version} is not blessed: {outcome.reason}")
