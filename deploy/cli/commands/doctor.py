"""`driftline doctor`: what is wrong with this machine, and what to do."""

from __future__ import annotations

from dataclasses import asdict

import typer

from deploy.app.deployment import Deployment
from deploy.views.output import Json, data, exits, show_json, table, talk


def add_to(root: typer.Typer) -> None:
    """Hang the command under `driftline`."""
    root.command()(doctor)


def doctor(context: typer.Context, json: Json = False) -> None:
    """Check ports, memory, disk, glibc, Java and the engines.

    Example: `driftline doctor`
    """
    from deploy.setup.doctor import checks

    with exits():
        deployment = Deployment.load(context.obj)
        found = checks(deployment.home, deployment.ports.named())
    if json:
        show_json([asdict(check) for check in found])
    else:
        shown = table("doctor", "", "check", "found", "what to do")
        for check in found:
            mark = "[green]ok[/]" if check.ok else "[red]no[/]"
            shown.add_row(mark, check.name, check.found, "" if check.ok else check.advice)
        data.print(shown)
    wrong = sum(not check.ok for check in found)
    if wrong:
        talk.print(f"{wrong} of {len(found)} checks say no.")
        raise typer.Exit(1)
    talk.print("Everything is in place.")
