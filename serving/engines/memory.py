"""In-memory implementations of every port: for tests and for trying out rules.

They pass the same conformance suite as the real engines. `InMemoryServing` connects them: requests
follow the split into the counters, servers load versions, and faults can be set by version.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.evidence.rules import EvidenceRules
from serving.ports import (
    ALL_STABLE,
    ROLES,
    Arm,
    ArmCounters,
    ExperimentSplit,
    MemoryBudget,
    PublishedReference,
    Role,
    Scrape,
    ServerStatus,
    ServingPorts,
    SliceCounters,
    TrafficSplit,
    VersionStatus,
)
from streaming.contracts.errors import DriftlineError, NotFoundError, UnavailableError
from streaming.contracts.records import Artifact, GateOutcome, ModelVersion, PairedComparison


@dataclass(slots=True)
class InMemoryRouter:
    """A router that only stores the split; `history` holds every change."""

    split: TrafficSplit = ALL_STABLE
    down: bool = False
    history: list[TrafficSplit] = field(default_factory=list)
    servers: InMemoryModelServers | None = None
    """The servers behind it: those that are up with a version are healthy. None: all are."""
    unhealthy: set[Role] = field(default_factory=set)
    """Servers that the router does not hold healthy, whatever they have."""

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

    def healthy_servers(self) -> tuple[Role, ...]:
        if self.down:
            raise UnavailableError("The router is down.")
        return tuple(role for role in ROLES if role not in self.unhealthy and self._has(role))

    def _has(self, role: Role) -> bool:
        servers = self.servers
        return servers is None or (role in servers.loaded and role not in servers.down)


@dataclass(slots=True)
class InMemoryModelServers:
    """Model servers that load at once; `store` holds the versions that can be loaded."""

    store: set[int] = field(default_factory=set)
    loaded: dict[Role, int] = field(default_factory=dict)
    down: set[Role] = field(default_factory=set)
    load_seconds: float = 0.2
    replaced: list[Role] = field(default_factory=list)
    """The roles that got a fresh server, in order."""
    sick: dict[Role, float] = field(default_factory=dict)
    """Share of failed responses of a server, whatever its version; a fresh server has none."""

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

    def unload(self, role: Role) -> None:
        if role in self.down:
            raise UnavailableError(f"The {role} server is down.")
        self.loaded.pop(role, None)

    def replace(self, role: Role) -> None:
        self.unload(role)
        self.sick.pop(role, None)
        self.replaced.append(role)

    def kill(self, role: Role) -> None:
        """Stop the process; its loaded version is lost."""
        self.down.add(role)
        self.loaded.pop(role, None)
        self.sick.pop(role, None)

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

    def notices(self) -> tuple[str, ...]:
        return ()


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


@dataclass(slots=True)
class InMemoryQueries:
    """Values by rendered query, or problems; queries not listed give no value."""

    rules: EvidenceRules = field(default_factory=EvidenceRules)
    values: dict[str, float | DriftlineError] = field(default_factory=dict)
    down: bool = False

    def value(self, query: str, *, now: float) -> float | None:
        if self.down:
            raise UnavailableError("Prometheus is down.")
        value = self.values.get(query)
        if isinstance(value, DriftlineError):
            raise value
        return value


@dataclass(slots=True)
class InMemoryAnswers:
    """Comparisons that end at once; `outcomes` holds those that do not pass, by version."""

    outcomes: dict[int, GateOutcome] = field(default_factory=dict)
    silent: bool = False
    """Whether comparisons start and never end."""
    results: dict[tuple[str, int], PairedComparison] = field(default_factory=dict)

    def compare(self, version: ModelVersion, champion: int) -> None:
        if self.silent:
            return
        outcome = self.outcomes.get(version.version, "pass")
        self.results[version.record_id, champion] = PairedComparison(
            outcome=outcome,
            reason=f"The comparison of version {version.version} is set to {outcome}.",
            requested=1000,
            rows=1000,
        )

    def compared(self, version: ModelVersion, champion: int) -> PairedComparison | None:
        return self.results.get((version.record_id, champion))


@dataclass(slots=True)
class InMemoryFiles:
    """Files that are as they were published, but for those of changed versions."""

    changed: set[int] = field(default_factory=set)

    def digest(self, version: ModelVersion) -> str | None:
        digest = version.artifact.digest
        return f"not {digest}" if version.version in self.changed else digest


@dataclass(slots=True, kw_only=True)
class InMemoryServing:
    """All in-memory ports, and simulated traffic through them.

    Parameters
    ----------
    rate:
        Requests per second.
    errors, slow:
        Share of failed and of slow responses by version; 0 for versions not listed.
    slices:
        Share of each slice in the requests.
    slice_errors:
        Share of failed responses by version and slice, beside that of the version.
    seed:
        Seed of the random traffic.
    """

    rate: float = 200.0
    errors: Mapping[int, float] = field(default_factory=dict)
    slow: Mapping[int, float] = field(default_factory=dict)
    slices: Mapping[str, float] = field(default_factory=dict)
    slice_errors: Mapping[tuple[int, str], float] = field(default_factory=dict)
    seed: int = 0
    router: InMemoryRouter = field(default_factory=InMemoryRouter)
    servers: InMemoryModelServers = field(default_factory=InMemoryModelServers)
    metrics: InMemoryMetrics = field(default_factory=InMemoryMetrics)
    references: InMemoryReferences = field(default_factory=InMemoryReferences)
    queries: InMemoryQueries = field(default_factory=InMemoryQueries)
    memory_budget: MemoryBudget | None = None
    """None: memory is not limited."""
    answers: InMemoryAnswers = field(default_factory=InMemoryAnswers)
    files: InMemoryFiles = field(default_factory=InMemoryFiles)
    started: float = 0.0
    _counts: dict[Arm, list[int]] = field(default_factory=dict)
    _slice_counts: dict[Arm, dict[str, list[int]]] = field(default_factory=dict)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - traffic, not secrets

    @property
    def ports(self) -> ServingPorts:
        """The ports for `observe` and `perform`."""
        self.router.servers = self.servers
        return ServingPorts(
            router=self.router,
            servers=self.servers,
            metrics=self.metrics,
            references=self.references,
            queries=self.queries,
            answers=self.answers,
            files=self.files,
            memory=self.memory_budget,
        )

    def advance_traffic(self, at: float, seconds: float = 1.0) -> None:
        """Send the requests of `seconds`, then append a scrape with time `at`."""
        split = self.router.split
        arms: list[tuple[Arm, Role, float]] = [
            ("stable", "stable", split.stable),
            ("control", "control", split.control),
            ("canary", "canary", split.canary),
            ("mirror-control", "control", split.mirror),
            ("mirror-canary", "canary", split.mirror),
        ]
        if split.experiment is not None:
            arms = _experiment_arms(split.experiment)
        for arm, role, share in arms:
            expected = self.rate * seconds * share / 100.0
            count = int(expected) + (self._random.random() < expected % 1.0)
            self._count(arm, role, count)
        self.metrics.taken.append(
            Scrape(
                at=at,
                uptime_seconds=at - self.started,
                arms=tuple(
                    ArmCounters(
                        arm=arm,
                        requests=n,
                        errors=errors,
                        timed=timed,
                        slow=slow,
                        slices=self._scraped_slices(arm),
                    )
                    for arm, (n, errors, timed, slow) in self._counts.items()
                ),
            )
        )

    def restart_router(self, at: float) -> None:
        """Restart the router: all counters reset to zero."""
        self.started = at
        self._counts.clear()
        self._slice_counts.clear()

    def _scraped_slices(self, arm: Arm) -> tuple[SliceCounters, ...]:
        return tuple(
            SliceCounters(name=name, requests=n, errors=errors, timed=n, slow=0)
            for name, (n, errors) in self._slice_counts.get(arm, {}).items()
        )

    def _count(self, arm: Arm, role: Role, count: int) -> None:
        version = self.servers.loaded.get(role)
        dead = version is None or role in self.servers.down
        own = self.errors.get(version or 0, 0.0) + self.servers.sick.get(role, 0.0)
        failing = 1.0 if dead else min(1.0, own)
        slow = 0.0 if dead else self.slow.get(version or 0, 0.0)
        total = self._counts.setdefault(arm, [0, 0, 0, 0])
        total[0] += count
        total[1] += sum(self._random.random() < failing for _ in range(count))
        total[2] += count
        total[3] += sum(self._random.random() < slow for _ in range(count))
        if self.slices and not arm.startswith("mirror"):
            total[1] += self._count_slices(arm, version or 0, count, failing)

    def _count_slices(self, arm: Arm, version: int, count: int, failing: float) -> int:
        """Draw the requests of each slice; returns the errors that only its slice has."""
        names = [*self.slices, ""]
        weights = [*self.slices.values(), 1.0 - sum(self.slices.values())]
        counts, more = self._slice_counts.setdefault(arm, {}), 0
        for name in self._random.choices(names, weights, k=count):
            if not name:
                continue
            total = counts.setdefault(name, [0, 0])
            total[0] += 1
            own = self._random.random() < self.slice_errors.get((version, name), 0.0)
            total[1] += own or self._random.random() < failing
            more += own
        return more


def _experiment_arms(experiment: ExperimentSplit) -> list[tuple[Arm, Role, float]]:
    """The arms of an experiment with the percentage of requests, if users are equally busy."""
    roles: dict[Arm, Role] = {"stable": "stable", "canary": "canary", "control": "control"}
    return [
        (arm.arm, roles[arm.arm], arm.share / 100.0)
        for arm in experiment.arms
        if arm.arm is not None
    ]
