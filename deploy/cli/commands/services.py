"""`driftline daemon | worker | labels | demo`: the long-running parts and the demonstration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from deploy.app.deployment import Deployment
from deploy.config import loader
from deploy.views.output import Json, exits, show_json, talk
from streaming.contracts.errors import ConfigurationError

DEMO_FILE = Path(loader.__file__).parent / "demo.yaml"


def add_to(root: typer.Typer) -> None:
    """Hang the commands under `driftline`."""
    root.command()(daemon)
    root.command()(worker)
    root.command()(labels)
    root.command()(demo)


def daemon(context: typer.Context) -> None:
    """Run the control loop: trigger policy and rollout, in the foreground.

    Example: `driftline -c driftline.yaml daemon`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        from deploy.daemon.faust_app import run

        run(deployment)


def worker(
    context: typer.Context,
    devices: Annotated[str, typer.Option(help="auto, cpu or gpu:N.")] = "auto",
    once: Annotated[bool, typer.Option("--once", help="Leave after one request.")] = False,
) -> None:
    """Run a retrain worker in the foreground; start as many as there are GPUs.

    Example: `driftline worker --devices cpu`
    """
    with exits():
        _choose_devices(devices)
        deployment = Deployment.load(context.obj)
        from deploy.services.worker import run

        run(deployment, once=once)


def labels(context: typer.Context) -> None:
    """Run the label service: join late labels with served predictions, in the foreground.

    `driftline quality MODEL` shows what it finds. Example: `driftline -c deploy/config/demo.yaml labels`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        from deploy.services.labels import run

        run(deployment)


def _choose_devices(devices: str) -> None:
    if devices == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif devices.startswith("gpu:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = devices.removeprefix("gpu:")
    elif devices != "auto":
        raise ConfigurationError(f"--devices {devices}: write auto, cpu or gpu:N.")


def demo(
    context: typer.Context,
    scenario: Annotated[
        str,
        typer.Option(help="shift, concept, quiet, slow-canary, broken-schema or new-column."),
    ] = "shift",
    rows: Annotated[
        Path | None, typer.Option("--data", help="Replay this CSV of Chicago taxi trips.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack up afterwards.")] = False,
    json: Json = False,
) -> None:
    """Run the whole loop on this machine and end with a report.

    Example: `driftline demo --scenario slow-canary`
    """
    with exits():
        if rows is not None and not rows.exists():
            raise ConfigurationError(f"{rows} does not exist.")
        deployment = Deployment.load(context.obj or DEMO_FILE)
        from deploy.demo.embedded import run

        report = run(deployment, scenario=scenario, data=rows, keep=keep)
    if json:
        show_json(report)
    if report.outcome != "passed":
        talk.print(f"The demonstration failed: {report.why}")
        raise typer.Exit(4)
