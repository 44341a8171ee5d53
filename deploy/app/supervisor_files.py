"""Files by which other processes reach the supervisor of the embedded stack.

A request to end a process, so that a fresh one starts, is an empty file in DRIFTLINE_HOME; the
supervisor takes it away when it ends the process.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from streaming.contracts.errors import UnavailableError


def identity_file(home: Path) -> Path:
    """The file of the supervisor's identity; there is none without a supervisor."""
    return home / "run" / "supervisor.json"


def request_restart(home: Path, name: str) -> None:
    """Ask for a fresh process of this name; returns at once.

    Raises
    ------
    UnavailableError
        When the request cannot be written.
    """
    try:
        _request_file(home, name).touch()
    except OSError as error:
        raise UnavailableError(f"A restart of {name} could not be requested: {error}.") from error


def take_request(home: Path, name: str) -> bool:
    """Whether a fresh process of this name was requested; the request is taken away."""
    file = _request_file(home, name)
    with contextlib.suppress(OSError):
        if file.exists():
            file.unlink()
            return True
    return False


def _request_file(home: Path, name: str) -> Path:
    return home / "run" / f"restart.{name}"
