"""`driftline rollout`: see where a rollout stands, and control it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.commands import rollout_approvals
from deploy.cli.commands.rollout_answers import answers
from deploy.cli.commands.rollout_plan import plan
from deploy.cli.shared.command import Json, Model, Yes, command, confirm, refused
from deploy.config.units import format_duration
from deploy.views.output import show_json, stderr, stdout
from serving.phase import Phase
from streaming.contracts.errors import Conflict, NotFoundError
from streaming.contracts.records import (
    Action,
    CanaryVerdict,
    ModelVersion,
    Promotion,
    RolloutStatus,
)

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.views.rollout import RolloutView
    from deploy.views.rollout_observer import RolloutObserver
    from streaming.contracts.log import RecordLog

WATCH_SECONDS = 1.0
ASKED = ("promote", "abort", "rollback", "retry")
"""Actions that change which version clients reach; they ask first."""
REVIEWED = ("promote", "retry")
"""Actions that let a version on: what it is is shown, and the digest that was shown is sent."""
BY_HAND = "by hand"
"""The reason of a command that was given without one."""

app = typer.Typer(no_args_is_help=True, help="See and control the rollout of a model.")

Reason = Annotated[str, typer.Option(help="Why; it is kept in the log.")]
Version = Annotated[
    int | None, typer.Option(min=1, help="The version; default: the one that is rolled out.")
]
Digest = Annotated[
    str, typer.Option(help="Digest that was reviewed; refused if the version has another.")
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Also against or without the gates; needs --reason, kept with it."
    ),
]


@app.command()
@command
def status(
    deployment: Deployment,
    model: Model,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep showing it until the rollout ends.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the phase, the weights, the arms and the newest verdict with its gates.

    Example: `driftline rollout status big_tipper`
    """
    from deploy.views.rollout import rollout_tree
    from deploy.views.rollout_observer import (
        RolloutObserver,
        before_first_rollout,
        newest_status,
        newest_verdict,
    )

    deployment.settings_of(model)
    with deployment.log() as log:
        try:
            newest = newest_status(log, model)
        except NotFoundError:
            waiting = before_first_rollout(log, model)
            if json:
                show_json({"status": None, "verdict": None, "waiting": waiting})
            else:
                stdout.print(waiting, soft_wrap=True)
            return
        if json:
            show_json({"status": newest, "verdict": newest_verdict(log, newest)})
            return
        observer = RolloutObserver(deployment, log, model)
        if watch:
            _watch(observer)
        else:
            stdout.print(rollout_tree(observer.look()))
            if newest.waits_for.startswith("approval"):
                stderr.print(
                    f"`driftline rollout approve {model}` shows what is asked.", soft_wrap=True
                )


def _watch(observer: RolloutObserver, sleep: Callable[[float], None] = time.sleep) -> None:
    """Redraw one tree on a terminal, else print what changes; ends with the rollout."""
    if sys.stdout.isatty():
        _watch_live(observer, sleep)
        return
    printed: set[str] = set()
    while True:
        view = observer.look()
        printed = print_changes(view, printed)
        if view.ended:
            return
        sleep(WATCH_SECONDS)


def _watch_live(observer: RolloutObserver, sleep: Callable[[float], None]) -> None:
    from rich.live import Live

    from deploy.views.rollout import rollout_tree

    view = observer.look()
    with Live(rollout_tree(view), console=stdout, auto_refresh=False) as live:
        while not view.ended:
            sleep(WATCH_SECONDS)
            view = observer.look()
            live.update(rollout_tree(view), refresh=True)


def print_changes(view: RolloutView, printed: set[str]) -> set[str]:
    """Print the lines that were not there before; returns the lines that are there now."""
    from deploy.views.rollout import rollout_lines

    lines = list(rollout_lines(view))
    for line in lines:
        if line not in printed:
            stdout.print(line, soft_wrap=True)
    return set(lines)


def _control(
    deployment: Deployment,
    model: str,
    action: Action,
    *,
    reason: str,
    version: int | None,
    yes: bool,
    json: bool,
    digest: str = "",
    force: bool = False,
) -> None:
    from deploy.records import commands

    deployment.settings_of(model)
    if force and reason == BY_HAND:
        raise typer.BadParameter("--force needs a --reason; both are kept in the log.")
    with deployment.log() as log:
        target, consequence = resolve(deployment, log, model, action, version)
        known = _digest(log, model, target)
        if digest and digest != known:
            raise Conflict(f"Version {target} of {model} has the digest {known}, not {digest}.")
        if action in REVIEWED:
            show_reviewed(log, model, target)
        if action in ASKED:
            confirm(consequence, yes=yes)
        request = commands.new_command(
            model,
            action,
            reason,
            at=time.time(),
            version=target,
            digest=known,
            force=force,
        )
        reply = commands.send_command(log, request, timeout=commands.REPLY_SECONDS)
    if not reply.accepted:
        raise refused(reply.reason)
    if json:
        show_json(reply)
    stderr.print(f"accepted: version {target} of {model}: {reply.reason}", soft_wrap=True)


def resolve(
    deployment: Deployment, log: RecordLog, model: str, action: Action, version: int | None
) -> tuple[int, str]:
    """The version that an action is about, and in words what the action changes.

    Raises
    ------
    Conflict
        When another version than the named one is rolled out, or is live.
    NotFoundError
        When there is nothing that the action could change.
    """
    from deploy.records import reader

    newest = reader.newest(log, RolloutStatus, model, 1)
    if action == "retry":
        return _resolve_retry(log, model, version, newest[0] if newest else None)
    if newest and newest[0].phase != Phase.IDLE:
        status = newest[0]
        if version not in (None, status.version):
            raise Conflict(
                f"Version {status.version} of {model} is being rolled out, not {version}; "
                f"`driftline rollout status {model}` shows it."
            )
        return status.version, _change(deployment, action, status)
    if action != "rollback":
        raise NotFoundError(
            f"Nothing of {model} is being rolled out, so there is nothing to {action}; "
            f"`driftline rollout status {model}` shows the latest rollout."
        )
    promotions = reader.newest(log, Promotion, model, 1)
    if not promotions or not promotions[0].replaced:
        raise NotFoundError(
            f"{model} has no earlier version to go back to; "
            f"`driftline versions {model}` lists the versions."
        )
    live = promotions[0]
    if version not in (None, live.version):
        raise Conflict(f"Version {live.version} of {model} is live, not {version}.")
    return live.version, (
        f"Version {live.replaced} of {model} gets all traffic again; version {live.version} goes "
        "out of service."
    )


def _resolve_retry(
    log: RecordLog, model: str, version: int | None, status: RolloutStatus | None
) -> tuple[int, str]:
    from deploy.records import reader

    if status is not None and status.phase != Phase.IDLE:
        raise Conflict(
            f"Version {status.version} of {model} is being rolled out; retry another one "
            f"afterwards. `driftline rollout status {model}` shows it."
        )
    if not reader.newest(log, ModelVersion, model, 1, where=lambda entry: entry.version == version):
        raise NotFoundError(
            f"{model} has no version {version}; `driftline versions {model}` lists the versions."
        )
    assert version is not None
    return version, (
        f"Version {version} of {model} is rolled out again from the first step, with all its gates."
    )


def show_reviewed(log: RecordLog, model: str, version: int) -> None:
    """Show what a command lets on; only a version that is in the log can be shown."""
    from deploy.records import reader
    from deploy.views.review import review_lines

    versions = reader.newest(
        log, ModelVersion, model, 1, where=lambda entry: entry.version == version
    )
    verdicts = reader.newest(
        log, CanaryVerdict, model, 1, where=lambda entry: entry.version == version
    )
    for entry in versions:
        for line in review_lines(entry, verdicts[0] if verdicts else None):
            stderr.print(line, soft_wrap=True)


def _change(deployment: Deployment, action: Action, status: RolloutStatus) -> str:
    """What an action does to the traffic of the rollout in progress."""
    model, version, champion = status.model, status.version, status.champion
    rules = deployment.rollout_rules(model)
    bake = format_duration(rules.bake_seconds)
    promotion = (
        f"Version {version} goes from {status.weight} % to 100 % of the traffic of {model}; "
        f"version {champion} stays loaded for {bake}."
    )
    if not rules.served and action == "promote":
        return (
            f"Version {version} of {model}, which is served elsewhere, counts as the one in use: "
            "windows are compared with its reference."
        )
    stays = f"version {champion} serves all traffic of {model}" if champion else "nothing is served"
    match action:
        case "promote":
            return promotion
        case _:
            return f"Version {version} goes from {status.weight} % to 0 %; {stays}."


def _digest(log: RecordLog, model: str, version: int) -> str:
    """The digest of a version's artifact: a command is bound to it."""
    from deploy.records import reader

    versions = reader.newest(
        log, ModelVersion, model, 1, where=lambda entry: entry.version == version
    )
    return versions[0].artifact.digest if versions else ""


def _add_reviewed(action: Action, meaning: str) -> None:
    @command
    def act(
        deployment: Deployment,
        model: Model,
        reason: Reason = BY_HAND,
        version: Version = None,
        digest: Digest = "",
        force: Force = False,
        yes: Yes = False,
        json: Json = False,
    ) -> None:
        _control(
            deployment,
            model,
            action,
            reason=reason,
            version=version,
            yes=yes,
            json=json,
            digest=digest,
            force=force,
        )

    app.command(action, help=_help(action, meaning))(act)


@app.command()
@command
def retry(
    deployment: Deployment,
    model: Model,
    version: Annotated[int, typer.Argument(min=1, help="A version that was given up.")],
    reason: Reason = BY_HAND,
    digest: Digest = "",
    force: Force = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Roll out a version again that was given up for an outage; with --force also a failed one.

    Example: `driftline rollout retry big_tipper 3 --reason "Prometheus was down"`
    """
    _control(
        deployment,
        model,
        "retry",
        reason=reason,
        version=version,
        yes=yes,
        json=json,
        digest=digest,
        force=force,
    )


def _add_asking(action: Action, meaning: str) -> None:
    @command
    def act(
        deployment: Deployment,
        model: Model,
        reason: Reason = BY_HAND,
        version: Version = None,
        yes: Yes = False,
        json: Json = False,
    ) -> None:
        _control(deployment, model, action, reason=reason, version=version, yes=yes, json=json)

    app.command(action, help=_help(action, meaning))(act)


def _add_plain(action: Action, meaning: str) -> None:
    @command
    def act(
        deployment: Deployment,
        model: Model,
        reason: Reason = BY_HAND,
        version: Version = None,
        json: Json = False,
    ) -> None:
        _control(deployment, model, action, reason=reason, version=version, yes=True, json=json)

    app.command(action, help=_help(action, meaning))(act)


def _help(action: Action, meaning: str) -> str:
    return f'{meaning}\n\nExample: `driftline rollout {action} big_tipper --reason "…"`'


app.command()(answers)
app.command()(plan)
_add_plain("pause", "Hold the canary at its weight.")
_add_plain("resume", "Continue after a pause.")
rollout_approvals.register(app)
_add_reviewed("promote", "Skip the remaining steps and make the canary live.")
_add_asking("abort", "Take the canary out and keep the champion.")
_add_asking("rollback", "Put the replaced version back.")
