"""The files of a version: whether they are its own, and whether they still change."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.engines.modelserver.codes import Code, Refused
from streaming.contracts.model_manifest import MANIFEST

QUIET_SECONDS = 1.0
"""A version without a manifest is loaded when its files have not changed for this time."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Names, sizes, times and inodes of a version's files in one number, and the latest change."""

    value: int
    changed_at: float
    """Unix time of the latest change of a file or folder; the files are still being copied soon
    after it."""


def is_at_rest(folder: Path, stamp: Stamp, quiet_seconds: float) -> bool:
    """Whether a version can be looked at: its files have not changed for a while, or a manifest
    shows whether they are whole. A time in the future counts as past.
    """
    return not 0 <= time.time() - stamp.changed_at < quiet_seconds or has_manifest(folder)


def has_manifest(folder: Path) -> bool:
    """Whether a version has a manifest."""
    return os.path.isfile(folder / MANIFEST)  # False, unlike pathlib's, also for a folder not ours


def stamp_of(folder: Path) -> Stamp:
    """The stamp of a version's files; one of a folder that cannot be read is a stamp too."""
    digest, latest = hashlib.blake2b(digest_size=8), 0
    for path, status in sorted(_walk(folder)):
        digest.update(f"{path}\0{status}\0".encode("utf-8", "surrogateescape"))
        if isinstance(status, tuple):
            latest = max(latest, *status[2:4])
    return Stamp(int.from_bytes(digest.digest()) or 1, latest / 1e9)


def _walk(folder: Path) -> Iterator[tuple[str, tuple[int, ...] | str]]:
    """Path with mode, size, times and inode of every entry, or the error that hides it."""
    waiting = [str(folder)]
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    yield (
                        entry.path,
                        (
                            status.st_mode,
                            status.st_size,
                            status.st_mtime_ns,
                            status.st_ctime_ns,
                            status.st_ino,
                        ),
                    )
        except OSError as error:
            yield path, f"{error.errno}"


def check_files(folder: Path) -> None:
    """Refuse files that are not the version's own: links out of it, devices, sockets, pipes.

    Raises
    ------
    Refused
        PERMISSION_DENIED, or UNAVAILABLE when a file cannot be read.
    """
    try:
        root = folder.resolve(strict=True)
        for path, folders, names in os.walk(root, onerror=_raise):
            for name in (*folders, *names):
                _check_file(Path(path, name), root)
    except OSError as error:
        raise Refused(Code.UNAVAILABLE, f"The version cannot be read: {error}") from error


def _check_file(file: Path, root: Path) -> None:
    mode = file.lstat().st_mode
    if stat.S_ISLNK(mode):
        try:
            target = file.resolve(strict=True)
        except RuntimeError as error:  # how pathlib reports a loop of links
            raise Refused(Code.PERMISSION_DENIED, f"{file} is a loop of links.") from error
        if not target.is_relative_to(root):
            raise Refused(
                Code.PERMISSION_DENIED, f"{file} is a link to a file outside the version's folder."
            )
        mode = target.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise Refused(Code.PERMISSION_DENIED, f"{file} is neither a file nor a folder.")


def _raise(error: OSError) -> None:
    raise error
