"""`driftline up | down | status`: the embedded stack, and whether everything that should runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from deploy.cli.shared.command import Json, Yes, command, confirm, fail
from deploy.config.paths import driftline_program
from deploy.config.units import format_duration
from deploy.views.output import outcome_text, show_json, stderr, stdout, table
from streaming.contracts.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.app.stream_job_states import StreamJobState
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
    from deploy.app.stream_job_states import stream_job_states
    from deploy.app.topics import ensure_topics_after_start
    from deploy.local.embedded import embedded_stack, engines_installed

    if not engines_installed():
        raise ConfigurationError(
            "The embedded engines are not installed here; run `make setup` in a checkout. "
            "In containers the engines have services of their own: `driftline status` checks them."
        )
    stack = embedded_stack(deployment)
    stack.selected(only)  # an unknown name is refused before anything starts
    with stderr.status("starting the stack") as line:
        progress = _StartProgress(line.update)
        stack.up(["kafka"], on_progress=progress.report)
        ensure_topics_after_start(deployment)
        stack.up(only, on_progress=progress.report)
    jobs = stream_job_states(deployment)
    if json:
        show_json({"processes": stack.status(), "stream_jobs": jobs})
        return
    started = "The stack" if only is None else ", ".join(only)
    program = driftline_program()
    stderr.print(
        f"{started} is up; `{program} status` shows it, `{program} down` stops it.", soft_wrap=True
    )
    for job in jobs:
        if job.problem:
            stderr.print(job.problem, soft_wrap=True)
        elif job.missing:
            stderr.print(
                f"The stream job {job.name} continues from its last checkpoint within a minute.",
                soft_wrap=True,
            )
        elif job.state == "not running":
            stderr.print(
                f"The stream job {job.name} is not submitted: "
                f"`{program} job submit {job.models[0]}` starts it.",
                soft_wrap=True,
            )


class _StartProgress:
    """One line for each process when it is ready; the status line names those that are not."""

    def __init__(self, update: Callable[[str], None]) -> None:
        self._update = update
        self._ready: set[str] = set()
        self._pending: dict[str, str] = {}

    def report(self, process: ProcessStatus) -> None:
        """Show a change in the health of a process."""
        if process.health == "ready":
            self._pending.pop(process.name, None)
            if process.name not in self._ready:
                self._ready.add(process.name)
                stderr.print(f"{process.name}: ready")
        else:
            self._pending[process.name] = str(process.health)
        self._update(", ".join(f"{name} {health}" for name, health in self._pending.items()))


@command
def down(deployment: Deployment, yes: Yes = False, json: Json = False) -> None:
    """Stop the embedded stack of this configuration, and nothing else.

    Example: `driftline down --yes`
    """
    from deploy.demo.control import end_kept_traffic
    from deploy.local.embedded import refuse_if_anothers
    from deploy.local.stack import Stack, running_processes

    refuse_if_anothers(deployment)
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
        end_kept_traffic(deployment.base / "demo")
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
    from deploy.app.stream_job_states import stream_job_states
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
    problems += dict.fromkeys(job.problem for job in jobs if job.problem)
    problems += [_missing_text(job) for job in jobs if job.missing]
    problems += [
        f"{job.name} has completed no checkpoint for {job.checkpoint_age:.0f} s."
        for job in jobs
        if job.stalled
    ]
    if problems:
        fail(UnavailableError(" ".join(problems)))


def _missing_text(job: StreamJobState) -> str:
    watchdog = f" Its watchdog: {job.watchdog}." if job.watchdog else ""
    return (
        f"{job.name} should run and does not.{watchdog} "
        f"`driftline job submit {job.models[0]}` starts it now."
    )


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
    shown = table("stream jobs", "job", "models", "state", "watchdog", "next")
    for job in jobs:
        command = f"driftline job submit {job.models[0]}" if job.state == "not running" else ""
        state = outcome_text("stalled" if job.stalled else job.state)
        shown.add_row(job.name, ", ".join(job.models), state, job.watchdog, command)
    return shown
