"""The ports of serving.

`TrafficRouter` (each arm's share of the requests), `ModelServers` (which version each server has
loaded), `TrafficMetrics` (request counters as scraped), `ReferencePublisher` (drift references),
`AnswerComparer` (both versions' answers to the same requests), `GateQueries` (users' queries,
optional) and `MemoryBudget` (optional). Engines implement them; `serving.engines.memory` holds an
in-memory implementation of each, and one conformance suite tests both kinds.

The values that pass through them are in `traffic_split.py`, `observation.py` and `actions.py`, and
can be imported from here as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serving.actions import (
    Action,
    CompareAnswers,
    LoadVersion,
    PublishReference,
    ReplaceServer,
    ServerAction,
    SetTrafficSplit,
    UnloadVersions,
)
from serving.evidence.rules import EvidenceRules
from serving.observation import (
    NO_HISTORY,
    ArmCounters,
    History,
    LoadState,
    MemoryAnswer,
    Observation,
    PublishedReference,
    Scrape,
    ServerStatus,
    SliceCounters,
    VersionStatus,
)
from serving.traffic_split import (
    ALL_STABLE,
    ARMS,
    ROLES,
    Arm,
    ArmShare,
    ExperimentSplit,
    Role,
    TrafficSplit,
)
from streaming.contracts.base import Artifact, Value
from streaming.contracts.records import ModelVersion, PairedComparison, Promotion

__all__ = [
    "ALL_STABLE",
    "ARMS",
    "NO_HISTORY",
    "ROLES",
    "Action",
    "AnswerComparer",
    "Arm",
    "ArmCounters",
    "ArmShare",
    "CompareAnswers",
    "ExperimentSplit",
    "GateQueries",
    "History",
    "LoadState",
    "LoadVersion",
    "MemoryAnswer",
    "MemoryBudget",
    "MemoryDemand",
    "ModelServers",
    "Observation",
    "PromotionLog",
    "PublishReference",
    "PublishedReference",
    "ReferencePublisher",
    "ReplaceServer",
    "Role",
    "Scrape",
    "ServerAction",
    "ServerStatus",
    "ServingPorts",
    "SetTrafficSplit",
    "SliceCounters",
    "TrafficMetrics",
    "TrafficRouter",
    "TrafficSplit",
    "UnloadVersions",
    "VersionFiles",
    "VersionStatus",
]


class MemoryDemand(Value, frozen=True, kw_only=True):
    """The versions that a model needs, each once per server that has it loaded."""

    at_rest: tuple[int, ...] = ()
    """Without a rollout."""
    rollout: tuple[int, ...] = ()
    """During its rollout, in all; empty without one."""
    granted: bool = False
    """Whether the rollout was told before that it has its memory."""


class TrafficRouter(Protocol):
    """The proxy in front of the model servers."""

    def apply(self, split: TrafficSplit) -> None:
        """Request this split. Returns at once; `current_split` confirms it.

        Raises `UnavailableError` when the request cannot be made.
        """

    def current_split(self) -> TrafficSplit:
        """The active split. Raises `UnavailableError` when the router does not answer."""

    def healthy_servers(self) -> tuple[Role, ...]:
        """The servers that the router itself holds healthy, for every protocol.

        A server that has just loaded its version is not among them before the router's next check.
        Raises `UnavailableError` when the router does not answer.
        """


class ModelServers(Protocol):
    """The model server of each role."""

    def status(self, role: Role) -> ServerStatus:
        """The loaded versions. An unreachable server gives a status, not an error."""

    def load(self, role: Role, version: int) -> None:
        """Serve `version` alone; the old version answers until the new one is available.

        Raises `UnavailableError` when the server does not answer and `NotFoundError` when it
        cannot find the version.
        """

    def unload(self, role: Role) -> None:
        """Serve no version any more.

        Raises `UnavailableError` when the server does not answer.
        """

    def replace(self, role: Role) -> None:
        """Start the role's server afresh, without a version, and return at once.

        Where no process can be started from here, the server gives up its versions instead, so
        that a load is a fresh one at least. Raises `UnavailableError` when that cannot be
        requested.
        """


class TrafficMetrics(Protocol):
    """The router's request counters, as scraped."""

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        """Scrapes with `since` < at <= `now`, oldest first; old ones may have been dropped.

        Raises `UnavailableError` when the metrics store does not answer.
        """

    def notices(self) -> tuple[str, ...]:
        """What an operator should know about the latest `scrapes`: a clock that is wrong."""


class ReferencePublisher(Protocol):
    """Builds the drift reference of a version from the windows that it was trained on."""

    def publish(self, version: ModelVersion) -> Artifact | None:
        """Build and store the reference, or start to; the same windows give the same artifact.

        Returns None when there are no windows, or as long as it is being built. Raises
        `TemporaryError` when it cannot be built now. `published` gives the result.
        """

    def published(self, version: ModelVersion) -> PublishedReference | None:
        """The result of an earlier `publish` by this process; None before it. Does no I/O."""


class PromotionLog(Protocol):
    """The promotions that were written, read before a first version goes live."""

    def newest(self) -> Promotion | None:
        """The newest promotion of the model; None when there was none.

        Raises `UnavailableError` when the log does not answer.
        """


class MemoryBudget(Protocol):
    """The memory that the model servers of all models may take together."""

    def ask(self, model: str, demand: MemoryDemand, *, now: float) -> MemoryAnswer:
        """Say what a model needs now, and learn whether its rollout has it. Does no network I/O."""


class GateQueries(Protocol):
    """Evaluates users' queries."""

    @property
    def rules(self) -> EvidenceRules:
        """The gates that are evaluated."""

    def value(self, query: str, *, now: float) -> float | None:
        """The query's value; None where it gives none.

        Raises `UnavailableError` when the metrics store does not answer, and `GateFailedError` when
        the query cannot be evaluated to one number.
        """


class AnswerComparer(Protocol):
    """Compares the answers of two loaded versions to the same requests, without any client."""

    def compare(self, version: ModelVersion, champion: int) -> None:
        """Start a comparison unless one runs or has just ended; `compared` gives the result.

        Returns at once, so the state of servers and log is part of the result: an outcome of error
        or insufficient, after which a later call starts another comparison.
        """

    def compared(self, version: ModelVersion, champion: int) -> PairedComparison | None:
        """The newest result of this process for these versions; None before it. Does no I/O."""


class VersionFiles(Protocol):
    """The files of published versions."""

    def digest(self, version: ModelVersion) -> str | None:
        """Digest of the version's files as they are now; None where they are not in reach.

        Raises `UnavailableError` when they cannot be read.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPorts:
    """The ports that `observe` reads and `perform` changes."""

    router: TrafficRouter
    servers: ModelServers
    metrics: TrafficMetrics
    references: ReferencePublisher
    answers: AnswerComparer
    promotions: PromotionLog | None = None
    """None where every promotion reaches `handle` before the first version does."""
    queries: GateQueries | None = None
    """None where there are no queries."""
    files: VersionFiles | None = None
    """None where the files of a version are not in reach."""
    memory: MemoryBudget | None = None
    """None where memory is not limited."""
