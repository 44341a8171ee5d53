"""Servers, destinations of requests, and the shares of the requests that each gets."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Value

Role = Literal["stable", "control", "canary", "shadow"]
"""One model server process each. The control server holds the champion during a rollout."""

ROLES: tuple[Role, ...] = ("stable", "control", "canary", "shadow")

Arm = Literal["stable", "control", "canary", "mirror-control", "mirror-canary"]
"""A destination of requests. The mirror arms receive copies; clients never see their responses."""

ARMS: tuple[Arm, ...] = ("stable", "control", "canary", "mirror-control", "mirror-canary")


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
