"""Reads `driftline.yaml` again when it has changed: one `stat` tells whether it has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from deploy.config import loader
from deploy.config.settings import Settings
from streaming.contracts.errors import ConfigurationError

_Stamp = tuple[int, int, int]
log = structlog.get_logger()


class ChangedSettings:
    """The settings of a file, each state of it once; may be called from any thread.

    Parameters
    ----------
    what:
        What is taken from the file, for the log.
    load:
        Reads the file.
    """

    def __init__(
        self, file: Path, what: str, load: Callable[[Path], Settings] = loader.load
    ) -> None:
        self._file, self._what, self._load = file, what, load
        self._read: _Stamp | None = None  # it may have changed since the settings were read
        self._lock = threading.Lock()

    def take(self, apply: Callable[[Settings], str]) -> None:
        """Apply the settings if the file has changed since the last call.

        A file that cannot be read, or that has a mistake, changes nothing until it is corrected.

        Parameters
        ----------
        apply:
            Takes the settings and returns why they change nothing; empty when they may.
        """
        with self._lock:
            try:
                status = self._file.stat()
            except OSError:  # it is being replaced
                return
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._read:
                return
            self._read = stamp
            try:
                reason = apply(self._load(self._file))
            except (ConfigurationError, OSError) as error:
                reason = str(error)
            if reason:
                log.warning(f"{self._what}.unchanged", file=str(self._file), reason=reason)
