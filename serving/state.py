"""The state of the rollout controller for one model: immutable values, serialisable to JSON.

Everything else is observed again in each tick, so a restart at any point needs only this state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

from serving.ports import Action, Role, Scrape
from streaming.contracts.base import Value
from streaming.contracts.records import ModelVersion, Promotion, Record


class Phase(StrEnum):
    """The phases of a rollout: the values of `RolloutStatus.phase` and of the phase metric."""

    IDLE = "idle"
    """No rollout is in progress."""
    PREPARING = "preparing"
    """Control and canary servers load their versions."""
    AWAITING_APPROVAL = "awaiting-approval"
    """A person has to approve before the first weight or before the promotion."""
    STEPPING = "stepping"
    """The canary receives the weight of the current step."""
    PAUSED = "paused"
    """A person holds the current step."""
    EJECTED = "ejected"
    """The canary was ejected; it receives copies of the traffic only."""
    PROMOTING = "promoting"
    """The stable server changes over to the candidate."""
    BAKING = "baking"
    """The candidate is live; the replaced version stays loaded."""
    ROLLING_BACK = "rolling-back"
    """Traffic and the stable server return to the champion."""


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Integer counts of both arms over one block of time; 1 = canary, 0 = control."""

    run: int
    """Number of the period at one weight; grows with each change of weight."""
    step: int
    """Index of the step, or -1 for copied traffic."""
    n1: int = 0
    n0: int = 0
    errors1: int = 0
    errors0: int = 0
    timed1: int = 0
    timed0: int = 0
    slow1: int = 0
    slow0: int = 0


class ArmCounts(Value, frozen=True, kw_only=True):
    """The counts of one rollout: closed blocks, the open block, and the ejection check."""

    blocks: tuple[Block, ...] = ()
    run: int = 0
    step: int = 0
    open_block: Block | None = None
    open_since: float = 0.0
    last_scrape: Scrape | None = None
    open_check: Block | None = None
    """Counts pooled for the next ejection check."""
    check_since: float = 0.0
    bad_checks: int = 0
    """Consecutive bad ejection checks."""
    good_checks: int = 0
    """Consecutive good ejection checks."""
    last_bad_at: float = 0.0
    """When the latest bad check ended, seconds since 1970."""


class LoadRequest(Value, frozen=True, kw_only=True):
    """A load that was requested from a model server."""

    role: Role
    version: int
    first_at: float
    last_at: float


class Rollout(Value, frozen=True, kw_only=True):
    """The rollout in progress; there is at most one per model."""

    rollout_id: str
    candidate: ModelVersion
    champion: int
    """Version that the candidate is compared with; 0 for the first version of a model."""
    phase: Phase
    since: float
    """When the phase began, seconds since 1970."""
    reason: str
    step: int = 0
    """Index of the current weight."""
    run_since: float | None = None
    """When Envoy confirmed the weight; None until then."""
    spent_seconds: float = 0.0
    """Time spent in steps, counted against the deadline."""
    ejections: int = 0
    """Number of times that the canary was ejected."""
    resume_to: Phase = Phase.STEPPING
    """The phase to return to after an ejection."""
    approval: Literal["", "before-canary", "before-promotion"] = ""
    """The approval that the rollout waits for."""
    published: bool = False
    """Whether a promotion of the candidate was published; a rollback then publishes another."""
    reported_at: float = 0.0
    """When the latest verdict record was written."""
    reported_outcome: str = ""
    """Outcome of the latest verdict record."""
    caused_by: tuple[str, ...] = ()
    """Ids of the candidate, of every approval and of the latest verdict."""
    counts: ArmCounts = ArmCounts()


class RolloutState(Value, frozen=True, kw_only=True):
    """The state of the controller for one model."""

    model: str
    live: Promotion | None = None
    previous: Promotion | None = None
    """The promotion that `live` replaced: the target of a rollback."""
    live_candidate: ModelVersion | None = None
    """The version record of `live`, if this controller promoted it."""
    rollout: Rollout | None = None
    queued_version: ModelVersion | None = None
    """The newest blessed version that waits for the current rollout to end."""
    rejected_versions: tuple[int, ...] = ()
    """Versions that were rolled back, rejected or superseded; they are not rolled out again."""
    seen: tuple[str, ...] = ()
    """Ids of the latest handled records; a second delivery changes nothing."""
    load_requests: tuple[LoadRequest, ...] = ()
    ticked_at: float = 0.0
    status_key: str = ""
    """Digest of the content of the last status record; only changes are written."""
    status_id: str = ""
    """Id of the last status record. The next id is derived from it, so that ids do not repeat."""

    @property
    def phase(self) -> Phase:
        """The phase of the rollout in progress; idle without one."""
        return self.rollout.phase if self.rollout is not None else Phase.IDLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The result of one input: the next state, records to publish, and actions to perform."""

    state: RolloutState
    records: tuple[Record, ...] = ()
    actions: tuple[Action, ...] = ()
