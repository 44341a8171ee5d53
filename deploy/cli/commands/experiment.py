"""`driftline experiment`: compare versions by user, on a schedule."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.commands.rollout import BY_HAND, Force, Reason, show_reviewed
from deploy.cli.shared.command import Json, Model, UsageError, Yes, command, confirm, refused
from deploy.config.units import format_duration, format_time, parse_duration, parse_time
from deploy.views.output import check_chart_file, show_json, stderr, stdout
from streaming.contracts.errors import DriftlineError
from streaming.contracts.experiment_records import ExperimentMetric
from streaming.contracts.records import (
    CommandReply,
    ExperimentDefinition,
    ExperimentLook,
    ExperimentStatus,
)

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from streaming.contracts.log import RecordLog

app = typer.Typer(no_args_is_help=True, help="Compare versions of a model by user (A/B/n).")

Id = Annotated[
    str | None, typer.Option("--id", help="Beginning of the experiment's id; default: the latest.")
]


@app.command()
@command
def start(
    deployment: Deployment,
    model: Model,
    arm: Annotated[
        list[str],
        typer.Option(help="VERSION=PERCENT of the users; give it twice for three arms."),
    ],
    length: Annotated[str, typer.Option("--for", help="How long users meet it, e.g. 7d.")],
    champion: Annotated[
        float | None,
        typer.Option(help="Percent of the users counted for the champion; default: as the arm."),
    ] = None,
    begin: Annotated[
        str, typer.Option(help="When it begins: a date (UTC unless it has a zone), or +2h.")
    ] = "+0s",
    metric: Annotated[
        ExperimentMetric | None, typer.Option(help="What is compared; default: the setting.")
    ] = None,
    minimum_effect: Annotated[
        float | None, typer.Option(help="Smallest difference that matters; default: the setting.")
    ] = None,
    reason: Reason = BY_HAND,
    force: Force = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Let a share of the users meet other versions, each user always the same one.

    It ends by itself: when a difference is proven or excluded, or at its time. Harm and guardrails
    send the users back at once. A winner is not live by that; `driftline rollout retry` rolls it
    out.

    Example: `driftline experiment start big_tipper --arm 7=20 --for 7d`

    Example: `driftline experiment start big_tipper --arm 7=10 --arm 8=10 --for 3d --begin +2h`
    """
    from deploy.records import experiments

    measured = deployment.settings_of(model).predictions is not None
    experiments.refuse_unmeasured(measured, model, deployment.file.name)
    if force and reason == BY_HAND:
        raise typer.BadParameter("--force needs a --reason; both are kept in the log.")
    rules = experiments.chosen(
        deployment.rollout_rules(model).experiments,
        model,
        metric=metric,
        minimum_effect=minimum_effect,
    )
    begins = begin_of(begin, time.time())
    plan = experiments.Plan(
        shares=shares_of(arm),
        champion_share=champion,
        begin=begins,
        end=begins + duration_of(length),
    )
    with deployment.log() as log:
        definition = experiments.define(log, model, plan, rules, deployment.task(model))
        for entry in definition.arms[1:]:
            show_reviewed(log, model, entry.version)
        confirm(_consequence(model, definition), yes=yes)
        reply = _send(log, model, definition, reason=reason, force=force)
    _show_reply(reply, json=json)


@app.command()
@command
def status(
    deployment: Deployment,
    model: Model,
    experiment: Id = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the intervals over time: .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the arms with their users, the intervals, and the checks of the latest look.

    Example: `driftline experiment status big_tipper --plot effect.svg`
    """
    from deploy.records import experiments

    check_chart_file(plot)
    deployment.settings_of(model)
    with deployment.log() as log:
        newest = experiments.find(log, model, experiment)
        looks = experiments.looks(log, newest)
    if plot is not None:
        from deploy.views.experiment_chart import draw

        draw(newest, looks, plot)
        stderr.print(f"Drawn into {plot}.")
    show_status(newest, looks[-1] if looks else None, json=json)


def show_status(newest: ExperimentStatus, look: ExperimentLook | None, *, json: bool) -> None:
    """Print where an experiment stands: its newest status, and the latest look at its effects."""
    from deploy.views.experiments import arms_table, gates_table, summary_lines

    if json:
        show_json({"status": newest, "look": look})
        return
    for line in summary_lines(newest):
        stdout.print(line, soft_wrap=True)
    stdout.print(arms_table(newest, look))
    if look is not None:
        stdout.print(gates_table(look))


@app.command()
@command
def stop(
    deployment: Deployment,
    model: Model,
    experiment: Id = None,
    reason: Reason = BY_HAND,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """End the experiment: all users meet the champion at once.

    Example: `driftline experiment stop big_tipper --reason "the campaign is over"`
    """
    from deploy.records import experiments
    from deploy.records.commands import REPLY_SECONDS, new_command, send_command

    deployment.settings_of(model)
    with deployment.log() as log:
        named = ""
        if experiment is not None:
            named = experiments.find(log, model, experiment).definition.experiment_id
        confirm(f"All users of {model} meet the champion; the experiment has no outcome.", yes=yes)
        request = new_command(model, "stop-experiment", reason, at=time.time(), subject=named)
        reply = send_command(log, request, timeout=REPLY_SECONDS)
    _show_reply(reply, json=json)


@app.command("list")
@command
def list_experiments(deployment: Deployment, model: Model, json: Json = False) -> None:
    """List the experiments of a model with their outcomes.

    Example: `driftline experiment list big_tipper`
    """
    from deploy.records import experiments
    from deploy.views.experiments import experiments_table

    deployment.settings_of(model)
    with deployment.log() as log:
        known = experiments.statuses(log, model)
    if json:
        show_json(known)
    elif known:
        stdout.print(experiments_table(model, known))
    else:
        stdout.print(
            f"{model} has no experiment yet; `driftline experiment start --help`.", soft_wrap=True
        )


def _send(
    log: RecordLog, model: str, definition: ExperimentDefinition, *, reason: str, force: bool
) -> CommandReply:
    from msgspec.structs import replace

    from deploy.records.commands import REPLY_SECONDS, new_command, send_command

    request = new_command(model, "start-experiment", reason, at=time.time(), force=force)
    request = replace(request, experiment=definition)
    return send_command(log, request, timeout=REPLY_SECONDS)


def _show_reply(reply: CommandReply, *, json: bool) -> None:
    if not reply.accepted:
        raise refused(reply.reason)
    if json:
        show_json(reply)
    stderr.print(f"accepted: experiment {reply.result_id}: {reply.reason}", soft_wrap=True)


def _consequence(model: str, definition: ExperimentDefinition) -> str:
    champion, *others = definition.arms
    met = " and ".join(f"{arm.share / 100:g} % version {arm.version}" for arm in others)
    length = format_duration(definition.end - definition.begin)
    return (
        f"Of the users of {model}, {met} meets from {format_time(definition.begin)} on, for at "
        f"most {length}; {champion.share / 100:g} % are counted for the champion, version "
        f"{champion.version}. {definition.metric} is compared by user; the smallest difference "
        f"that matters is {definition.minimum_effect:g}. New versions wait for its end."
    )


def shares_of(arms: list[str]) -> dict[int, float]:
    """Percent of the users by version, of texts ``VERSION=PERCENT``; raises `UsageError`."""
    shares = dict(map(_share, arms))
    if len(shares) < len(arms):
        raise UsageError("Two arms have the same version.")
    return shares


def _share(text: str) -> tuple[int, float]:
    """``VERSION=PERCENT``; raises `UsageError`."""
    version, equals, percent = text.partition("=")
    try:
        share = float(percent.removesuffix("%"))
        if equals and 0.0 < share <= 100.0:
            return int(version), share
    except ValueError:
        pass
    raise UsageError(f"{text!r} is not VERSION=PERCENT, for example 7=20.")


def begin_of(text: str, now: float) -> float:
    """A date, or a time from now on like ``+2h``, in seconds since 1970; raises `UsageError`."""
    if text.startswith("+"):
        return now + duration_of(text[1:])
    try:
        return parse_time(text, now)
    except (ValueError, DriftlineError) as error:
        raise UsageError(f"{text!r} is no time: give a date, or +2h.") from error


def duration_of(text: str) -> float:
    """A duration like ``7d`` in seconds; raises `UsageError`."""
    try:
        return parse_duration(text)
    except (ValueError, DriftlineError) as error:
        raise UsageError(f"{text!r} is no duration, for example 7d.") from error
