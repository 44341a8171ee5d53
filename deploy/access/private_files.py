"""Files with secrets: written for their user only, and refused when others can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from streaming.contracts.errors import ConfigurationError, Conflict

MAX_SECRET_BYTES = 16 * 1024


def read_secret(path: Path, what: str) -> str:
    """The content of a file with a secret, without the white space around it.

    Parameters
    ----------
    what:
        What the file holds, for messages.

    Raises
    ------
    ConfigurationError
        When it cannot be read, others can read it, or it is empty or too long.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"The file with {what} cannot be read: {error.strerror}: {path}."
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"Others can read {path}, which holds {what}; `chmod 600 {path}` ends that."
        )
    if len(content) > MAX_SECRET_BYTES:
        raise ConfigurationError(f"{path} is too long to hold {what}.")
    try:
        secret = content.decode().strip()
    except ValueError as error:
        raise ConfigurationError(f"{path} holds no text, so it does not hold {what}.") from error
    if not secret:
        raise ConfigurationError(f"{path} is empty; it should hold {what}.")
    return secret


def write_secret(path: Path, secret: str, what: str) -> None:
    """Write a new file that only its user can read.

    Raises
    ------
    Conflict
        When the file exists.
    """
    private_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{path} exists; {what} is not written over it.") from error
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{secret}\n")


def private_folder(folder: Path) -> None:
    """Make a folder for its user only; one that exists is left as it is."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
