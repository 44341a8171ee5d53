"""`driftline up | down | status`: the embedded stack, and whether everything that should runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from deploy.cli.shared.command import Json, Yes, command, confirm, fail
from deploy.config.units import format_duration
from deploy.views.output import outcome_text, show_json, stderr, stdout, table
from streaming.contracts.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.app.stream_jobs import StreamJobState
    from deploy.local.stack import ProcessStatus
    from deploy.services.endpoints import EndpointState


@command
def up(
    deployment: Deployment,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Start this process and its dependencies only (repeatable)."),
    ] = None,
    json: Json = False,
) -> None:
    """Start the embedded stack and wait until it is ready; run it again to repair the stack.

    Example: `driftline up`
    """
    from deploy.app.stream_jobs import stream_job_states
    from deploy.app.topics import ensure_topics
    from deploy.local.embedded import embedded_stack, engines_installed

    if not engines_installed():
        raise ConfigurationError(
            "The embedded engines are not installed here; run `make setup` in a checkout. "
            "In containers the engines have services of their own: `driftline status` checks them."
        )
    stack = embedded_stack(deployment)
    stack.up(["kafka"], on_progress=_report_progress)
    ensure_topics(deployment)
    stack.up(only, on_progress=_report_progress)
    jobs = stream_job_states(deployment)
    if json:
        show_json({"processes": stack.status(), "stream_jobs": jobs})
        return
    started = "The stack" if only is None else ", ".join(only)
    stderr.print(f"{started} is up; `driftline status` shows it, `driftline down` stops it.")
    for job in jobs:
        if job.state == "not running":
            again = "was stopped with the stack" if job.expected else "was never submitted"
            stderr.print(
                f"The stream job {job.name} {again}: `driftline job submit {job.models[0]}` "
                "starts it.",
                soft_wrap=True,
            )


def _report_progress(process: ProcessStatus) -> None:
    stderr.print(f"{process.name}: {process.health}")


@command
def down(deployment: Deployment, yes: Yes = False, json: Json = False) -> None:
    """Stop the embedded stack of this configuration, and nothing else.

    Example: `driftline down --yes`
    """
    from deploy.local.stack import Stack, running_processes

    running = running_processes(deployment.home)
    place = f"the stack in {deployment.home} (Kafka on port {deployment.ports.kafka})"
    if not running:
        Stack(deployment.home, deployment.ports, specs=()).down()
        stderr.print(f"Nothing of {place} was running.", soft_wrap=True)
    else:
        confirm(
            f"This stops {place}, {_count(running)}: predictions are no longer served and windows "
            "are no longer judged. Its data stays.",
            yes=yes,
        )
        running = Stack(deployment.home, deployment.ports, specs=()).down()
        stderr.print(f"Stopped {place}: {', '.join(running)}.", soft_wrap=True)
    remaining = _other_stacks(deployment)
    if json:
        folders = {str(folder): names for folder, names in remaining.items()}
        show_json({"folder": deployment.home, "stopped": running, "other_stacks": folders})


def _count(names: tuple[str, ...]) -> str:
    return f"{len(names)} process{'es' if len(names) != 1 else ''}"


def _other_stacks(deployment: Deployment) -> dict[Path, tuple[str, ...]]:
    from deploy.local.stack import running_stacks

    stacks = running_stacks(deployment.base)
    stacks.pop(deployment.home, None)
    for folder, names in stacks.items():
        stderr.print(
            f"Another stack is running in {folder} ({_count(names)}); "
            "`driftline -c FILE down` with its configuration stops it.",
            soft_wrap=True,
        )
    return stacks


@command
def status(deployment: Deployment, json: Json = False) -> None:
    """Show the processes (in a container, the endpoints) and the stream jobs.

    Exit code 8 when something that should run does not.

    Example: `driftline status --json`
    """
    from deploy.app.stream_jobs import stream_job_states
    from deploy.local.embedded import embedded_stack, engines_installed

    jobs = stream_job_states(deployment)
    report: dict[str, Any] = {"stream_jobs": jobs}
    if engines_installed():
        processes = embedded_stack(deployment).status()
        report["processes"] = processes
        shown = _process_table(deployment, processes)
        unwell = [process.name for process in processes if process.health != "ready"]
        advice = "`driftline up` starts what is missing."
    else:
        from deploy.services.endpoints import endpoint_states

        endpoints = endpoint_states(deployment)
        report["endpoints"] = endpoints
        shown = _endpoint_table(endpoints)
        unwell = [endpoint.name for endpoint in endpoints if endpoint.health != "ready"]
        advice = "Look at the services of your container platform."
    if json:
        show_json(report)
    else:
        stdout.print(shown)
        stdout.print(_job_table(jobs))
    if unwell and len(unwell) == len(report.get("processes", ())):
        problems = ["The stack is not running. `driftline up` starts it."]
    else:
        problems = [f"Not ready: {', '.join(unwell)}. {advice}"] if unwell else []
    problems += [
        f"{job.name} should run and does not: `driftline job submit {job.models[0]}`."
        for job in jobs
        if job.missing
    ]
    if problems:
        fail(UnavailableError(" ".join(problems)))


def _process_table(deployment: Deployment, processes: tuple[ProcessStatus, ...]) -> Table:
    title = f"embedded stack in {deployment.home}"
    shown = table(title, "process", "health", "address", ">pid", "up", ">restarts")
    for process in processes:
        uptime = format_duration(round(time.time() - process.since)) if process.since else "–"
        shown.add_row(
            process.name,
            outcome_text(process.health),
            process.address,
            str(process.pid or "–"),
            uptime,
            str(process.restarts),
        )
    return shown


def _endpoint_table(endpoints: tuple[EndpointState, ...]) -> Table:
    title = "endpoints (the embedded engines are not installed here)"
    shown = table(title, "engine", "health", "address", "setting")
    for endpoint in endpoints:
        health = outcome_text(endpoint.health)
        shown.add_row(endpoint.name, health, endpoint.address, endpoint.setting)
    return shown


def _job_table(jobs: tuple[StreamJobState, ...]) -> Table:
    shown = table("stream jobs", "job", "models", "state", "next")
    for job in jobs:
        command = f"driftline job submit {job.models[0]}" if job.state == "not running" else ""
        shown.add_row(job.name, ", ".join(job.models), outcome_text(job.state), command)
    return shown
