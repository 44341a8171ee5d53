"""The records that a rollout writes, made from its state; ids repeat when a tick is repeated."""

from __future__ import annotations

from msgspec.structs import replace

from serving.desired import canary_weight
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState
from serving.verdict import Verdict
from streaming.contracts.ids import record_id
from streaming.contracts.records import (
    Artifact,
    CanaryVerdict,
    Command,
    CommandReply,
    Promotion,
    Record,
    RolloutStatus,
)


def verdict_record(
    rollout: Rollout, verdict: Verdict, *, model: str, weight: int, now: float
) -> CanaryVerdict:
    """What the judge said at this weight."""
    ledger = rollout.ledger
    here = [block for block in ledger.blocks if block.run == ledger.run]
    return CanaryVerdict(
        record_id=record_id(
            "canary-verdict",
            model,
            rollout.rollout_id,
            rollout.phase,
            ledger.run,
            len(ledger.blocks),
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
        requests=sum(block.n1 for block in here),
        seconds_in_step=0.0 if rollout.run_since is None else now - rollout.run_since,
    )


def promotion(
    state: RolloutState, rollout: Rollout, reference: Artifact | None, now: float
) -> Promotion:
    """The candidate is live."""
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
    """The version before it is live again, with its own yardstick."""
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


def answer(
    command: Command, *, accepted: bool, reason: str, now: float, result: str = ""
) -> CommandReply:
    """What became of a command."""
    return CommandReply(
        record_id=record_id("answer", command.model, command.record_id),
        model=command.model,
        at=now,
        caused_by=(command.record_id,),
        to=command.record_id,
        accepted=accepted,
        reason=reason,
        result_id=result,
    )


def status(
    state: RolloutState, rules: RolloutRules, now: float
) -> tuple[RolloutState, tuple[Record, ...]]:
    """Where the rollout stands, when that has changed since the last time."""
    rollout = state.rollout
    if rollout is None and not state.status_key:
        return state, ()
    live = state.live.version if state.live is not None else 0
    said = RolloutStatus(
        record_id="",
        model=state.model,
        at=now,
        caused_by=rollout.caused_by[:1] if rollout is not None else (),
        rollout_id=rollout.rollout_id if rollout is not None else "",
        version=rollout.candidate.version if rollout is not None else live,
        champion=rollout.champion if rollout is not None else live,
        phase=rollout.phase if rollout is not None else "idle",
        weight=canary_weight(rollout, rules),
        step=rollout.step if rollout is not None else 0,
        reason=rollout.reason if rollout is not None else f"Version {live} is live.",
        waits_for=_waits_for(rollout),
    )
    run = rollout.ledger.run if rollout is not None else 0
    parts = (said.rollout_id, said.phase, said.version, said.step, said.weight, run, said.waits_for)
    key = record_id("rollout-status", state.model, *parts)
    if key == state.status_key:
        return state, ()
    # Back at idle a rollout says what was said before it: the id tells the two apart.
    told = record_id("rollout-status", state.model, state.status_id, key)
    return replace(state, status_key=key, status_id=told), (replace(said, record_id=told),)


def _waits_for(rollout: Rollout | None) -> str:
    if rollout is None:
        return ""
    if rollout.phase == "awaiting-approval":
        return f"approval {rollout.approval.replace('-', ' ')}"
    return "resume" if rollout.phase == "paused" else ""
