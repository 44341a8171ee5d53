"""The roles as `driftline.yaml` gives them now, without a restart of who asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from deploy.access.changed_settings import ChangedSettings
from deploy.access.roles import Roles
from deploy.config import loader
from deploy.config.settings import Settings

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
        self._changed = None if file is None else ChangedSettings(file, "roles", load)

    def __call__(self) -> Roles:
        """The roles now."""
        if self._changed is not None:
            self._changed.take(self._apply)
        return self._roles

    def _apply(self, settings: Settings) -> str:
        roles = Roles.of(settings)
        if self._roles.entries and not roles.entries:
            return "it has no access.roles any more"
        if roles != self._roles:
            log.info("roles.changed")
            self._roles = roles
        return ""
