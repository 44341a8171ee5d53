"""`driftline logs`: the log of a process of the embedded stack."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.app.suggestion import did_you_mean
from deploy.cli.shared.command import command
from deploy.cli.shared.completion import complete_process
from deploy.local.private_folder import state_folder_errors
from deploy.views.escapes import visible
from streaming.contracts.errors import NotFoundError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

POLL_SECONDS = 0.2
_BLOCK = 64 * 1024


@command
def logs(
    deployment: Deployment,
    process: Annotated[
        str,
        typer.Argument(
            help="Name of the process, as `status` shows it.", autocompletion=complete_process
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new lines as they come.")
    ] = False,
    lines: Annotated[int, typer.Option(min=0, help="Number of lines from the end.")] = 50,
) -> None:
    """Print the end of a process's log.

    Example: `driftline logs daemon --lines 100`
    """
    folder = deployment.home / "log"
    file = folder / f"{process}.log"
    with state_folder_errors(deployment.home):
        known = sorted(entry.stem for entry in folder.glob("*.log"))
    if process not in known:
        names = f"there are {', '.join(known)}" if known else "`driftline up` starts the stack"
        raise NotFoundError(
            f"{folder} has no log of {process}; {names}.{did_you_mean(process, known)}"
        )
    with state_folder_errors(deployment.home):
        end = last_lines(file, lines)
    for line in end:
        sys.stdout.write(visible(line))
    sys.stdout.flush()
    if follow:
        for text in followed(file):
            sys.stdout.write(visible(text))
            sys.stdout.flush()


def last_lines(file: Path, count: int) -> list[str]:
    """The last lines of a file, read from its end."""
    if count == 0:
        return []
    with file.open("rb") as stream:
        position = stream.seek(0, 2)
        content = b""
        while position > 0 and content.count(b"\n") <= count:
            size = min(_BLOCK, position)
            position -= size
            stream.seek(position)
            content = stream.read(size) + content
    return content.decode(errors="replace").splitlines(keepends=True)[-count:]


def followed(file: Path) -> Generator[str]:
    """What is appended to a file from now on; a file that was rotated is opened again."""
    stream = file.open(errors="replace")
    stream.seek(0, 2)
    try:
        while True:
            text = stream.read()
            if text:
                yield text
            elif file.exists() and file.stat().st_ino != os.fstat(stream.fileno()).st_ino:
                stream.close()
                stream = file.open(errors="replace")
            else:
                time.sleep(POLL_SECONDS)
    finally:
        stream.close()
