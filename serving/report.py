"""Builds the records of a rollout from its state; a repeated tick gives the same records.

An id stands for one text. A promotion's id is that of its rollout, and its text is remembered
before it is written. The id of a verdict or a status is a digest of its whole text: a tick that is
decided again after a crash, at another time and with other counts, gives another record.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.deadlines import ends_at
from serving.desired import weight_in_force
from serving.phase import Phase
from serving.plan import deadline_of
from serving.queries import of_model
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState
from serving.verdict import Verdict
from streaming.contracts.codec import with_text_id
from streaming.contracts.ids import record_id
from streaming.contracts.records import (
    Artifact,
    CanaryVerdict,
    Promotion,
    Record,
    RolloutStatus,
)


def verdict_record(
    rollout: Rollout, verdict: Verdict, *, model: str, weight: int, now: float
) -> CanaryVerdict:
    """The verdict at this weight."""
    counts = rollout.counts
    current_blocks = [block for block in counts.blocks if block.run == counts.run]
    record = CanaryVerdict(
        record_id="",
        model=model,
        at=now,
        caused_by=rollout.caused_by[:1],
        version=rollout.candidate.version,
        rollout_id=rollout.rollout_id,
        step=rollout.step,
        weight=weight,
        outcome=verdict.outcome,
        reason=verdict.reason,
        gates=tuple(
            replace(gate, query=of_model(gate.query, model)) if gate.query else gate
            for gate in verdict.gates
        ),
        requests=sum(block.n1 for block in current_blocks),
        seconds_in_step=0.0 if rollout.run_since is None else now - rollout.run_since,
    )
    return with_text_id(record, "canary-verdict", rollout.rollout_id, rollout.phase.value)


def promotion(
    state: RolloutState, rollout: Rollout, reference: Artifact | None, now: float
) -> Promotion:
    """The promotion of the candidate."""
    version = rollout.candidate
    return Promotion(
        record_id=record_id("promotion", state.model, rollout.rollout_id, "promoted"),
        model=state.model,
        at=_after_live(state, now),
        caused_by=rollout.causes,
        version=version.version,
        replaced=rollout.champion,
        change="promoted" if rollout.champion else "initial",
        reason=rollout.reason,
        artifact=version.artifact,
        reference=reference,
        window_start=version.window_start,
        window_end=version.window_end,
    )


def referenced(state: RolloutState, live: Promotion, reference: Artifact, now: float) -> Promotion:
    """The live version again, now with the reference that was built after its promotion."""
    return replace(
        live,
        record_id=record_id("promotion", state.model, live.record_id, "referenced"),
        at=_after_live(state, now),
        caused_by=(*live.caused_by[:1], live.record_id),
        change="referenced",
        reason=f"The drift reference of version {live.version} is built; windows are judged again.",
        reference=reference,
    )


def rolled_back(
    state: RolloutState, rollout: Rollout, previous: Promotion, now: float
) -> Promotion:
    """The previous version is live again, with its own reference."""
    return Promotion(
        record_id=record_id("promotion", state.model, rollout.rollout_id, "rolled-back"),
        model=state.model,
        at=_after_live(state, now),
        caused_by=rollout.causes,
        version=previous.version,
        replaced=rollout.candidate.version,
        change="rolled-back",
        reason=rollout.reason,
        artifact=previous.artifact,
        reference=previous.reference,
        window_start=previous.window_start,
        window_end=previous.window_end,
    )


def _after_live(state: RolloutState, now: float) -> float:
    """The time of a promotion: later than that of the one before, also if the clock went back."""
    return now if state.live is None else max(now, state.live.at + 0.001)


def status(
    state: RolloutState, rules: RolloutRules, now: float
) -> tuple[RolloutState, tuple[Record, ...]]:
    """A status record if the status has changed since the last one."""
    rollout = state.rollout
    if rollout is None and not state.status_key:
        return state, ()
    record = _status_record(state, rules, now)
    run = rollout.counts.run if rollout is not None else 0
    in_steps = rollout is not None and rollout.phase in (Phase.STEPPING, Phase.EJECTED)
    deadline = deadline_of(rules, rollout.counts) if rollout is not None and in_steps else 0.0
    content = (
        record.rollout_id,
        record.phase,
        record.version,
        record.step,
        record.weight,
        run,
        record.waits_for,
        deadline,
    )
    key = record_id("rollout-status", state.model, *content)
    if key == state.status_key:
        return state, ()
    # An idle status repeats the content of an earlier one: the previous id keeps the ids distinct.
    record = with_text_id(record, "rollout-status", state.status_id)
    return replace(state, status_key=key, status_id=record.record_id), (record,)


def _status_record(state: RolloutState, rules: RolloutRules, now: float) -> RolloutStatus:
    rollout = state.rollout
    live = state.live.version if state.live is not None else 0
    return RolloutStatus(
        record_id="",
        model=state.model,
        at=now,
        caused_by=rollout.caused_by[:1] if rollout is not None else (),
        rollout_id=rollout.rollout_id if rollout is not None else "",
        version=rollout.candidate.version if rollout is not None else live,
        champion=rollout.champion if rollout is not None else live,
        phase=state.phase.value,
        weight=weight_in_force(state, rules),
        ends_at=ends_at(rollout, rules, now),
        step=rollout.step if rollout is not None else 0,
        reason=rollout.reason if rollout is not None else f"Version {live} is live.",
        waits_for=_waits_for(state),
        control_replacements=rollout.replacements if rollout is not None else 0,
    )


def _waits_for(state: RolloutState) -> str:
    rollout, experiment, queued = state.rollout, state.experiment, state.queued_version
    if rollout is None:
        busy = experiment is not None and experiment.phase in ("preparing", "running")
        return f"the end of an experiment (version {queued.version})" if busy and queued else ""
    if rollout.phase is Phase.AWAITING_APPROVAL:
        return f"approval {rollout.approval.replace('-', ' ')}"
    return "resume" if rollout.phase is Phase.PAUSED else ""
