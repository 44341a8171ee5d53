"""`driftline retrain`: ask for a retrain by hand, and wait for what comes of it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from deploy import asking
from deploy.output import Json, Model, exits, show_json, talk
from deploy.wiring import House
from streaming.contracts.errors import Conflict, GateFailed
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
        house = House.load(context.obj)
        house.settings_of(model)
        command = asking.command(
            model, "retrain", reason, at=time.time(), window_start=start, window_end=stop
        )
        if dry_run:
            show_json(command)
            return
        _ask(house, command, wait=wait, timeout=timeout, json=json)


def _ask(house: House, command: Command, *, wait: bool, timeout: float, json: bool) -> None:
    deadline = time.time() + timeout
    with house.log() as log:
        answer = asking.ask(log, command, timeout=min(timeout, 60.0))
        talk.print(f"{'accepted' if answer.accepted else 'refused'}: {answer.reason}")
        if not answer.accepted:
            raise Conflict(answer.reason)
        if not wait:
            if json:
                show_json(answer)
            return
        outcome = asking.outcome(log, answer, deadline=deadline, say=talk.print)
    if json:
        show_json(outcome)
    if not isinstance(outcome, ModelVersion):
        raise GateFailed(f"{outcome.component} failed: {outcome.reason} {outcome.advice}")
    talk.print(f"version {outcome.version}: {outcome.reason}")
    if not outcome.blessed:
        raise GateFailed(f"Version {outcome.version} is not blessed: {outcome.reason}")
