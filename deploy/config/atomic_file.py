"""Replaces a file in one step; opens a lock file for its user only."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import IO


def write_atomic(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Replace a file atomically: a reader sees the old content or the new one, never a part.

    Its permissions are `mode`, by default those that the umask leaves. Both the content and the
    name are on the disk before it returns, so a power cut leaves no empty file either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with fresh.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)  # only after an error is it still there
    with contextlib.suppress(OSError):  # some file systems cannot do it for a folder
        _sync_folder(path.parent)


def open_private(path: Path) -> IO[str]:
    """A file to lock, made if it is not there; readable by its user only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    with contextlib.suppress(OSError):  # it is another user's
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "w")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
