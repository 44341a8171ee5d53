"""Which configuration file a stack's folder belongs to, and what happens when another one comes.

One folder has one set of servers, one watchdog and one list of stream jobs. So a second file does
not start its stack there while that of the first one runs. Once it is down another file may use the
folder; the stream jobs of the first one are then set aside, because they would continue with the
models of the second one from the checkpoints of the first, and come back with their file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from deploy.config.atomic_file import write_atomic
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.ids import digest

SET_ASIDE = "other-configurations"
"""Folder with the lists of stream jobs of files that do not use the folder now."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration file, and what its stream jobs read."""

    file: str
    """Its absolute path."""
    kafka: str = ""
    """Address of Kafka."""
    models: dict[str, str] = {}
    """Topic of the events of each model."""

    def has_the_jobs_of(self, other: Configuration) -> bool:
        """Whether the stream jobs of the other one are its own, as after the file was moved."""
        ours, theirs = (self.kafka, self.models), (other.kafka, other.models)
        return self.file == other.file or ours == theirs


def take_folder(home: Path, ours: Configuration, *, running: bool) -> None:
    """Note that the stack of this file uses the folder from now on.

    Parameters
    ----------
    running:
        Whether a stack runs in it.

    Raises
    ------
    ConfigurationError
        When the stack of another file runs there.
    OSError
        When the folder cannot be read or written.
    """
    before = read_configuration(home)
    if before is not None and before.file != ours.file:
        if running:
            raise _refusal(home, before, ours)
        if not ours.has_the_jobs_of(before):
            _exchange_jobs(home, before, ours)
    write_atomic(_file(home), msgspec.json.encode(ours))


def refuse_stack_of_another(home: Path, ours: Configuration, *, running: bool) -> None:
    """Refuse a command that would change the running stack, or the stream jobs, of another file.

    A file that was moved is the same one, and the stack of a file that has gone is anybody's.

    Raises
    ------
    ConfigurationError
        When the stack of another file runs in the folder.
    """
    before = read_configuration(home) if running else None
    if before is None or ours.has_the_jobs_of(before) or not Path(before.file).exists():
        return
    raise _refusal(home, before, ours)


def _refusal(home: Path, before: Configuration, ours: Configuration) -> ConfigurationError:
    return ConfigurationError(
        f"The stack in {home} runs for {before.file} ({_models(before)}); {ours.file} "
        f"({_models(ours)}) would take over its servers, watchdog and checkpoints. Stop it "
        f"with `driftline -c {before.file} down`, or give this file a stack of its own "
        "with local.folder and local.port_offset."
    )


def read_configuration(home: Path) -> Configuration | None:
    """The file that used the folder last; None where that is not known."""
    try:
        return msgspec.json.decode(_file(home).read_bytes(), type=Configuration)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _exchange_jobs(home: Path, before: Configuration, ours: Configuration) -> None:
    """Set the stream jobs of the earlier file aside, and take back those of this one."""
    jobs = home / "run" / "stream-jobs.json"
    aside = home / SET_ASIDE
    aside.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileNotFoundError):  # it had none
        os.replace(jobs, aside / _name(before))
    with suppress(FileNotFoundError):
        os.replace(aside / _name(ours), jobs)


def _name(configuration: Configuration) -> str:
    return f"stream-jobs.{digest(configuration.file.encode())[:16]}.json"


def _file(home: Path) -> Path:
    return home / "run" / "configuration"


def _models(configuration: Configuration) -> str:
    names = sorted(configuration.models)
    return f"model{'s' if len(names) != 1 else ''} {', '.join(names)}"
