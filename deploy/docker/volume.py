"""The shared volume, before the others start: folders, owners, and no link that leads out of it.

`prepare` begins as root over a volume that other users write to. A link there, or one that
replaces a folder meanwhile, must not lead root to a file elsewhere. So every step
goes through the descriptor of the folder above and opens what it finds with ``O_NOFOLLOW``; owners
are changed by descriptor, or on the name itself. After that root's rights are given up for good,
and files are written with the rights of the user who owns them.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streaming.contracts.errors import ConfigurationError

DRIFTLINE_USER = 10001
FLINK_USER = 9999
FLINK_FOLDER = "data"
"""The folder at the top of the volume that is Flink's: checkpoints and savepoints."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_DEPTH = 200
"""Folders within each other; TFX's own are below 20. Each open one costs a descriptor."""


def make_folder(home: Path, *names: str) -> None:
    """Create ``home/names[0]/names[1]/…`` where missing; each must be a folder and not a link.

    Raises
    ------
    ConfigurationError
        When one of them is a link or not a folder.
    """
    descriptors = [_open_home(home)]
    try:
        for depth, name in enumerate(names, start=1):
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=descriptors[-1])
            path = home.joinpath(*names[:depth])
            descriptors.append(_open_folder(name, descriptors[-1], path))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def refuse_links(home: Path) -> None:
    """Check that no link in the volume leads out of it.

    Raises
    ------
    ConfigurationError
        When one does; the message names it and where it leads.
    """
    with _descriptor(_open_home(home)) as folder:
        for _ in _entries(folder, home, home):
            pass


def change_owner(home: Path) -> None:
    """Give Flink's folder to Flink's user, and everything else to the user of the Python image.

    Links inside the volume change their owner and are not followed.

    Raises
    ------
    ConfigurationError
        When a link leads out of the volume, or a folder is replaced by a link meanwhile.
    """
    with _descriptor(_open_home(home)) as folder:
        os.fchown(folder, DRIFTLINE_USER, DRIFTLINE_USER)
        for parent, name, path in _entries(folder, home, home):
            owner = FLINK_USER if path.is_relative_to(home / FLINK_FOLDER) else DRIFTLINE_USER
            with suppress(FileNotFoundError):  # removed meanwhile
                os.chown(name, owner, owner, dir_fd=parent, follow_symlinks=False)


def give_up_root() -> None:
    """Become the user of the Python image, with no way back."""
    os.setgroups([])
    os.setresgid(DRIFTLINE_USER, DRIFTLINE_USER, DRIFTLINE_USER)
    os.setresuid(DRIFTLINE_USER, DRIFTLINE_USER, DRIFTLINE_USER)


def _entries(
    folder: int, path: Path, home: Path, depth: int = 1
) -> Iterator[tuple[int, str, Path]]:
    """Everything below an open folder: (descriptor of the folder above, name, path).

    What is removed meanwhile is passed over: Flink may run, and it removes old checkpoints.
    """
    if depth > _MAX_DEPTH:
        raise ConfigurationError(
            f"{path} is more than {_MAX_DEPTH} folders deep, which nothing of Driftline makes. "
            "Remove it and start again."
        )
    for name in sorted(os.listdir(folder)):
        below = path / name
        try:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            target = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(mode) else None
        except FileNotFoundError:
            continue
        if target is not None:
            _refuse_if_it_leaves(target, below, home)
        yield folder, name, below
        if stat.S_ISDIR(mode):
            try:
                opened = _open_folder(name, folder, below)
            except FileNotFoundError:
                continue
            with _descriptor(opened) as inner:
                yield from _entries(inner, below, home, depth + 1)


def _refuse_if_it_leaves(target: str, link: Path, home: Path) -> None:
    """Refuse a link by its text: what it says is not looked up.

    The folders above a link are real ones, so ``..`` at the beginning leads where it says. After a
    name it may not, because the name can be a link itself.
    """
    leads_to = Path(os.path.normpath(link.parent / target))
    after_the_climb = itertools.dropwhile(lambda part: part == "..", Path(target).parts)
    if leads_to.is_relative_to(home) and ".." not in after_the_climb:
        return
    raise ConfigurationError(
        f"{link} is a link that leads out of the volume, or may ({target}). Nothing of Driftline "
        "makes such links: find out who did, remove it and start again."
    )


def _open_home(home: Path) -> int:
    try:
        return os.open(home, _FOLDER)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigurationError(
            f"{home} must be a folder and not a link; mount the volume there."
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{home} cannot be opened: {error.strerror}.") from error


def _open_folder(name: str, parent: int, path: Path) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"{path} must be a folder and not a link ({error.strerror}). Remove it and start again."
        ) from error


@contextmanager
def _descriptor(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
