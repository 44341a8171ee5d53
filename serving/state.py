"""The state of the rollout controller for one model: immutable values, serialisable to JSON.

Everything else is observed again in each tick, so a restart at any point needs only this state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from serving.evidence.collected import RolloutEvidence
from serving.experiments.state import Experiment
from serving.phase import Phase
from serving.ports import ALL_STABLE, Action, Arm, Role, Scrape, TrafficSplit
from streaming.contracts.base import Value
from streaming.contracts.records import (
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    EvidenceInputs,
    ModelVersion,
    Promotion,
    Record,
)


class SliceBlock(msgspec.Struct, frozen=True, array_like=True):
    """Integer counts of one slice over one block, as in `Block`; all of them are in its counts too.

    There are no counts of copies: what is copied is not counted by slice.
    """

    name: str
    """The header's value."""
    n1: int = 0
    n0: int = 0
    n_stable: int = 0
    errors1: int = 0
    errors0: int = 0
    errors_stable: int = 0
    slow1: int = 0
    slow0: int = 0
    slow_stable: int = 0


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Integer counts of the arms over one block of time: 1 = canary, 0 = control, and the stable
    arm, which has no counts where it gets no requests or is not compared."""

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
    n_stable: int = 0
    errors_stable: int = 0
    timed_stable: int = 0
    slow_stable: int = 0
    slices: tuple[SliceBlock, ...] = ()
    """Counts of the slices that had a request, ordered by name."""


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
    control_from: int = 0
    """Number of blocks that were closed before the control server was last replaced."""
    discarded: int = 0
    """Number of blocks that count for nothing, because a sick control is in them."""
    incomplete: int = 0
    """Consecutive scrapes that were left out because a counter was missing."""
    heard_at: float | None = None
    """When the latest scrape of the run arrived, by the clock of this process."""
    measured_seconds: float = 0.0
    """Time between the counted scrapes of the rollout."""
    measured_requests: int = 0
    """Requests of clients, to all arms, in that time."""
    measured_slices: tuple[SliceBlock, ...] = ()
    """Those of them that belong to slices."""


class ArmWatch(Value, frozen=True, kw_only=True):
    """The check of the arm that carries the candidate's traffic once it is live, or nearly so."""

    arm: Arm = "stable"
    last_scrape: Scrape | None = None
    bad_checks: int = 0
    """Consecutive bad checks."""
    bad_beside_healthy: int = 0
    """Those of them in which the control was seen to be healthy."""


RollbackCause = Literal["", "fail", "outage", "person", "superseded"]
"""Why a version was given up: a gate failed it, nothing could be proven or a server was missing, a
person said so, or a newer version came first."""


class Rejection(Value, frozen=True, kw_only=True):
    """A version that was given up, with what is needed to try it again."""

    candidate: ModelVersion
    cause: RollbackCause
    reason: str
    at: float
    """Seconds since 1970."""


class OpenApproval(Value, frozen=True, kw_only=True):
    """The request that a rollout waits for, and who has said yes to it so far."""

    request: ApprovalRequest
    decisions: tuple[ApprovalDecision, ...] = ()


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
    phase_seconds: float = 0.0
    """Time in the phase during which the daemon was watching. Limits on servers count this time, so
    that neither a stop of the daemon nor a change of its clock spends them."""
    reason: str
    step: int = 0
    """Index of the current weight."""
    run_since: float | None = None
    """When Envoy confirmed the weight; None until then."""
    spent_seconds: float = 0.0
    """Time spent in steps, counted against the deadline."""
    ejections: int = 0
    """Number of times that the canary was ejected."""
    replacements: int = 0
    """Number of times that a sick control was replaced."""
    control_returns: int = 0
    """Number of returns to the weight before, to compare the control with the stable arm."""
    control_ended: bool = False
    """Whether the sick control has given up its version, so that the next one is a fresh one."""
    resume_to: Phase = Phase.STEPPING
    """The phase to return to after an ejection."""
    approval: Literal["", "before-canary", "before-promotion"] = ""
    """The approval that the rollout waits for."""
    approved_id: str = ""
    """Id of the outcome of the latest approval, or of the command that promoted without one; empty
    before."""
    comparison: str = ""
    """Digest of the paired comparison of answers; empty before one."""
    comparison_id: str = ""
    """Id of the record with that comparison."""
    unserved: bool = False
    """Whether it goes on without a canary, because the deployment does not serve the model. Its
    gates are then still to be passed, should that change."""
    uncompared: bool = False
    """Whether it goes on without a comparison, because no server can serve the champion any more
    and clients get no answer: a version that works is then better than none."""
    memory_granted: bool = False
    """Whether it has the memory for its versions, where that is limited."""
    forced: str = ""
    """Who promoted it against or without the gates, and why; empty if they decided."""
    cause: RollbackCause = ""
    """Why it is rolled back; empty before."""
    heard_at: float = 0.0
    """Time of the newest scrape of this rollout, seconds since 1970; 0 before the first."""
    watch: ArmWatch = ArmWatch()
    published: bool = False
    """Whether a promotion of the candidate was published; a rollback then publishes another."""
    reported_at: float = 0.0
    """When the latest verdict record was written."""
    reported_outcome: str = ""
    """Outcome of the latest verdict record."""
    caused_by: tuple[str, ...] = ()
    """Ids of the candidate and of every command that let it on."""
    verdict_id: str = ""
    """Id of the latest verdict that decided something; empty before the first."""

    counts: ArmCounts = ArmCounts()
    evidence: RolloutEvidence = RolloutEvidence()
    """Scores, labels and values of queries of both versions."""
    unrecorded: tuple[EvidenceInputs, ...] = ()
    """What was added to the evidence and is in no record of inputs yet."""
    recorded_blocks: int = 0
    """Number of closed blocks that are in records of inputs."""
    recorded_id: str = ""
    """Id of the latest record of inputs; empty before the first."""

    retried_by: str = ""
    """Name of the person who asked for another try; empty for the first one."""

    @property
    def proposers(self) -> tuple[str, ...]:
        """Names of the people whose proposal it is: they asked for the retrain or another try."""
        names = (self.candidate.proposed_by, self.retried_by)
        return tuple(dict.fromkeys(filter(None, names)))

    @property
    def causes(self) -> tuple[str, ...]:
        """Ids of the candidate, of every approval and of the latest verdict."""
        return (*self.caused_by, *filter(None, (self.verdict_id,)))


class RolloutState(Value, frozen=True, kw_only=True):
    """The state of the controller for one model."""

    model: str
    live: Promotion | None = None
    previous: Promotion | None = None
    """The promotion that `live` replaced: the target of a rollback."""
    live_candidate: ModelVersion | None = None
    """The version record of `live`, if this controller promoted it."""
    missing_reference: ModelVersion | None = None
    """The live version, while it does without its drift reference, which is still being built."""
    rollout: Rollout | None = None
    experiment: Experiment | None = None
    """The experiment in progress or scheduled. While it prepares, runs or settles there is no
    rollout; a version that comes waits in `queued_version`."""
    experiment_key: str = ""
    """Digest of the content of the last status record of an experiment."""
    queued_version: ModelVersion | None = None
    """The newest blessed version that waits for the current rollout to end."""
    approval: OpenApproval | None = None
    """The request that people are to decide on; None while nobody is asked."""
    ended_approvals: tuple[ApprovalOutcome, ...] = ()
    """How the latest requests ended."""
    pending: Promotion | None = None
    """The promotion that is decided and not yet written. It is remembered before it is written, so
    that a crash in between writes the same text again."""
    no_live_version: bool = False
    """Whether the log was read and has no promotion, so that the next version is the first one."""
    rejected_versions: tuple[int, ...] = ()
    """Versions that were rolled back, rejected or superseded; they are not rolled out again unless
    a person says so."""
    rejections: tuple[Rejection, ...] = ()
    """The latest of them, with the reason."""
    split: TrafficSplit = ALL_STABLE
    """The split that was asked for last."""
    weight: int | None = None
    """The candidate's share of the clients' requests in percent, as Envoy has it in force; the
    latest one known while Envoy does not answer, and None before it ever did."""
    seen: tuple[str, ...] = ()
    """Ids of the latest handled records; a second delivery changes nothing."""
    load_requests: tuple[LoadRequest, ...] = ()
    ticked_at: float = 0.0
    status_key: str = ""
    """Digest of the content of the last status record; only changes are written."""
    status_id: str = ""
    """Id of the last status record. The next id is derived from it, so that ids do not repeat."""
    rules_digest: str = ""
    """Digest of the rules whose record was written last."""

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
