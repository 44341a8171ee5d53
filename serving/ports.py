"""What serving asks of the outside, and the values that travel through those questions.

Four ports: `Splitter` (who gets which share of the requests), `ModelServers` (which version is
loaded where), `Metrics` (counters as they were scraped), `References` (the yardstick of a
version). Engines implement them; `serving.engines.memory` has a complete double of each, and one
conformance suite holds both to the same promises.

`Observed` is everything the outside said at one moment; an `Action` is one thing to change there.
Actions are idempotent: doing one twice is doing it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from streaming.contracts.records import Artifact, ModelVersion

Role = Literal["stable", "control", "canary", "shadow"]
"""One model server process each. Control holds the champion, loaded when the canary is."""

ROLES: tuple[Role, ...] = ("stable", "control", "canary", "shadow")

Arm = Literal["stable", "control", "canary", "mirror-control", "mirror-canary"]
"""Where requests were routed; the mirror arms get copies, and no client sees their answers."""

ARMS: tuple[Arm, ...] = ("stable", "control", "canary", "mirror-control", "mirror-canary")

LoadState = Literal["loading", "available", "unloading", "ended"]


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen value that fits into JSON."""


class Split(Value, frozen=True, kw_only=True):
    """Shares of the requests in percent; stable + control + canary = 100."""

    stable: int = 100
    control: int = 0
    canary: int = 0
    mirror: int = 0
    """Share of the requests copied to control and canary alike; the answers are thrown away."""
    shadow: int = 0
    """Share copied to the shadow role."""
    sticky: bool = False
    """By user (header ``x-user-id``) instead of by request: for experiments, never for canaries."""

    def __post_init__(self) -> None:
        shares = (self.stable, self.control, self.canary)
        if min(*shares, self.mirror, self.shadow) < 0 or sum(shares) != 100:
            raise ValueError(
                f"Shares stable {self.stable}, control {self.control}, canary {self.canary} "
                "must not be negative and must add up to 100."
            )
        if max(self.mirror, self.shadow) > 100:
            raise ValueError(f"Copied shares {self.mirror}, {self.shadow} exceed 100 %.")


ALL_STABLE = Split()


class VersionStatus(Value, frozen=True, kw_only=True):
    """One version in one model server."""

    version: int
    state: LoadState
    load_seconds: float | None = None
    """From the request to load until it answered; None where nobody measured."""
    error: str = ""


class ServerStatus(Value, frozen=True, kw_only=True):
    """What one model server said. `reachable` is False when it said nothing."""

    role: Role
    reachable: bool
    versions: tuple[VersionStatus, ...] = ()


class ArmCounters(Value, frozen=True, kw_only=True):
    """Counters of one arm since Envoy started."""

    arm: Arm
    requests: int
    """Requests routed to the arm and finished, whoever answered in the end."""
    errors: int
    """Those that the arm itself did not answer well: 4xx, 5xx, gRPC failures, timeouts, broken
    connections, and requests that went elsewhere because the arm was out. A retry that saved
    the client does not hide them."""
    timed: int
    """Answers whose time was taken. Envoy adds them up to half a second after `requests`."""
    slow: int
    """Timed answers that took longer than the latency limit, retries included."""


class Scrape(Value, frozen=True, kw_only=True):
    """All counters at one instant, from one answer of Envoy."""

    at: float
    uptime_seconds: float
    """Of Envoy; smaller than before means that all counters began again."""
    arms: tuple[ArmCounters, ...] = ()
    """An arm that is not listed never had a request."""


class PublishedReference(Value, frozen=True, kw_only=True):
    """The answer of `References`; `artifact` is None where there are no windows to use."""

    version: int
    artifact: Artifact | None


class Observed(Value, frozen=True, kw_only=True):
    """What the outside said in one tick. What could not be reached is None or empty."""

    at: float
    split: Split | None = None
    """The split that Envoy says is live."""
    servers: tuple[ServerStatus, ...] = ()
    scrapes: tuple[Scrape, ...] = ()
    """New ones only, oldest first."""
    reference: PublishedReference | None = None
    problems: tuple[str, ...] = ()


class SetSplit(Value, frozen=True, kw_only=True, tag="set-split"):
    """Route this way from now on."""

    split: Split


class Load(Value, frozen=True, kw_only=True, tag="load"):
    """Let this server serve this version, and no other."""

    role: Role
    version: int


Action = SetSplit | Load


class Splitter(Protocol):
    """The router in front of the model servers."""

    def apply(self, split: Split) -> None:
        """Route this way; returns once it is asked for, `live` confirms it.

        Raises `UnavailableError` when it cannot be asked.
        """

    def live(self) -> Split:
        """The split in use now. Raises `UnavailableError` when it does not answer."""


class ModelServers(Protocol):
    """The model server of each role."""

    def status(self, role: Role) -> ServerStatus:
        """What is loaded; an unreachable server is a status, not an error."""

    def load(self, role: Role, version: int) -> None:
        """Serve `version` alone; the old one answers until the new one can.

        Raises `UnavailableError` when the server does not answer and `NotFoundError` when it has no such
        version to load.
        """


class Metrics(Protocol):
    """Counters of the router, as scraped."""

    def scrapes(self, *, since: float, now: float) -> tuple[Scrape, ...]:
        """Scrapes with `since` < at <= `now`, oldest first; old ones may be forgotten.

        Raises `UnavailableError` when nobody answers.
        """


class References(Protocol):
    """Makes the yardstick of a version out of the windows it was trained on."""

    def publish(self, version: ModelVersion) -> Artifact | None:
        """The summary's artifact; the same version gives the same artifact. None: no windows.

        Raises `TemporaryError` while it cannot be made.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The four together: what `observe` reads and `perform` changes."""

    splitter: Splitter
    servers: ModelServers
    metrics: Metrics
    references: References
