"""`driftline up | down | status`: the embedded stack as supervised processes."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from deploy.app.deployment import Deployment
from deploy.config.units import spoken
from deploy.local.stack import ProcessStatus
from deploy.views.output import Json, data, exits, show_json, table, talk
from streaming.contracts.errors import UnavailableError


def add_to(root: typer.Typer) -> None:
    """Hang the commands under `driftline`."""
    root.command()(up)
    root.command()(down)
    root.command()(status)


def up(
    context: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option(help="Start these processes (and what they need) only.")
    ] = None,
    json: Json = False,
) -> None:
    """Start the embedded stack and wait until it is ready; a second call repairs.

    Example: `driftline up`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        stack = deployment.stack()
        stack.up(["kafka"], on_progress=_say)
        deployment.ensure_topics()
        stack.up(only, on_progress=_say)
        found = stack.status()
    if json:
        show_json(found)
    else:
        talk.print("The stack is up; `driftline status` shows it, `driftline down` ends it.")


def _say(process: ProcessStatus) -> None:
    talk.print(f"{process.name}: {process.health}")


def down(context: typer.Context) -> None:
    """End the embedded stack; what it did not start, it leaves alone.

    Example: `driftline down`
    """
    with exits():
        Deployment.load(context.obj).stack().down()
    talk.print("The stack is down.")


def status(context: typer.Context, json: Json = False) -> None:
    """Show each process: health, address, uptime, restarts.

    Example: `driftline status --json`
    """
    with exits():
        found = Deployment.load(context.obj).stack().status()
    if json:
        show_json(found)
    else:
        shown = table("embedded stack", "process", "health", "address", ">pid", "up", ">restarts")
        for process in found:
            shown.add_row(
                process.name,
                f"[green]{process.health}[/]" if process.health == "ready" else process.health,
                process.address,
                str(process.pid or "–"),
                spoken(time.time() - process.since) if process.since else "–",
                str(process.restarts),
            )
        data.print(shown)
    if any(process.health != "ready" for process in found):
        with exits():
            raise UnavailableError(
                "Not everything is ready; `driftline up` starts what is missing."
            )
