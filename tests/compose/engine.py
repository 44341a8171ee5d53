"""Runs docker, and says why the compose test cannot run here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.source_files import PROJECT

COMPOSE_VERSION = (2, 24)
"""The first with ``!override`` in files that are merged."""


class CommandFailed(AssertionError):
    """A command of docker failed; the message is its output."""


def show(text: str) -> None:
    """One line of progress; `tests/run compose` lets pytest show it."""
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


def docker(
    *arguments: str | Path,
    seconds: float = 600,
    stdin: bytes | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    """Run docker and return what it printed.

    Raises
    ------
    CommandFailed
        When it ends with another status than 0.
    """
    command = ["docker", *map(str, arguments)]
    ended = subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, **(environment or {})},
        input=stdin,
        check=False,
        capture_output=True,
        timeout=seconds,
    )
    if ended.returncode != 0:
        output = (ended.stdout + ended.stderr).decode(errors="replace")
        raise CommandFailed(f"{' '.join(command)}\n{output[-4000:]}")
    return ended.stdout.decode(errors="replace")


def answers(*arguments: str, seconds: float = 600) -> bool:
    """Whether a command of docker ends with status 0 in time."""
    try:
        docker(*arguments, seconds=seconds)
    except (CommandFailed, OSError, subprocess.TimeoutExpired):
        return False
    return True


def why_not() -> str:
    """The reason in one sentence why no stack can be brought up here; empty if one can."""
    if not answers("info", seconds=20):
        return (
            "No Docker engine answers `docker info`; start one, or run on a machine that has one."
        )
    try:
        printed = docker("compose", "version", "--short", seconds=20)
    except CommandFailed:
        return "`docker compose` is missing; install the compose plugin, version 2.24 or newer."
    return old_compose(printed)


def old_compose(printed: str) -> str:
    """The reason if the version of compose is too old; empty if it is not.

    >>> old_compose("2.26.1-4")
    ''
    >>> old_compose("v2.9.0")
    '`docker compose` is 2.9; this needs 2.24 or newer.'
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", printed)[:2])
    if numbers >= COMPOSE_VERSION:
        return ""
    have, need = (".".join(map(str, version)) for version in (numbers, COMPOSE_VERSION))
    return f"`docker compose` is {have or 'unknown'}; this needs {need} or newer."


def missing(programs: Iterable[str]) -> list[str]:
    """Those of the programs that are not on PATH."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return [name for name in programs if not any((Path(path) / name).exists() for path in folders)]
