"""`driftline report` writes a report as one file; `driftline open` opens a page of the console."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, UsageError, command
from deploy.views.output import show_json, stderr, stdout
from streaming.contracts.errors import UnavailableError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.reports.contents import Report

_TIME_HELP = "ISO 8601 (UTC unless it has a zone), seconds since 1970, or an age: 2h, 7d."
DEFAULT_PERIOD = "30d"


@command
def report(
    deployment: Deployment,
    model: Model,
    since: Annotated[
        str | None, typer.Option("--from", help=f"Start; default {DEFAULT_PERIOD}. {_TIME_HELP}")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="End, written like the start; default now.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Report on this version instead of a period.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; default MODEL-report.html.")
    ] = None,
    json: Json = False,
) -> None:
    """Write what changed, why, and who decided, as one HTML file for reading and printing.

    It has pictures and style in itself, needs no network and runs no script.

    Example: `driftline report big_tipper --from 30d`, `driftline report big_tipper --version 4`
    """
    from deploy.config.atomic_file import write_atomic
    from deploy.records.commands import current_user
    from deploy.reports.page import rendered
    from deploy.reports.source import read

    deployment.settings_of(model)
    if version is not None and since is not None:
        raise UsageError("--version has its own start: leave --from out.")
    now = time.time()
    start, end = _time(since or DEFAULT_PERIOD, now), _time(until, now) if until else now
    if start >= end:
        raise UsageError("--from must be before --to.")
    file = output or Path(f"{model}{f'-{version}' if version else ''}-report.html")
    if not file.parent.is_dir():
        raise UsageError(f"There is no folder {file.parent}.")

    def written(contents: Report, text: str) -> None:
        write_atomic(file, text)
        shown = {
            "file": str(file.absolute()), "bytes": len(text.encode()), "model": model,
            "from": contents.start, "to": contents.end,
            "versions": [change.version.version for change in contents.changes],
            "windows": contents.windows, "commands": contents.commands.total,
        }  # fmt: skip
        if json:
            show_json(shown)
        else:
            stdout.print(f"{file}: {shown['bytes']} bytes", soft_wrap=True)

    with read(deployment, model, start=start, end=end, version=version) as (contents, reader):
        written(contents, rendered(contents, reader, now=now, by=current_user()))


@command
def open_(
    deployment: Deployment,
    target: Annotated[
        str, typer.Argument(help="A model, a record's id, or approvals; default: the first page.")
    ] = "",
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the address and open nothing.")
    ] = False,
) -> None:
    """Open the console in the browser at the page of a model, a record, or the approvals.

    Example: `driftline open big_tipper`, `driftline open approvals`
    """
    import webbrowser

    import httpx

    from deploy.app.scrape_targets import console_address

    address = console_address(deployment.settings, deployment.ports)
    url = f"{address}{page_of(target, tuple(deployment.settings.models))}"
    if not only_print:
        try:
            httpx.get(f"{address}/health", timeout=5.0)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"The console at {address} does not answer: {error}. Run `driftline console`."
            ) from error
        if not webbrowser.open(url):
            stderr.print("There is no browser here; open the address yourself.")
    stdout.print(url, soft_wrap=True, markup=False, highlight=False)


def page_of(target: str, models: tuple[str, ...]) -> str:
    """Path of the page that shows a target.

    >>> page_of("", ()), page_of("m", ("m",)), page_of("approvals", ()), page_of("0f/..", ())
    ('/', '/models/m', '/approvals', '/records/0f%2F..')
    """
    from urllib.parse import quote

    pages = {"": "/", "approvals": "/approvals", "dead-letters": "/dead-letters"}
    if target in models:
        return f"/models/{quote(target, safe='')}"
    return pages.get(target) or f"/records/{quote(target, safe='')}"


def _time(text: str, now: float) -> float:
    from deploy.config.units import parse_time

    try:
        return parse_time(text, now)
    except ValueError as error:
        raise UsageError(str(error)) from error
