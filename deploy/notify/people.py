"""Who may press a button in Slack, as `driftline.yaml` names them now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from deploy.access.changed_settings import ChangedSettings
from deploy.config import loader
from deploy.config.settings import Settings

log = structlog.get_logger()


class CurrentPeople:
    """Names by Slack's user id; may be called from any thread.

    Who is not in the file any more may press nothing from then on, also when the whole section
    `alerts.slack` is gone. A file with a mistake changes nothing until it is corrected.

    Parameters
    ----------
    settings:
        What was read at the start.
    file:
        The file that they were read from.
    load:
        Reads the file.
    """

    def __init__(
        self, settings: Settings, file: Path, load: Callable[[Path], Settings] = loader.load
    ) -> None:
        self._people = _people_of(settings)
        self._changed = ChangedSettings(file, "people", load)

    def __call__(self) -> Mapping[str, str]:
        """The people now."""
        self._changed.take(self._apply)
        return self._people

    def _apply(self, settings: Settings) -> str:
        people = _people_of(settings)
        if people != self._people:
            log.info("people.changed", number=len(people))
            self._people = people
        return ""


def _people_of(settings: Settings) -> Mapping[str, str]:
    slack = settings.alerts.slack
    return {} if slack is None else slack.people
