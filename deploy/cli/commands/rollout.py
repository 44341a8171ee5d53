"""`driftline rollout`: see where a rollout stands, and steer it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from deploy.app.deployment import Deployment
from deploy.records import commands, reader
from deploy.views.output import Json, Model, data, exits, show_json, table, talk
from streaming.contracts.errors import Conflict, NotFoundError
from streaming.contracts.records import Action, CanaryVerdict, ModelVersion, RolloutStatus

app = typer.Typer(no_args_is_help=True, help="See and steer the rollout of a model.")

Reason = Annotated[str, typer.Option(help="Why; it stays in the log.")]
Version = Annotated[
    int, typer.Option(help="The version it is about; default: the one in question.")
]


def add_to(root: typer.Typer) -> None:
    """Hang the group under `driftline`."""
    root.add_typer(app, name="rollout")


@app.command()
def status(context: typer.Context, model: Model, json: Json = False) -> None:
    """Show the phase, the weight and the latest verdict with its gates.

    Example: `driftline rollout status big_tipper`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        deployment.settings_of(model)
        with deployment.log() as log:
            states = reader.records(log, RolloutStatus, model)
            verdicts = reader.records(log, CanaryVerdict, model)
        if not states:
            raise NotFoundError(
                f"{model} had no rollout yet; `driftline retrain {model} --reason …`."
            )
    newest = states[-1]
    mine = [verdict for verdict in verdicts if verdict.rollout_id == newest.rollout_id]
    if json:
        show_json({"status": newest, "verdict": mine[-1] if mine else None})
        return
    data.print(reader.sentence(newest))
    if newest.waits_for:
        data.print(f"waits for: {newest.waits_for}")
    if mine:
        _gates(mine[-1])


def _gates(verdict: CanaryVerdict) -> None:
    title = f"step {verdict.step}, {verdict.weight} %: {verdict.outcome}"
    shown = table(title, "gate", "verdict", ">n", ">limit", "because")
    for gate in verdict.gates:
        shown.add_row(gate.gate, gate.outcome, str(gate.n), f"{gate.limit:g}", gate.reason)
    data.print(shown)


def _steer(
    context: typer.Context, model: str, action: Action, reason: str, version: int, json: bool
) -> None:
    with exits():
        deployment = Deployment.load(context.obj)
        deployment.settings_of(model)
        with deployment.log() as log:
            found = reader.records(log, ModelVersion, model)
            about = next((v for v in reversed(found) if v.version == version), None)
            if about is None and version == 0 and found:
                about = found[-1]
            wanted = commands.command(
                model,
                action,
                reason,
                at=time.time(),
                version=about.version if about else version,
                digest=about.artifact.digest if about else "",
            )
            answer = commands.ask(log, wanted, timeout=60.0)
        if json:
            show_json(answer)
        talk.print(f"{'accepted' if answer.accepted else 'refused'}: {answer.reason}")
        if not answer.accepted:
            raise Conflict(answer.reason)


def _add(action: Action, meaning: str) -> None:
    def steer(
        context: typer.Context,
        model: Model,
        reason: Reason = "by hand",
        version: Version = 0,
        json: Json = False,
    ) -> None:
        _steer(context, model, action, reason, version, json)

    example = f'Example: `driftline rollout {action} big_tipper --reason "…"`'
    app.command(action, help=f"{meaning}\n\n{example}")(steer)


_add("pause", "Hold the canary at its weight.")
_add("resume", "Go on after a pause.")
_add("approve", "Let the version go on; bound to its digest.")
_add("reject", "Do not let the version go on.")
_add("promote", "Skip the remaining steps and make the canary live.")
_add("abort", "Take the canary out and keep the champion.")
_add("rollback", "Put the replaced version back.")
