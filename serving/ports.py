"""The ports of serving and the values that pass through them.

Four ports: `TrafficRouter` (each arm's share of the requests), `ModelServers` (which version each
server has loaded), `TrafficMetrics` (request counters as scraped), `ReferencePublisher` (drift
references). Engines implement them; `serving.engines.memory` holds an in-memory implementation of
each, and one conformance suite tests both kinds.

An `Observation` is the state of the outside at one moment; an `Action` is one change to it.
Actions are idempotent: performing one twice has the same effect as performing it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from streaming.contracts.base import Artifact, Value
from streaming.contracts.records import ModelVersion

Role = Literal["stable", "control", "canary", "shadow"]
"""One model server process each. The control server holds the champion during a rollout."""

ROLES: tuple[Role, ...] = ("stable", "control", "canary", "shadow")

Arm = Literal["stable", "control", "canary", "mirror-control", "mirror-canary"]
"""A destination of requests. The mirror arms receive copies; clients never see their responses."""

ARMS: tuple[Arm, ...] = ("stable", "control", "canary", "mirror-control", "mirror-canary")

LoadState = Literal["loading", "available", "unloading", "ended"]


class TrafficSplit(Value, frozen=True, kw_only=True):
    """Shares of the requests in percent; stable + control + canary = 100."""

    stable: int = 100
    control: int = 0
    canary: int = 0
    mirror: int = 0
    """Share of the requests copied to both control and canary; their responses are discarded."""
    shadow: int = 0
    """Share copied to the shadow server."""
    sticky: bool = False
    """Split by user (header ``x-user-id``) instead of by request: for experiments, not canaries."""

    def __post_init__(self) -> None:
        shares = (self.stable, self.control, self.canary)
        if min(*shares, self.mirror, self.shadow) < 0 or sum(shares) != 100:
            raise ValueError(
                f"Shares stable {self.stable}, control {self.control}, canary {self.canary} "
                "must not be negative and must add up to 100."
            )
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


class Observation(Value, frozen=True, kw_only=True):
    """The state of the outside at one tick. Whatever could not be reached is None or empty."""

    at: float
    split: TrafficSplit | None = None
    """The split that Envoy reports as active."""
    servers: tuple[ServerStatus, ...] = ()
    scrapes: tuple[Scrape, ...] = ()
    """Scrapes that were not counted yet, oldest first."""
    reference: PublishedReference | None = None
    """The reference of the version being promoted; None until it is published."""
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


Action = SetTrafficSplit | LoadVersion | PublishReference


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


class TrafficMetrics(Protocol):
    """The router's request counters, as scraped."""

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        """Scrapes with `since` < at <= `now`, oldest first; old ones may have been dropped.

        Raises `UnavailableError` when the metrics store does not answer.
        """


class ReferencePublisher(Protocol):
    """Builds the drift reference of a version from the windows that it was trained on."""

    def publish(self, version: ModelVersion) -> Artifact | None:
        """Build and store the reference; the same version always gives the same artifact.

        Returns None when there are no windows. Raises `TemporaryError` when it cannot be built
        now.
        """

    def published(self, version: ModelVersion) -> PublishedReference | None:
        """The result of an earlier `publish` by this process; None before it. Does no I/O."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPorts:
    """The four ports that `observe` reads and `perform` changes."""

    router: TrafficRouter
    servers: ModelServers
    metrics: TrafficMetrics
    references: ReferencePublisher
