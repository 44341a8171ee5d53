"""A complete double of every port, in memory: for tests, for the walk, and for playing with rules.

The doubles keep the promises that the conformance suite checks on the real engines. `MemoryWorld`
wires them together: requests flow through the split into counters, servers load at a given speed,
and faults can be set by arm.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.ports import (
    ALL_STABLE,
    Arm,
    ArmCounters,
    Ports,
    Role,
    Scrape,
    ServerStatus,
    Split,
    VersionStatus,
)
from streaming.contracts.errors import NotFoundError, UnavailableError
from streaming.contracts.records import Artifact, ModelVersion


@dataclass(slots=True)
class MemorySplitter:
    """Routes by remembering."""

    split: Split = ALL_STABLE
    down: bool = False
    history: list[Split] = field(default_factory=list)

    def apply(self, split: Split) -> None:
        if self.down:
            raise UnavailableError("The splitter is down.")
        if split != self.split:
            self.history.append(split)
        self.split = split

    def live(self) -> Split:
        if self.down:
            raise UnavailableError("The splitter is down.")
        return self.split


@dataclass(slots=True)
class MemoryServers:
    """Model servers that load at once; `store` is what can be loaded."""

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
        """The process dies; what was loaded is gone."""
        self.down.add(role)
        self.loaded.pop(role, None)

    def revive(self, role: Role) -> None:
        """The process is back, empty."""
        self.down.discard(role)


@dataclass(slots=True)
class MemoryMetrics:
    """Scrapes that somebody put there."""

    taken: list[Scrape] = field(default_factory=list)
    down: bool = False

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        if self.down:
            raise UnavailableError("Prometheus is down.")
        return tuple(scrape for scrape in self.taken if since < scrape.at <= now)


@dataclass(slots=True)
class MemoryReferences:
    """One artifact per version, unless there are no windows."""

    without: set[int] = field(default_factory=set)

    def publish(self, version: ModelVersion) -> Artifact | None:
        if version.version in self.without:
            return None
        return Artifact(uri=f"memory:reference/{version.version}", digest=f"r{version.version}")


@dataclass(slots=True, kw_only=True)
class MemoryWorld:
    """All doubles, and traffic that goes through them.

    Parameters
    ----------
    rate:
        Requests per second.
    errors, slow:
        Share of bad answers by version; versions that are not named have none.
    seed:
        Of the random traffic.
    """

    rate: float = 200.0
    errors: Mapping[int, float] = field(default_factory=dict)
    slow: Mapping[int, float] = field(default_factory=dict)
    seed: int = 0
    splitter: MemorySplitter = field(default_factory=MemorySplitter)
    servers: MemoryServers = field(default_factory=MemoryServers)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    references: MemoryReferences = field(default_factory=MemoryReferences)
    started: float = 0.0
    _counts: dict[Arm, list[int]] = field(default_factory=dict)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - traffic, not secrets

    @property
    def ports(self) -> Ports:
        """What `observe` and `perform` take."""
        return Ports(
            splitter=self.splitter,
            servers=self.servers,
            metrics=self.metrics,
            references=self.references,
        )

    def flow(self, at: float, seconds: float = 1.0) -> None:
        """Let requests of `seconds` through, then take a scrape stamped `at`."""
        split = self.splitter.split
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
        """All counters begin again."""
        self.started = at
        self._counts.clear()

    def _count(self, arm: Arm, role: Role, count: int) -> None:
        version = self.servers.loaded.get(role)
        dead = version is None or role in self.servers.down
        failing = 1.0 if dead else self.errors.get(version or 0, 0.0)
        dawdling = 0.0 if dead else self.slow.get(version or 0, 0.0)
        total = self._counts.setdefault(arm, [0, 0, 0, 0])
        total[0] += count
        total[1] += sum(self._random.random() < failing for _ in range(count))
        total[2] += count
        total[3] += sum(self._random.random() < dawdling for _ in range(count))
