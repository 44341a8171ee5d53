"""`driftline job`: the stream jobs on Flink."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.app.deployment import Deployment
from deploy.app.stream_jobs import StreamJob
from deploy.views.output import Json, Model, data, exits, show_json, table, talk

app = typer.Typer(
    no_args_is_help=True,
    help="The stream jobs on Flink. `stream.split` says which models share one; a job is named by "
    "any of its models.",
)

AnyModel = Annotated[
    str | None, typer.Argument(help="A model that the job serves; none = every job.")
]
Restore = Annotated[
    str, typer.Option(help="Checkpoint or savepoint to go on from, a path that Flink can read.")
]
Workers = Annotated[int, typer.Argument(min=1, help="How many workers share the job.")]


def add_to(root: typer.Typer) -> None:
    """Hang the group under `driftline`."""
    root.add_typer(app, name="job")


def _chosen(deployment: Deployment, model: str | None) -> list[StreamJob]:
    return deployment.stream_jobs() if model is None else [deployment.stream_job(model)]


@app.command(name="list")
def list_jobs(context: typer.Context, json: Json = False) -> None:
    """Show each stream job of the file, its models, and whether it runs.

    Example: `driftline job list`
    """
    rows = []
    with exits():
        for job in Deployment.load(context.obj).stream_jobs():
            found = job.find()
            rows.append(
                {
                    "job": job.settings.name,
                    "models": list(job.models),
                    "state": job.flink.status(found).state if found else "not running",
                    "parallelism": job.flink.parallelism(found) if found else 0,
                }
            )
    if json:
        show_json(rows)
        return
    shown = table("stream jobs", "job", "models", "state", "workers")
    for row in rows:
        names = ", ".join(row["models"])  # type: ignore[arg-type]
        shown.add_row(str(row["job"]), names, str(row["state"]), str(row["parallelism"] or "-"))
    data.print(shown)


@app.command()
def submit(
    context: typer.Context, model: AnyModel = None, restore: Restore = "", json: Json = False
) -> None:
    """Submit stream jobs and wait until they run; a running one is left alone.

    Example: `driftline job submit big_tipper`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        jobs = _chosen(deployment, model)
        if restore and len(jobs) > 1:
            raise typer.BadParameter("--restore belongs to one job: name one of its models.")
        found = {
            job.settings.name: job.submit(deployment.ensure_topics, talk.print, restore=restore)
            for job in jobs
        }
    if json and model is not None:
        show_json({"job": next(iter(found.values()))})
    elif json:
        show_json(found)
    else:
        for job_id in found.values():
            data.print(job_id)


@app.command()
def update(context: typer.Context, model: AnyModel = None, json: Json = False) -> None:
    """Restart jobs from a savepoint with the file as it is now: new models join, new rules hold.

    Example: `driftline job update`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        found = {
            job.settings.name: job.update(deployment.ensure_topics, talk.print)
            for job in _chosen(deployment, model)
        }
    if json:
        show_json(found)
    else:
        for name in found:
            talk.print(f"{name} runs on from its savepoint.")


@app.command()
def rescale(context: typer.Context, model: Model, workers: Workers, json: Json = False) -> None:
    """Let more or fewer workers share the job, from a savepoint; every event is counted once.

    Example: `driftline job rescale big_tipper 2`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        job = deployment.stream_job(model)
        found = job.update(deployment.ensure_topics, talk.print, parallelism=workers)
    if json:
        show_json({"job": found, "parallelism": workers})
    else:
        talk.print(f"{job.settings.name} runs on {workers} worker(s).")


@app.command()
def status(context: typer.Context, model: Model, json: Json = False) -> None:
    """Show the job's state, restarts and checkpoints as Flink tells them.

    Example: `driftline job status big_tipper`
    """
    with exits():
        found = Deployment.load(context.obj).stream_job(model).status()
    if json:
        show_json(found)
    else:
        data.print(found)


@app.command()
def savepoint(context: typer.Context, model: Model, json: Json = False) -> None:
    """Write a savepoint and say where it lies.

    Example: `driftline job savepoint big_tipper`
    """
    with exits():
        found = Deployment.load(context.obj).stream_job(model).savepoint()
    if json:
        show_json({"savepoint": found})
    else:
        data.print(found)


@app.command()
def cancel(context: typer.Context, model: Model) -> None:
    """Cancel the job; its last checkpoint stays.

    Example: `driftline job cancel big_tipper`
    """
    with exits():
        job = Deployment.load(context.obj).stream_job(model)
        job.cancel()
    talk.print(f"{job.settings.name} is cancelled; it served {', '.join(job.models)}.")
