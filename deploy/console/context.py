"""What the console's pages work with; tests give them a projection of a log in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from deploy.config.settings import Settings
from deploy.console.live import Live
from deploy.console.pictures import Pictures
from deploy.projection.reader import ProjectionReader
from streaming.contracts.log import RecordLog


@dataclass(slots=True)
class Feed:
    """Whether the projection follows the log."""

    problem: str = ""
    """Why nothing new comes; empty while it does."""
    read: bool = False
    """Whether everything that was on the log at the start has been read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The parts of a running console."""

    settings: Settings
    file: str
    """The configuration file, for the settings page."""
    reader: ProjectionReader
    open_log: Callable[[], AbstractContextManager[RecordLog]]
    """Opens the log for a command, or for a record that the projection does not keep."""
    pictures: Pictures
    live: Live
    now: Callable[[], float]
    """Seconds since 1970."""
    who: str
    """In whose name decisions are sent: the user who runs the console."""
    hosts: frozenset[str]
    """Values of the header Host that are answered; anything else may be another site's name for
    this machine."""
    feed: Feed = field(default_factory=Feed)
    reply_seconds: float = 30.0
    """How long a decision waits for the daemon's reply."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models in the settings."""
        return tuple(self.settings.models)
