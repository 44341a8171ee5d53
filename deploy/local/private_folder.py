"""The state folder belongs to its user alone: events, labels and models lie in it.

A folder that cannot be used is a `ConfigurationError` that names it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streaming.contracts.errors import ConfigurationError

UMASK = 0o077
_OTHERS = 0o077


def make_private(folder: Path) -> None:
    """Create the folder if it is missing, and close it to group and others.

    Raises
    ------
    ConfigurationError
        When the folder cannot be created or belongs to another user.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mode = folder.stat().st_mode
        if mode & _OTHERS:
            folder.chmod(mode & ~_OTHERS)
    except OSError as error:
        raise ConfigurationError(
            f"The state folder {folder} cannot be made private: {error}. Set DRIFTLINE_HOME to a "
            "folder of your own."
        ) from error


@contextmanager
def state_folder_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` about the state folder into an error that names it.

    Raises
    ------
    ConfigurationError
        When a file or folder inside cannot be read or written.
    """
    try:
        yield
    except TimeoutError:  # an OSError too, but not one of the file system
        raise
    except OSError as error:
        raise ConfigurationError(
            f"The state folder {folder} cannot be used: {error}. Correct the owner and mode of "
            "that path or remove it, or set DRIFTLINE_HOME to a folder of your own."
        ) from error


@contextmanager
def private_files() -> Iterator[None]:
    """Files and folders that are created inside are readable by their user only."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)
