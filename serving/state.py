"""What the rollout controller remembers about one model: JSON values, replaced, never changed.

Everything else is looked at anew in each tick, so a restart at any point needs nothing but this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from serving.ports import Action, Role, Scrape, Value
from streaming.contracts.records import ModelVersion, Promotion, Record

Phase = Literal[
    "idle",
    "preparing",
    "awaiting-approval",
    "stepping",
    "paused",
    "guarded",
    "promoting",
    "baking",
    "rolling-back",
]
"""paused: a person holds the step. guarded: the protective pause; copies of the traffic only."""


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Integer counts of both arms over one block of time; 1 = canary, 0 = control."""

    run: int
    """Number of the stretch of time at one weight; grows with each change of weight."""
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


class Ledger(Value, frozen=True, kw_only=True):
    """The counts of one rollout: closed blocks, the open one, and the watch's look."""

    blocks: tuple[Block, ...] = ()
    run: int = 0
    step: int = 0
    open: Block | None = None
    open_since: float = 0.0
    last: Scrape | None = None
    look: Block | None = None
    look_since: float = 0.0
    bad_looks: int = 0
    good_looks: int = 0
    bad_at: float = 0.0
    """When the latest bad look ended."""


class Ask(Value, frozen=True, kw_only=True):
    """A load that was asked for."""

    role: Role
    version: int
    first: float
    last: float


class Rollout(Value, frozen=True, kw_only=True):
    """One version on its way; there is never more than one."""

    rollout_id: str
    candidate: ModelVersion
    champion: int
    """Version it is compared with and falls back to; 0 for the first version of a model."""
    phase: Phase
    since: float
    """When the phase began."""
    reason: str
    step: int = 0
    """Index of the weight."""
    run_since: float | None = None
    """When Envoy confirmed the weight; None until then."""
    spent_seconds: float = 0.0
    """Time in steps so far, against the deadline."""
    guards: int = 0
    """How often the protective pause took the canary out."""
    resume_to: Phase = "stepping"
    """Where the protective pause, or a person's, came from."""
    approval: Literal["", "before-canary", "before-promotion"] = ""
    """Which approval is waited for."""
    published: bool = False
    """A promotion of the candidate went out, so going back needs another one."""
    reported_at: float = 0.0
    reported: str = ""
    """Outcome of the latest verdict record."""
    caused_by: tuple[str, ...] = ()
    """The candidate, then every approval and the latest verdict."""
    ledger: Ledger = Ledger()


class RolloutState(Value, frozen=True, kw_only=True):
    """Everything remembered about one model."""

    model: str
    live: Promotion | None = None
    previous: Promotion | None = None
    """What `live` replaced: where a rollback goes."""
    live_candidate: ModelVersion | None = None
    """The version behind `live`, when it was promoted here."""
    rollout: Rollout | None = None
    waiting: ModelVersion | None = None
    """The newest blessed version that waits for the rollout in progress to end."""
    tried: tuple[int, ...] = ()
    """Versions that were rolled back, rejected or superseded; they are not tried again."""
    seen: tuple[str, ...] = ()
    """Ids of the latest records handled, so that a second delivery changes nothing."""
    asks: tuple[Ask, ...] = ()
    ticked_at: float = 0.0
    status_key: str = ""
    """What the last status record said, so that only changes are written."""
    status_id: str = ""
    """Id of the last status record; the next one's follows from it, so each is told once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of one input: the next state, records to publish, and things to do."""

    state: RolloutState
    records: tuple[Record, ...] = ()
    actions: tuple[Action, ...] = ()
