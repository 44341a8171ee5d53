"""The state folder belongs to its user alone: events, labels and models lie in it."""

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
def private_files() -> Iterator[None]:
    """Files and folders that are created inside are readable by their user only."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)
