"""The operation that starts an experiment; `stop-experiment` is a command like the others."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.console.api import schemas
from deploy.console.api.command_operations import SENT, Key, check_reason, once
from deploy.console.api.once import send
from deploy.console.api.read_operations import Model, checked_model, seen
from deploy.console.context import Console
from deploy.console.decisions import Decided
from deploy.console.problems import ProblemError, responses
from deploy.records import experiments
from deploy.records.commands import new_command
from streaming.contracts.errors import ConfigurationError, Conflict, NotFoundError
from streaming.contracts.records import Command, ExperimentDefinition, ModelVersion, Promotion


def add_experiments(router: APIRouter, console: Console) -> None:
    """Add the operation."""

    @router.post(
        "/models/{model}/experiments",
        responses=responses(409) | SENT,
        response_model=schemas.CommandResult,
    )
    def start(
        request: Request, model: Model, content: schemas.ExperimentInput, idempotency_key: Key
    ) -> Response:
        """Let a share of the users meet other versions, as `driftline experiment start` does."""
        mine = seen(console, request)
        checked_model(mine, model)
        barrier = mine.identity.barrier(model, "start-experiment", force=content.force)
        if barrier:
            raise ProblemError(403, barrier)
        check_reason(content.reason)
        text = f"{model}\nexperiment\n{content.model_dump_json()}"

        def act(command_id: str) -> Decided:
            return send(mine, start_command(mine, model, content), command_id)

        return once(mine, idempotency_key, text, model, act)


def start_command(console: Console, model: str, content: schemas.ExperimentInput) -> Command:
    """The command that starts the experiment that a request asks for.

    Raises
    ------
    Conflict
        When model, version or share does not allow it, or a version is not the reviewed one.
    NotFoundError
        When there is no such version, or none is live.
    """
    given = new_command(
        model,
        "start-experiment",
        content.reason.strip(),
        at=console.now(),
        force=content.force,
        who=console.who,
    )
    return replace(given, experiment=_definition(console, model, content))


def _definition(
    console: Console, model: str, content: schemas.ExperimentInput
) -> ExperimentDefinition:
    """The definition of the experiment that a request asks for."""
    deployment = Deployment(console.settings, base=Path(), file=Path(console.file))
    begin = console.now() if content.begin is None else content.begin
    plan = experiments.Plan(
        shares={arm.version: arm.percent for arm in content.arms},
        champion_share=content.champion_percent,
        begin=begin,
        end=begin + content.seconds,
    )
    if len(plan.shares) < len(content.arms):
        raise Conflict("Two arms have the same version.")
    known = {arm.version: _reviewed(console, model, arm) for arm in content.arms}
    live = next(iter(console.reader.records(Promotion, model, 1)), None)
    if live is not None:
        known |= _of_version(console, model, live.version)
    try:
        measured = deployment.settings_of(model).predictions is not None
        experiments.refuse_unmeasured(measured, model, console.file)
        rules = experiments.chosen(
            deployment.rollout_rules(model).experiments,
            model,
            metric=content.metric,
            minimum_effect=content.minimum_effect,
        )
        return experiments.define_among(
            known, live.version if live else None, model, plan, rules, deployment.task(model)
        )
    except ConfigurationError as error:
        raise Conflict(str(error)) from error


def _reviewed(console: Console, model: str, arm: schemas.ArmInput) -> ModelVersion:
    """The version of an arm, if it is the one that was reviewed."""
    version = _of_version(console, model, arm.version).get(arm.version)
    if version is None:
        raise NotFoundError(f"{model} has no version {arm.version}.")
    if version.artifact.digest != arm.digest:
        raise Conflict(
            f"Version {arm.version} of {model} has the digest {version.artifact.digest}, not the "
            "one that was reviewed."
        )
    return version


def _of_version(console: Console, model: str, version: int) -> dict[int, ModelVersion]:
    rows = console.reader.of_version(ModelVersion, model, version, 1)
    return {record.version: record for record in console.reader.full(rows, ModelVersion)}
