"""Builds the records of a rollout from its state; a repeated tick gives the same record ids."""

from __future__ import annotations

from msgspec.structs import replace

from serving.desired import canary_weight
from serving.rules import RolloutRules
from serving.state import Phase, Rollout, RolloutState
from serving.verdict import Verdict
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
    return CanaryVerdict(
        record_id=record_id(
            "canary-verdict",
            model,
            rollout.rollout_id,
            rollout.phase.value,
            counts.run,
            len(counts.blocks),
            verdict.outcome,
        ),
        model=model,
        at=now,
        caused_by=rollout.caused_by[:1],
        version=rollout.candidate.version,
        rollout_id=rollout.rollout_id,
        step=rollout.step,
        weight=weight,
        outcome=verdict.outcome,
        reason=verdict.reason,
        gates=verdict.gates,
        requests=sum(block.n1 for block in current_blocks),
        seconds_in_step=0.0 if rollout.run_since is None else now - rollout.run_since,
    )


def promotion(
    state: RolloutState, rollout: Rollout, reference: Artifact | None, now: float
) -> Promotion:
    """The promotion of the candidate."""
    version = rollout.candidate
    return Promotion(
        record_id=record_id("promotion", state.model, rollout.rollout_id, "promoted"),
        model=state.model,
        at=now,
        caused_by=rollout.caused_by,
        version=version.version,
        replaced=rollout.champion,
        change="promoted" if rollout.champion else "initial",
        reason=rollout.reason,
        artifact=version.artifact,
        reference=reference,
        window_start=version.window_start,
        window_end=version.window_end,
    )


def rolled_back(
    state: RolloutState, rollout: Rollout, previous: Promotion, now: float
) -> Promotion:
    """The previous version is live again, with its own reference."""
    return Promotion(
        record_id=record_id("promotion", state.model, rollout.rollout_id, "rolled-back"),
        model=state.model,
        at=now,
        caused_by=rollout.caused_by,
        version=previous.version,
        replaced=rollout.candidate.version,
        change="rolled-back",
        reason=rollout.reason,
        artifact=previous.artifact,
        reference=previous.reference,
        window_start=previous.window_start,
        window_end=previous.window_end,
    )


def status(
    state: RolloutState, rules: RolloutRules, now: float
) -> tuple[RolloutState, tuple[Record, ...]]:
    """A status record if the status has changed since the last one."""
    rollout = state.rollout
    if rollout is None and not state.status_key:
        return state, ()
    record = _status_record(state, rules, now)
    run = rollout.counts.run if rollout is not None else 0
    content = (
        record.rollout_id,
        record.phase,
        record.version,
        record.step,
        record.weight,
        run,
        record.waits_for,
    )
    key = record_id("rollout-status", state.model, *content)
    if key == state.status_key:
        return state, ()
    # An idle status repeats the content of an earlier one: the previous id keeps the ids distinct.
    new_id = record_id("rollout-status", state.model, state.status_id, key)
    state = replace(state, status_key=key, status_id=new_id)
    return state, (replace(record, record_id=new_id),)


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
        weight=canary_weight(rollout, rules),
        step=rollout.step if rollout is not None else 0,
        reason=rollout.reason if rollout is not None else f"Version {live} is live.",
        waits_for=_waits_for(rollout),
    )


def _waits_for(rollout: Rollout | None) -> str:
    if rollout is None:
        return ""
    if rollout.phase is Phase.AWAITING_APPROVAL:
        return f"approval {rollout.approval.replace('-', ' ')}"
    return "resume" if rollout.phase is Phase.PAUSED else ""
