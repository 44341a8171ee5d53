"""The ports of a model that this deployment monitors and does not serve.

Its servers and routes exist elsewhere. Here every load and every split is taken as done, and there
is no traffic to measure and no server to ask; the rollout of such a model has no canary
(`RolloutRules.served`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.ports import (
    ALL_STABLE,
    ReferencePublisher,
    Role,
    Scrape,
    ServerStatus,
    ServingPorts,
    TrafficSplit,
    VersionStatus,
)
from streaming.contracts.records import ModelVersion, PairedComparison


@dataclass(slots=True)
class Unserved:
    """Implements `TrafficRouter`, `ModelServers`, `TrafficMetrics` and `AnswerComparer` without any
    engine.

    After a restart it is empty, and the next tick asks for the same versions again.
    """

    _split: TrafficSplit = ALL_STABLE
    _versions: dict[Role, int] = field(default_factory=dict)

    def apply(self, split: TrafficSplit) -> None:
        """See `TrafficRouter.apply`."""
        self._split = split

    def current_split(self) -> TrafficSplit:
        """See `TrafficRouter.current_split`."""
        return self._split

    def healthy_servers(self) -> tuple[Role, ...]:
        """See `TrafficRouter.healthy_servers`; those with a version."""
        return tuple(self._versions)

    def status(self, role: Role) -> ServerStatus:
        """See `ModelServers.status`; the version that was asked for is available."""
        version = self._versions.get(role)
        versions = (
            ()
            if version is None
            else (VersionStatus(version=version, state="available", load_seconds=0.0),)
        )
        return ServerStatus(role=role, reachable=True, versions=versions)

    def load(self, role: Role, version: int) -> None:
        """See `ModelServers.load`."""
        self._versions[role] = version

    def unload(self, role: Role) -> None:
        """See `ModelServers.unload`."""
        self._versions.pop(role, None)

    def replace(self, role: Role) -> None:
        """See `ModelServers.replace`; nothing runs here."""
        self.unload(role)

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        """See `TrafficMetrics.scrapes`; there are none."""
        return ()

    def notices(self) -> tuple[str, ...]:
        """See `TrafficMetrics.notices`; there are none."""
        return ()

    def compare(self, version: ModelVersion, champion: int) -> None:
        """See `AnswerComparer.compare`; there is no server to ask."""

    def compared(self, version: ModelVersion, champion: int) -> PairedComparison | None:
        """See `AnswerComparer.compared`; there is no result."""
        return None


def unserved_ports(references: ReferencePublisher) -> ServingPorts:
    """The ports of a monitored model."""
    unserved = Unserved()
    return ServingPorts(
        router=unserved,
        servers=unserved,
        metrics=unserved,
        references=references,
        answers=unserved,
    )
