"""The ports of serving and the values that pass through them.

Ports: `TrafficRouter` (each arm's share of the requests), `ModelServers` (which version each
server has loaded), `TrafficMetrics` (request counters as scraped), `ReferencePublisher` (drift
references), `AnswerComparer` (both versions' answers to the same requests), `GateQueries` (users'
queries, optional) and `MemoryBudget` (optional). Engines implement them;
`serving.engines.memory` holds an in-memory implementation of each, and one conformance suite tests
both kinds.

An `Observation` is the state of the outside at one moment; an `Action` is one change to it.
Actions are idempotent: performing one twice has the same effect as performing it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from serving.evidence.queries import QueryLook
from serving.evidence.rules import EvidenceRules
from streaming.contracts.base import Artifact, Value
from streaming.contracts.records import ModelVersion, PairedComparison, Promotion

Role = Literal["stable", "control", "canary", "shadow"]
"""One model server process each. The control server holds the champion during a rollout."""

ROLES: tuple[Role, ...] = ("stable", "control", "canary", "shadow")

Arm = Literal["stable", "control", "canary", "mirror-control", "mirror-canary"]
"""A destination of requests. The mirror arms receive copies; clients never see their responses."""

ARMS: tuple[Arm, ...] = ("stable", "control", "canary", "mirror-control", "mirror-canary")

LoadState = Literal["loading", "available", "unloading", "ended"]


class ArmShare(Value, frozen=True, kw_only=True):
    """One arm of an experiment: the users that meet a version."""

    name: str
    version: int
    share: int
    """Share of all users, in hundredths of a percent."""
    arm: Arm | None
    """Where their requests go; None = to the champion, counted for no arm: it was taken out."""


class ExperimentSplit(Value, frozen=True, kw_only=True):
    """Split by user. A request without a user goes to the champion and is counted for no arm."""

    salt: str
    """Id of the experiment. A user's arm follows from it and the user (`arm_of`)."""
    header: str
    """Header with the user."""
    arms: tuple[ArmShare, ...]
    """The champion first."""


class TrafficSplit(Value, frozen=True, kw_only=True):
    """Shares of the requests in percent; stable + control + canary = 100."""

    stable: int = 100
    control: int = 0
    canary: int = 0
    mirror: int = 0
    """Share of the requests copied to both control and canary; their responses are discarded."""
    shadow: int = 0
    """Share copied to the shadow server."""
    experiment: ExperimentSplit | None = None
    """Split by user among the arms of an experiment; stable is 100 then."""

    def __post_init__(self) -> None:
        shares = (self.stable, self.control, self.canary)
        if min(*shares, self.mirror, self.shadow) < 0 or sum(shares) != 100:
            raise ValueError(
                f"Shares stable {self.stable}, control {self.control}, canary {self.canary} "
                "must not be negative and must add up to 100."
            )
        if self.experiment is not None and self.stable != 100:
            raise ValueError("An experiment splits the requests by user; stable must be 100.")
        if max(self.mirror, self.shadow) > 100:
            raise ValueError(f"Copied shares {self.mirror}, {self.shadow} exceed 100 %.")


ALL_STABLE = TrafficSplit()


class VersionStatus(Value, frozen=True, kw_only=True):
    """One version on one model server."""

    version: int
    state: LoadState
    load_seconds: float | None = None
    """Time from the load request until the version was available; None if not measured."""
    error: str = ""


class ServerStatus(Value, frozen=True, kw_only=True):
    """The status of one model server. `reachable` is False when it did not answer."""

    role: Role
    reachable: bool
    versions: tuple[VersionStatus, ...] = ()


class SliceCounters(Value, frozen=True, kw_only=True):
    """Cumulative counters of the requests of one slice that were routed to an arm."""

    name: str
    """The header's value."""
    requests: int
    """Completed requests."""
    errors: int
    """Failed tries of the arm's own server that were tried again elsewhere, and 4xx responses. A
    request that failed twice counts twice."""
    timed: int
    """Responses with a measured duration."""
    slow: int
    """Timed responses above the latency limit."""


class ArmCounters(Value, frozen=True, kw_only=True):
    """Cumulative counters of one arm since Envoy started."""

    arm: Arm
    requests: int
    """Completed requests routed to the arm, whichever server answered in the end."""
    errors: int
    """Requests that the arm's own server did not answer successfully: 4xx, 5xx, gRPC failures,
    timeouts, broken connections, and requests that another server took over. A retry that
    succeeded for the client still counts as an error of the arm."""
    timed: int
    """Responses with a measured duration. Envoy updates this up to 0.5 s after `requests`."""
    slow: int
    """Timed responses above the latency limit, retries included."""
    slices: tuple[SliceCounters, ...] = ()
    """The requests of slices, which the counters above include; slices without any may be absent.
    """


class Scrape(Value, frozen=True, kw_only=True):
    """All counters at one instant, from one response of Envoy."""

    at: float
    uptime_seconds: float
    """Uptime of Envoy. A smaller value than in the previous scrape means that counters reset."""
    arms: tuple[ArmCounters, ...] = ()
    """Arms without any request may be absent."""


class PublishedReference(Value, frozen=True, kw_only=True):
    """The published reference of a version; `artifact` is None when no window was available."""

    version: int
    artifact: Artifact | None


class History(Value, frozen=True, kw_only=True):
    """What the log says about the model's promotions."""

    newest: Promotion | None
    """The newest promotion; None when there was none yet."""


NO_HISTORY = History(newest=None)


class MemoryDemand(Value, frozen=True, kw_only=True):
    """The versions that a model needs, each once per server that has it loaded."""

    at_rest: tuple[int, ...] = ()
    """Without a rollout."""
    rollout: tuple[int, ...] = ()
    """During its rollout, in all; empty without one."""
    granted: bool = False
    """Whether the rollout was told before that it has its memory."""


class MemoryAnswer(Value, frozen=True, kw_only=True):
    """Whether a rollout has the memory for its versions."""

    outcome: Literal["granted", "waits", "impossible"]
    """impossible: it would not fit beside the other models at rest."""
    reason: str


class Observation(Value, frozen=True, kw_only=True):
    """The state of the outside at one tick. Whatever could not be reached is None or empty."""

    at: float
    split: TrafficSplit | None = None
    """The split that Envoy reports as active."""
    servers: tuple[ServerStatus, ...] = ()
    scrapes: tuple[Scrape, ...] = ()
    """Scrapes that were not counted yet, oldest first."""
    looks: tuple[QueryLook, ...] = ()
    """Values of the users' queries that were due."""
    reference: PublishedReference | None = None
    """The reference of the version being promoted; None until it is published."""
    history: History | None = NO_HISTORY
    """The newest promotion of the log, read only before a first version goes live; None when the
    log could not be read."""
    answers: PairedComparison | None = None
    """The newest comparison of the canary's answers with the champion's; None until there is one.
    """
    files: str | None = None
    """Digest of the candidate's files as they are now; read only while people decide on it, and
    None where it is not known."""
    memory: MemoryAnswer | None = None
    """Whether the rollout has its memory; None where memory is not limited, or nobody asked."""
    problems: tuple[str, ...] = ()


class SetTrafficSplit(Value, frozen=True, kw_only=True, tag="set-traffic-split"):
    """Route requests by this split."""

    split: TrafficSplit


class LoadVersion(Value, frozen=True, kw_only=True, tag="load-version"):
    """Make a server load this version and unload all others."""

    role: Role
    version: int


class PublishReference(Value, frozen=True, kw_only=True, tag="publish-reference"):
    """Build and store the drift reference of a version."""

    version: ModelVersion


class CompareAnswers(Value, frozen=True, kw_only=True, tag="compare-answers"):
    """Let the servers of control and canary answer the same recent requests, and compare."""

    version: ModelVersion
    """The canary's version."""
    champion: int
    """The control's version."""


class UnloadVersions(Value, frozen=True, kw_only=True, tag="unload-versions"):
    """Make a server that gets no requests give up its versions."""

    role: Role


class ReplaceServer(Value, frozen=True, kw_only=True, tag="replace-server"):
    """Give a role that gets no requests a fresh server; it starts without a version."""

    role: Role


ServerAction = LoadVersion | UnloadVersions | ReplaceServer
Action = SetTrafficSplit | ServerAction | PublishReference | CompareAnswers


class TrafficRouter(Protocol):
    """The proxy in front of the model servers."""

    def apply(self, split: TrafficSplit) -> None:
        """Request this split. Returns at once; `current_split` confirms it.

        Raises `UnavailableError` when the request cannot be made.
        """

    def current_split(self) -> TrafficSplit:
        """The active split. Raises `UnavailableError` when the router does not answer."""


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
