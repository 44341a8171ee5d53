"""`driftline job`: the stream jobs on Flink."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from deploy.cli.shared.command import Json, Model, UsageError, Yes, command, confirm
from deploy.cli.shared.completion import complete_model
from deploy.config.units import format_time
from deploy.views.keeping import job_as_data, watchdog_text
from deploy.views.output import outcome_text, show_json, stderr, stdout, table

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.app.stream_jobs import StreamJob

app = typer.Typer(
    no_args_is_help=True,
    help="The stream jobs on Flink. `stream.split` determines which models share a job; name a job "
    "by any of its models.",
)

AnyModel = Annotated[
    str | None,
    typer.Argument(
        help="A model that the job serves; none = every job.", autocompletion=complete_model
    ),
]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Read the topics from the start; every window is judged again."),
]
Restore = Annotated[
    str,
    typer.Option(help="Checkpoint or savepoint to continue from, a path that Flink can read."),
]
Workers = Annotated[int, typer.Argument(min=1, help="Number of workers that share the job.")]


def _selected(deployment: Deployment, model: str | None) -> list[StreamJob]:
    from deploy.app.stream_jobs import stream_jobs

    return stream_jobs(deployment) if model is None else [_job(deployment, model)]


def _job(deployment: Deployment, model: str) -> StreamJob:
    from deploy.app.stream_jobs import stream_job

    return stream_job(deployment, model)


def _refuse_if_anothers(deployment: Deployment) -> None:
    from deploy.local.embedded import refuse_if_anothers

    refuse_if_anothers(deployment)


def _ensure_topics(deployment: Deployment) -> None:
    from deploy.app.topics import ensure_topics

    ensure_topics(deployment)


@app.command(name="list")
@command
def list_jobs(deployment: Deployment, json: Json = False) -> None:
    """Show each stream job of the configuration, its models, and whether it runs.

    Example: `driftline job list`
    """
    jobs = []
    for job in _selected(deployment, None):
        job_id = job.find()
        state = job.flink.status(job_id).state if job_id else "not running"
        workers = job.flink.parallelism(job_id) if job_id else 0
        jobs.append((job, state, workers, job.remembered()))
    if json:
        show_json(
            [
                {
                    "job": job.settings.name,
                    "models": list(job.models),
                    "state": state,
                    "parallelism": workers,
                    **job_as_data(remembered),
                }
                for job, state, workers, remembered in jobs
            ]
        )
        return
    shown = table("stream jobs", "job", "models", "state", "workers", "watchdog")
    for job, state, workers, remembered in jobs:
        shown.add_row(
            job.settings.name,
            ", ".join(job.models),
            outcome_text(state.lower()),
            str(workers or "–"),
            watchdog_text(remembered) or "–",
        )
    stdout.print(shown)


@app.command()
@command
def submit(
    deployment: Deployment,
    model: AnyModel = None,
    restore: Restore = "",
    fresh: Fresh = False,
    json: Json = False,
) -> None:
    """Submit stream jobs and wait until they run; a running one is left alone.

    A job that ran before continues from its last checkpoint.

    Example: `driftline job submit big_tipper`
    """
    _refuse_if_anothers(deployment)
    jobs = _selected(deployment, model)
    if restore and fresh:
        raise UsageError("--restore and --fresh exclude each other.")
    if restore and len(jobs) > 1:
        raise UsageError("--restore belongs to one job: name one of its models.")
    ids = {
        job.settings.name: job.submit(
            lambda: _ensure_topics(deployment), stderr.print, restore=restore, fresh=fresh
        )
        for job in jobs
    }
    if json and model is not None:
        show_json({"job": next(iter(ids.values()))})
    elif json:
        show_json(ids)
    else:
        for job_id in ids.values():
            stdout.print(job_id)


@app.command()
@command
def update(deployment: Deployment, model: AnyModel = None, json: Json = False) -> None:
    """Restart jobs from a savepoint with the current file: new models join, new rules apply.

    Example: `driftline job update`
    """
    _refuse_if_anothers(deployment)
    ids = {
        job.settings.name: job.update(lambda: _ensure_topics(deployment), stderr.print)
        for job in _selected(deployment, model)
    }
    if json:
        show_json(ids)
    else:
        for name in ids:
            stderr.print(f"{name} continues from its savepoint.")


@app.command()
@command
def rescale(deployment: Deployment, model: Model, workers: Workers, json: Json = False) -> None:
    """Let more or fewer workers share the job, from a savepoint; every event is counted once.

    Example: `driftline job rescale big_tipper 2`
    """
    _refuse_if_anothers(deployment)
    job = _job(deployment, model)
    job_id = job.update(lambda: _ensure_topics(deployment), stderr.print, parallelism=workers)
    if json:
        show_json({"job": job_id, "parallelism": workers})
    else:
        stderr.print(f"{job.settings.name} runs on {workers} worker(s).")


@app.command()
@command
def status(deployment: Deployment, model: Model, json: Json = False) -> None:
    """Show the job's state, restarts and checkpoints as Flink reports them.

    Example: `driftline job status big_tipper`
    """
    job = _job(deployment, model)
    remembered = job.remembered()
    report = job.status()
    if json:
        show_json({**asdict(report), **job_as_data(remembered)})
        return
    shown = table(report.name, "", "")
    checkpoint = f"{format_time(report.last_checkpoint_at)} at {report.last_checkpoint}"
    rows: dict[str, str | Text] = {
        "id": report.job_id,
        "state": outcome_text(report.state.lower()),
        "since": format_time(report.started_at),
        "restarts": str(report.restarts),
        "checkpoints": f"{report.checkpoints}, and {report.checkpoints_failed} failed",
        "newest checkpoint": checkpoint if report.last_checkpoint else "–",
        "state size": f"{report.state_bytes:,} bytes",
        "newest exception": report.last_error or "–",
        "watchdog": watchdog_text(remembered) or "–",
    }
    for name, value in rows.items():
        shown.add_row(name, value)
    stdout.print(shown)


@app.command()
@command
def keep(
    deployment: Deployment,
    submit_new: Annotated[
        bool, typer.Option("--submit", help="Submit the jobs that never were, too.")
    ] = False,
) -> None:
    """Keep the stream jobs running, in the foreground: submit them again from their checkpoints.

    A job that was cancelled stays cancelled. The embedded stack runs this as `stream-watchdog`.

    Example: `driftline job keep --submit`
    """
    from deploy.cli.shared.process_health import process_health
    from deploy.services.watchdog import run

    run(
        deployment,
        submit_new=submit_new,
        process_health=lambda: process_health(deployment),
    )


@app.command()
@command
def savepoint(deployment: Deployment, model: Model, json: Json = False) -> None:
    """Write a savepoint and print its path.

    Example: `driftline job savepoint big_tipper`
    """
    path = _job(deployment, model).savepoint()
    if json:
        show_json({"savepoint": path})
    else:
        stdout.print(path, soft_wrap=True)


@app.command()
@command
def cancel(deployment: Deployment, model: Model, yes: Yes = False, json: Json = False) -> None:
    """Cancel the job; its last checkpoint stays, and its watchdog leaves it cancelled.

    Also one that is lost. While Flink does not answer, the watchdog ends the job once it does.

    Example: `driftline job cancel big_tipper`
    """
    _refuse_if_anothers(deployment)
    job = _job(deployment, model)
    job.find_to_cancel()
    confirm(
        f"{job.settings.name} ends: windows of {', '.join(job.models)} are no longer judged until "
        f"`driftline job submit {model}`. Its last checkpoint stays.",
        yes=yes,
    )
    job.cancel(stderr.print)
    if json:
        show_json({"cancelled": job.settings.name})
    stderr.print(f"{job.settings.name} is cancelled; it served {', '.join(job.models)}.")
