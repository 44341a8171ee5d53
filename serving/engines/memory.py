"""In-memory implementations of every port: for tests and for trying out rules.

They pass the same conformance suite as the real engines. `InMemoryServing` connects them: requests
follow the split into the counters, servers load versions, and faults can be set by version.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.ports import (
    ALL_STABLE,
    Arm,
    ArmCounters,
    PublishedReference,
    Role,
    Scrape,
    ServerStatus,
    ServingPorts,
    TrafficSplit,
    VersionStatus,
)
from streaming.contracts.errors import NotFoundError, UnavailableError
from streaming.contracts.records import Artifact, ModelVersion


@dataclass(slots=True)
class InMemoryRouter:
    """A router that only stores the split; `history` holds every change."""

    split: TrafficSplit = ALL_STABLE
    down: bool = False
    history: list[TrafficSplit] = field(default_factory=list)

    def apply(self, split: TrafficSplit) -> None:
        if self.down:
            raise UnavailableError("The router is down.")
        if split != self.split:
            self.history.append(split)
        self.split = split

    def current_split(self) -> TrafficSplit:
        if self.down:
            raise UnavailableError("The router is down.")
        return self.split


@dataclass(slots=True)
class InMemoryModelServers:
    """Model servers that load at once; `store` holds the versions that can be loaded."""

    store: set[int] = field(default_factory=set)
    loaded: dict[Role, int] = field(default_factory=dict)
    down: set[Role] = field(default_factory=set)
    load_seconds: float = 0.2

    def status(self, role: Role) -> ServerStatus:
        if role in self.down:
            return ServerStatus(role=role, reachable=False)
        version = self.loaded.get(role)
        if version is None:
            return ServerStatus(role=role, reachable=True)
        status = VersionStatus(version=version, state="available", load_seconds=self.load_seconds)
        return ServerStatus(role=role, reachable=True, versions=(status,))

    def load(self, role: Role, version: int) -> None:
        if role in self.down:
            raise UnavailableError(f"The {role} server is down.")
        if version not in self.store:
            raise NotFoundError(f"There is no version {version} to load.")
        self.loaded[role] = version

    def kill(self, role: Role) -> None:
        """Stop the process; its loaded version is lost."""
        self.down.add(role)
        self.loaded.pop(role, None)

    def revive(self, role: Role) -> None:
        """Start the process again, without a version."""
        self.down.discard(role)


@dataclass(slots=True)
class InMemoryMetrics:
    """Scrapes appended by the caller."""

    taken: list[Scrape] = field(default_factory=list)
    down: bool = False

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        if self.down:
            raise UnavailableError("Prometheus is down.")
        return tuple(scrape for scrape in self.taken if since < scrape.at <= now)


@dataclass(slots=True)
class InMemoryReferences:
    """One artifact per version; None for versions in `without_windows`."""

    without_windows: set[int] = field(default_factory=set)
    results: dict[int, PublishedReference] = field(default_factory=dict)
    down: bool = False

    def publish(self, version: ModelVersion) -> Artifact | None:
        if self.down:
            raise UnavailableError("The log is down.")
        number = version.version
        artifact = (
            None
            if number in self.without_windows
            else Artifact(uri=f"memory:reference/{number}", digest=f"r{number}")
        )
        self.results[number] = PublishedReference(version=number, artifact=artifact)
        return artifact

    def published(self, version: ModelVersion) -> PublishedReference | None:
        return self.results.get(version.version)


@dataclass(slots=True, kw_only=True)
class InMemoryServing:
    """All in-memory ports, and simulated traffic through them.

    Parameters
    ----------
    rate:
        Requests per second.
    errors, slow:
        Share of failed and of slow responses by version; 0 for versions not listed.
    seed:
        Seed of the random traffic.
    """

    rate: float = 200.0
    errors: Mapping[int, float] = field(default_factory=dict)
    slow: Mapping[int, float] = field(default_factory=dict)
    seed: int = 0
    router: InMemoryRouter = field(default_factory=InMemoryRouter)
    servers: InMemoryModelServers = field(default_factory=InMemoryModelServers)
    metrics: InMemoryMetrics = field(default_factory=InMemoryMetrics)
    references: InMemoryReferences = field(default_factory=InMemoryReferences)
    started: float = 0.0
    _counts: dict[Arm, list[int]] = field(default_factory=dict)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - traffic, not secrets

    @property
    def ports(self) -> ServingPorts:
        """The ports for `observe` and `perform`."""
        return ServingPorts(
            router=self.router,
            servers=self.servers,
            metrics=self.metrics,
            references=self.references,
        )

    def advance_traffic(self, at: float, seconds: float = 1.0) -> None:
        """Send the requests of `seconds`, then append a scrape with time `at`."""
        split = self.router.split
        arms: list[tuple[Arm, Role, int]] = [
            ("stable", "stable", split.stable),
            ("control", "control", split.control),
            ("canary", "canary", split.canary),
            ("mirror-control", "control", split.mirror),
            ("mirror-canary", "canary", split.mirror),
        ]
        for arm, role, share in arms:
            expected = self.rate * seconds * share / 100.0
            count = int(expected) + (self._random.random() < expected % 1.0)
            self._count(arm, role, count)
        self.metrics.taken.append(
            Scrape(
                at=at,
                uptime_seconds=at - self.started,
                arms=tuple(
                    ArmCounters(arm=arm, requests=n, errors=errors, timed=timed, slow=slow)
                    for arm, (n, errors, timed, slow) in self._counts.items()
                ),
            )
        )

    def restart_router(self, at: float) -> None:
        """Restart the router: all counters reset to zero."""
        self.started = at
        self._counts.clear()

    def _count(self, arm: Arm, role: Role, count: int) -> None:
        version = self.servers.loaded.get(role)
        dead = version is None or role in self.servers.down
        failing = 1.0 if dead else self.errors.get(version or 0, 0.0)
        slow = 0.0 if dead else self.slow.get(version or 0, 0.0)
        total = self._counts.setdefault(arm, [0, 0, 0, 0])
        total[0] += count
        total[1] += sum(self._random.random() < failing for _ in range(count))
        total[2] += count
        total[3] += sum(self._random.random() < slow for _ in range(count))
