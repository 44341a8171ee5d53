"""The state of the outside at one moment, as one value: what a decision is made from."""

from __future__ import annotations

from typing import Literal

from serving.evidence.queries import QueryLook
from serving.traffic_split import Arm, Role, TrafficSplit
from streaming.contracts.base import Artifact, Value
from streaming.contracts.records import PairedComparison, Promotion

LoadState = Literal["loading", "available", "unloading", "ended"]


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
    healthy: tuple[Role, ...] | None = None
    """The servers that Envoy holds healthy; None where it is not known, or nothing is to change.
    """
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
    """Digest of the candidate's files as they are now; read until it is live, and
    None where it is not known."""
    files_version: int = 0
    """Version whose files they are; it may be the candidate of before. 0 where none were read."""
    memory: MemoryAnswer | None = None
    """Whether the rollout has its memory; None where memory is not limited, or nobody asked."""
    problems: tuple[str, ...] = ()
