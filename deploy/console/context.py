"""What the console's pages work with; tests give them a projection of a log in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from deploy.config.settings import Settings
from deploy.console.access import Access
from deploy.console.identity import Identity
from deploy.console.live import Live
from deploy.console.pictures import Pictures
from deploy.console.security import Transport
from deploy.projection.reader import ProjectionReader
from retrain.run_view import Run
from streaming.contracts.log import RecordLog
from streaming.contracts.records import Action


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
    access: Access
    """Who may sign in, and what people may do."""
    identity: Identity
    """Who is shown the pages; of the console itself, the user who runs it. `seen_by` makes a
    request's console of it."""
    transport: Transport
    """How requests reach the console. Only its own names are answered; anything else may be another
    site's name for this machine."""
    recorded: Callable[[str], Run | None] = lambda run_id: None
    """A run as ML Metadata has it, by the id of its request; None when it does not have it. Raises
    `DriftlineError` when it cannot be read."""
    feed: Feed = field(default_factory=Feed)
    reply_seconds: float = 30.0
    """How long a decision waits for the daemon's reply."""

    @property
    def who(self) -> str:
        """In whose name decisions are sent."""
        return self.identity.person

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models in the settings that the person may see."""
        return tuple(filter(self.sees, self.settings.models))

    def sees(self, model: str) -> bool:
        """Whether the person may see what is about a model."""
        return self.identity.sees(model)

    def models_for(self, action: Action) -> tuple[str, ...]:
        """The models to which the person may give a command."""
        return tuple(name for name in self.models if not self.identity.barrier(name, action))

    def seen_by(self, identity: Identity) -> Console:
        """The same console for one person."""
        return replace(self, identity=identity)
