"""`driftline job`: the stream job of a model on Flink."""

from __future__ import annotations

import typer

from deploy.output import Json, Model, data, exits, show_json, talk
from deploy.wiring import House

app = typer.Typer(no_args_is_help=True, help="The stream job on Flink.")


def add_to(root: typer.Typer) -> None:
    """Hang the group under `driftline`."""
    root.add_typer(app, name="job")


@app.command()
def submit(context: typer.Context, model: Model, json: Json = False) -> None:
    """Submit the stream job and wait until it runs; a running one is left alone.

    Example: `driftline job submit big_tipper`
    """
    with exits():
        job = House.load(context.obj).submit_job(model, say=talk.print)
    if json:
        show_json({"job": job})
    else:
        data.print(job)


@app.command()
def status(context: typer.Context, model: Model, json: Json = False) -> None:
    """Show the job's state, restarts and checkpoints as Flink tells them.

    Example: `driftline job status big_tipper`
    """
    with exits():
        found = House.load(context.obj).stream_job(model).status()
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
        found = House.load(context.obj).stream_job(model).savepoint()
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
        House.load(context.obj).stream_job(model).cancel()
    talk.print(f"The stream job of {model} is cancelled.")
