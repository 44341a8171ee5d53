"""`driftline daemon | worker | labels | demo`: the long-running services and the demonstration."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy import config
from deploy.app.suggestion import did_you_mean
from deploy.cli.shared.command import Invocation, Json, UsageError, command
from deploy.cli.shared.completion import complete_scenario
from deploy.views.output import show_json

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

FORMATS = ("json", "avro")
"""Formats in which the demonstration's events come."""


def demo_file(event_format: str) -> Path:
    """The demonstration's profile for a format."""
    name = "demo.yaml" if event_format == "json" else f"demo-{event_format}.yaml"
    return Path(config.__file__).parent / name


@command
def daemon(deployment: Deployment) -> None:
    """Run the control loop in the foreground: retrain policy, rollout and schema.

    Example: `driftline -c driftline.yaml daemon`
    """
    from deploy.daemon.faust_app import run

    run(deployment)


@command
def worker(
    invocation: Invocation,
    devices: Annotated[
        str, typer.Option(help="auto (free GPUs, or a CPU slot), cpu, or gpu:0,1.")
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Retrains of different models at once; else retrain.workers."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after one request.")] = False,
) -> None:
    """Run a retrain worker in the foreground: one retrain at a time, or --workers of them.

    Its devices are leased: no other worker of this user on this machine gets them. Several
    workers, also on several machines, share the requests: those of one model one after another.

    Example: `driftline worker --devices cpu --workers 2`
    """
    if not re.fullmatch(r"auto|cpu|gpu:\d+(,\d+)*", devices):
        raise UsageError(f"--devices {devices}: write auto, cpu or gpu:N.")
    deployment = invocation.deployment()
    from deploy.services.worker import run

    at_once = workers or deployment.settings.retrain.workers
    run(deployment, devices=devices, workers=at_once, once=once)


@command
def labels(deployment: Deployment) -> None:
    """Run the label service in the foreground: it joins late labels with served predictions.

    `driftline quality MODEL` shows its results.

    Example: `driftline -c deploy/config/demo.yaml labels`
    """
    from deploy.services.labels import run

    run(deployment)


@command
def notifier(deployment: Deployment) -> None:
    """Run the notifier in the foreground: it brings alerts to Slack, webhooks or a local receiver.

    `driftline alerts` shows what fires and what was sent.

    Example: `driftline -c deploy/config/demo.yaml notifier`
    """
    from deploy.notify.service import run

    run(deployment)


def _known_scenario(name: str) -> str:
    from deploy.demo.names import SCENARIO_NAMES

    if name not in SCENARIO_NAMES:
        raise typer.BadParameter(
            f"There is no scenario {name}; write one of {', '.join(SCENARIO_NAMES)}."
            f"{did_you_mean(name, SCENARIO_NAMES)}"
        )
    return name


def _demo_deployment(invocation: Invocation, event_format: str | None) -> Deployment:
    """The named profile, or the shipped one for the format."""
    if event_format not in (None, *FORMATS):
        raise UsageError(f"--format {event_format}: write {' or '.join(FORMATS)}.")
    file = invocation.file or demo_file(event_format or FORMATS[0])
    deployment = replace(invocation, file=file).deployment()
    in_file = _event_format(deployment)
    if event_format not in (None, in_file):
        raise UsageError(
            f"The events of {file} are in {in_file}. Leave -c and DRIFTLINE_CONFIG out: --format "
            f"{event_format} has a profile of its own."
        )
    return deployment


def _asking_people(
    invocation: Invocation, event_format: str | None, deployment: Deployment
) -> Deployment:
    """The same profile, with approval before a canary; every process of the stack inherits it."""
    from deploy.demo.approval import approval_variables

    os.environ.update(approval_variables(deployment.served_models[0]))
    return _demo_deployment(invocation, event_format)


def _event_format(deployment: Deployment) -> str:
    return deployment.settings_of(deployment.served_models[0]).events.format


@command
def demo(
    invocation: Invocation,
    scenario: Annotated[
        str,
        typer.Option(
            help="shift, concept, quiet, slow-canary, broken-schema or new-column.",
            callback=_known_scenario,
            autocompletion=complete_scenario,
        ),
    ] = "shift",
    rows: Annotated[
        Path | None, typer.Option("--data", help="Replay this CSV of Chicago taxi trips.")
    ] = None,
    event_format: Annotated[
        str | None,
        typer.Option("--format", help="json, or avro: nested events by a schema registry."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
    approve: Annotated[
        bool,
        typer.Option("--approve", help="Wait for your decision on version 2, in the console."),
    ] = False,
    json: Json = False,
) -> None:
    """Run the whole loop on this machine and end with a report.

    With --approve the address of the decision page is printed; the run goes on once version 2 is
    approved there, or by `driftline rollout approve`.

    Example: `driftline demo --scenario slow-canary`

    Example: `driftline demo --approve`
    """
    if rows is not None and not rows.exists():
        raise UsageError(f"--data {rows}: there is no such file.")
    deployment = _demo_deployment(invocation, event_format)
    from deploy.demo.embedded import run
    from deploy.demo.names import JSON_ONLY, SECOND_VERSION

    if approve:
        if scenario not in SECOND_VERSION:
            raise UsageError(
                f"--approve: the scenario {scenario} has no second version to approve; it plays "
                f"with {', '.join(SECOND_VERSION)}."
            )
        deployment = _asking_people(invocation, event_format, deployment)

    if scenario in JSON_ONLY and _event_format(deployment) != "json":
        raise UsageError(
            f"The scenario {scenario} changes the fields of its events, which their registered "
            "schema does not allow; it plays in JSON only."
        )

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it cleans up as after Ctrl-C
    report = run(deployment, scenario=scenario, data=rows, keep=keep, approve=approve)
    if json:
        show_json(report)
    if report.outcome != "passed":
        raise typer.Exit(4)
