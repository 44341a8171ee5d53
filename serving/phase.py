"""The phases of a rollout."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """The phases of a rollout: the values of `RolloutStatus.phase` and of the phase metric."""

    IDLE = "idle"
    """No rollout is in progress."""
    PREPARING = "preparing"
    """Control and canary servers load their versions."""
    COMPARING = "comparing"
    """Both versions answer the same recent requests; no client reaches the canary yet."""
    AWAITING_APPROVAL = "awaiting-approval"
    """A person has to approve before the first weight or before the promotion."""
    STEPPING = "stepping"
    """The canary receives the weight of the current step."""
    PAUSED = "paused"
    """A person holds the current step."""
    EJECTED = "ejected"
    """The canary was ejected; it receives copies of the traffic only."""
    REPLACING = "replacing-control"
    """The control is proven to be sick: a fresh server takes its place. All clients are at the
    stable server; afterwards the step begins anew."""
    PROMOTING = "promoting"
    """The stable server changes over to the candidate; canary and control share the traffic."""
    BAKING = "baking"
    """The candidate is live and is still judged; the replaced version stays loaded."""
    ROLLING_BACK = "rolling-back"
    """Traffic and the stable server return to the champion."""


BEFORE_LIVE = frozenset(Phase) - {Phase.IDLE, Phase.BAKING, Phase.ROLLING_BACK}
"""The phases of a version that may still go live, in which its files must stay what they are."""
