"""The roles as `driftline.yaml` gives them now, without a restart of who asks.

One `stat` tells whether the file has changed; only then it is read again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from deploy.access.roles import Roles
from deploy.config import loader
from deploy.config.settings import Settings
from streaming.contracts.errors import ConfigurationError

_Stamp = tuple[int, int, int]
log = structlog.get_logger()


class CurrentRoles:
    """The roles of a file; may be called from any thread.

    A file that cannot be read, or that has a mistake, changes nothing until it is corrected. Nor
    does one that has no roles any more, because everybody would have all of them: that counts from
    the next start on.

    Parameters
    ----------
    settings:
        What was read at the start.
    file:
        The file that they were read from; None for settings that do not change.
    load:
        Reads the file.
    """

    def __init__(
        self,
        settings: Settings,
        file: Path | None = None,
        load: Callable[[Path], Settings] = loader.load,
    ) -> None:
        self._roles = Roles.of(settings)
        self._file, self._load = file, load
        self._read: _Stamp | None = None  # it may have changed since the settings were read
        self._lock = threading.Lock()

    def __call__(self) -> Roles:
        """The roles now."""
        if self._file is not None:
            with self._lock:
                self._look(self._file)
        return self._roles

    def _look(self, file: Path) -> None:
        try:
            status = file.stat()
        except OSError:  # it is being replaced
            return
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._read:
            return
        self._read = stamp
        try:
            roles = Roles.of(self._load(file))
        except (ConfigurationError, OSError) as error:
            log.warning("roles.unchanged", file=str(file), reason=str(error))
            return
        if self._roles.entries and not roles.entries:
            log.warning("roles.unchanged", file=str(file), reason="it has no access.roles any more")
            return
        if roles != self._roles:
            log.info("roles.changed", file=str(file))
            self._roles = roles
