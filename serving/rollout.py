"""The rollout of one model as a pure state machine: (state, observed, now) → (state, records).

::

    idle → preparing → (awaiting-approval) → stepping ⇄ paused / guarded
         → (awaiting-approval) → promoting → baking → idle
    any of them → rolling-back → idle

The first version of a model has nothing to be compared with: it goes from idle to promoting.
The watch and the judge work in every phase in which clients or copies meet the canary, also
while a person is asked. Only a pass moves forward; silence, errors and too few requests hold,
and at the deadline they roll back.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.counts import MIRRORED, add_scrapes, begin_run
from serving.desired import canary_weight, load_seconds, repair, serves, wanted_split
from serving.gates import judge_gates, judge_startup
from serving.ports import ALL_STABLE, Observed
from serving.report import promotion, rolled_back, status, verdict_record
from serving.rules import RolloutRules
from serving.state import Phase, Rollout, RolloutState, Step
from serving.verdict import Verdict, judge
from streaming.contracts.ids import record_id
from streaming.contracts.records import GateOutcome, ModelVersion, Record

TRANSITIONS_PER_TICK = 4


def tick(state: RolloutState, observed: Observed, *, rules: RolloutRules, now: float) -> Step:
    """One look at the world: learn, advance, repair.

    Parameters
    ----------
    state:
        What was remembered.
    observed:
        What the outside says now.
    rules:
        How this model is rolled out.
    now:
        Seconds since 1970.
    """
    state = _learn(state, observed, rules, now)
    records: list[Record] = []
    for _ in range(TRANSITIONS_PER_TICK):
        before = state.rollout
        state, made = _advance(state, observed, rules, now)
        records += made
        if state.rollout is before:
            break
    state, actions = repair(state, observed, rules, now)
    state, said = status(state, rules, now)
    return Step(state=state, records=(*records, *said), actions=actions)


def begin(state: RolloutState, version: ModelVersion, now: float) -> RolloutState:
    """Take up a version; the caller has seen to it that nothing else is on its way."""
    champion = state.live.version if state.live is not None else 0
    rollout = Rollout(
        rollout_id=record_id(
            "rollout", state.model, version.record_id, state.live and state.live.record_id
        ),
        candidate=version,
        champion=champion,
        phase="preparing" if champion else "promoting",
        since=now,
        reason=(
            f"Version {version.version} is to replace version {champion}."
            if champion
            else f"Version {version.version} is the first one; there is nothing to compare it with."
        ),
        caused_by=(version.record_id,),
    )
    return replace(state, rollout=rollout, waiting=None)


def enter(rollout: Rollout, phase: Phase, reason: str, now: float, **changes: object) -> Rollout:
    """The rollout in another phase; whatever was measured in the old one starts anew."""
    step = MIRRORED if phase == "guarded" else changes.get("step", rollout.step)
    assert isinstance(step, int)
    return replace(
        rollout,
        phase=phase,
        since=now,
        reason=reason,
        run_since=None,
        ledger=begin_run(rollout.ledger, step=step),
        **{"approval": "", **changes},
    )


def go_back(rollout: Rollout, reason: str, now: float) -> Rollout:
    """The rollout on its way back to the champion."""
    return enter(rollout, "rolling-back", reason, now)


def hold(rollout: Rollout, phase: Phase, reason: str, now: float, **changes: object) -> Rollout:
    """Another phase at the same weight: counting goes on."""
    return replace(rollout, phase=phase, since=now, reason=reason, **{"approval": "", **changes})


def _learn(
    state: RolloutState, observed: Observed, rules: RolloutRules, now: float
) -> RolloutState:
    """Time spent, weight confirmed, requests counted."""
    rollout = state.rollout
    passed = max(0.0, now - state.ticked_at) if state.ticked_at else 0.0
    state = replace(state, ticked_at=now)
    if rollout is None:
        return state
    if rollout.phase in ("stepping", "guarded"):
        rollout = replace(rollout, spent_seconds=rollout.spent_seconds + passed)
    if rollout.run_since is None and observed.split == wanted_split(state, observed, rules):
        rollout = replace(rollout, run_since=now)
    counted = canary_weight(rollout, rules) or rollout.phase in ("guarded", "baking")
    if counted and rollout.run_since is not None:
        ledger = add_scrapes(
            rollout.ledger,
            observed.scrapes,
            since=rollout.run_since,
            rules=rules,
            alone=rollout.phase == "baking",
        )
        rollout = replace(rollout, ledger=ledger)
    return replace(state, rollout=rollout)


def _advance(
    state: RolloutState, observed: Observed, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    rollout = state.rollout
    if rollout is None:
        if state.waiting is not None:
            return begin(state, state.waiting, now), []
        return state, []
    if rollout.phase == "preparing":
        return _prepare(state, rollout, observed, rules, now)
    if rollout.phase == "guarded":
        return _guard(state, rollout, observed, rules, now)
    if rollout.phase == "promoting":
        return _promote(state, rollout, observed, rules, now)
    if rollout.phase == "baking":
        return _bake(state, rollout, rules, now)
    if rollout.phase == "rolling-back":
        return _roll_back(state, rollout, observed, now)
    if canary_weight(rollout, rules):
        return _judge(state, rollout, rules, now)
    return state, []


def _prepare(
    state: RolloutState, rollout: Rollout, observed: Observed, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    version = rollout.candidate.version
    ready = serves(observed, "canary", version) and serves(observed, "control", rollout.champion)
    if ready:
        gate = judge_startup(load_seconds(state, observed, version), rules=rules)
        verdict = Verdict(outcome=gate.outcome, reason=gate.reason, gates=(gate,))
        return _after_startup(state, rollout, verdict, rules, now)
    if now - rollout.since < rules.prepare_seconds:
        return state, []
    reason = (
        f"After {now - rollout.since:.0f} s control and canary did not both have their versions "
        f"({rollout.champion} and {version}). See the model servers' logs."
    )
    verdict = Verdict(outcome="error", reason=reason)
    return _reported(state, go_back(rollout, reason, now), verdict, rules, now, weight=0)


def _after_startup(
    state: RolloutState, rollout: Rollout, verdict: Verdict, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    if verdict.outcome != "pass":
        rollout = go_back(rollout, verdict.reason, now)
    elif rules.approval == "before-canary":
        reason = "The servers are ready; an engineer decides whether clients meet this version."
        rollout = enter(rollout, "awaiting-approval", reason, now, approval="before-canary")
    else:
        rollout = enter(rollout, "stepping", verdict.reason, now)
    return _reported(state, rollout, verdict, rules, now, weight=0)


def _judge(
    state: RolloutState, rollout: Rollout, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    """Look at the present weight: fail, take out, go on, or hold."""
    verdict = _verdict(rollout, rules, now)
    held = 0.0 if rollout.run_since is None else now - rollout.run_since
    weight = rules.weights[rollout.step]
    if verdict.outcome == "fail":
        return _reported(state, go_back(rollout, verdict.reason, now), verdict, rules, now, weight)
    if rollout.ledger.bad_looks >= rules.watch.looks:
        return _take_out(state, rollout, rules, now)
    if rollout.phase != "stepping":
        return _progress(state, rollout, verdict, rules, now)
    if verdict.outcome == "pass" and held >= rules.hold_seconds:
        return _reported(state, _next(rollout, verdict, rules, now), verdict, rules, now, weight)
    if rollout.spent_seconds >= rules.deadline_seconds:
        reason = (
            f"Not proven within {rules.deadline_seconds:.0f} s, so rolled back, though nothing "
            f"failed: {verdict.reason}"
        )
        back = go_back(rollout, reason, now)
        outcome: GateOutcome = "insufficient" if verdict.outcome == "pass" else verdict.outcome
        late = Verdict(outcome=outcome, reason=reason, gates=verdict.gates)
        return _reported(state, back, late, rules, now, weight)
    return _progress(state, rollout, verdict, rules, now)


def _next(rollout: Rollout, verdict: Verdict, rules: RolloutRules, now: float) -> Rollout:
    """Where a pass leads: the next weight, a person, or the promotion."""
    if rollout.step + 1 < len(rules.weights):
        return enter(rollout, "stepping", verdict.reason, now, step=rollout.step + 1)
    if rules.approval == "before-promotion":
        reason = "Every gate passed at every weight; an engineer decides on the promotion."
        return hold(rollout, "awaiting-approval", reason, now, approval="before-promotion")
    return enter(rollout, "promoting", verdict.reason, now)


def _take_out(
    state: RolloutState, rollout: Rollout, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    """The protective pause: weight 0 at once; copies of the traffic tell what becomes of it."""
    watch = rules.watch
    reason = (
        f"At least {100 * watch.bad_share:.0f} % of the canary's requests failed or were slow in "
        f"{watch.looks} looks running while the control was well"
    )
    if rollout.guards >= watch.most:
        reason = f"{reason}, for the {rollout.guards + 1}th time."
        verdict = Verdict(outcome="error", reason=reason)
        weight = rules.weights[rollout.step]
        return _reported(state, go_back(rollout, reason, now), verdict, rules, now, weight)
    back_to: Phase = rollout.phase
    out = enter(
        rollout,
        "guarded",
        f"{reason}. It gets copies only until it is well or the judge is sure.",
        now,
        guards=rollout.guards + 1,
        resume_to=back_to,
        approval=rollout.approval,
    )
    return replace(state, rollout=out), []


def _guard(
    state: RolloutState, rollout: Rollout, observed: Observed, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    """On copies: judged harmful → back; well for a while → clients again; else wait."""
    verdict = _verdict(rollout, rules, now)
    if verdict.outcome == "fail":
        return _reported(state, go_back(rollout, verdict.reason, now), verdict, rules, now, 0)
    if rollout.spent_seconds >= rules.deadline_seconds:
        reason = "The deadline passed while the canary was taken out."
        late = Verdict(outcome="error", reason=reason, gates=verdict.gates)
        return _reported(state, go_back(rollout, reason, now), late, rules, now, 0)
    ledger, watch = rollout.ledger, rules.watch
    begun = rollout.run_since if rollout.run_since is not None else now
    well = now - max(begun, ledger.bad_at) >= watch.recover_seconds
    there = serves(observed, "canary", rollout.candidate.version)
    if well and there and ledger.good_looks >= watch.looks:
        reason = f"Copies were answered well for {watch.recover_seconds:.0f} s; clients come back."
        back = enter(rollout, rollout.resume_to, reason, now, approval=rollout.approval)
        return replace(state, rollout=back), []
    unsure = Verdict(outcome="insufficient", reason=rollout.reason, gates=verdict.gates)
    return _progress(state, rollout, unsure, rules, now)


def _promote(
    state: RolloutState, rollout: Rollout, observed: Observed, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    version = rollout.candidate.version
    waited = now - rollout.since
    if not serves(observed, "stable", version):
        if waited >= rules.prepare_seconds and rollout.champion:
            reason = f"The stable server did not get version {version} in {waited:.0f} s."
            return replace(state, rollout=go_back(rollout, reason, now)), []
        return state, []
    answer = observed.reference
    known = answer is not None and answer.version == version
    if observed.split != ALL_STABLE or not (known or waited >= rules.prepare_seconds):
        return state, []
    record = promotion(state, rollout, answer.artifact if known and answer else None, now)
    state = replace(state, live=record, previous=state.live, live_candidate=rollout.candidate)
    if not rollout.champion or rules.bake_seconds <= 0:
        return replace(state, rollout=None), [record]
    reason = f"Version {version} is live; version {rollout.champion} stays warm."
    baking = enter(rollout, "baking", reason, now, published=True)
    return replace(state, rollout=baking), [record]


def _bake(
    state: RolloutState, rollout: Rollout, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    if rollout.ledger.bad_looks >= rules.watch.bake_looks:
        reason = (
            f"Version {rollout.candidate.version} failed or was slow in "
            f"{rules.watch.bake_looks} looks running after its promotion."
        )
        return replace(state, rollout=go_back(rollout, reason, now)), []
    if now - rollout.since >= rules.bake_seconds:
        return replace(state, rollout=None), []
    return state, []


def _roll_back(
    state: RolloutState, rollout: Rollout, observed: Observed, now: float
) -> tuple[RolloutState, list[Record]]:
    there = not rollout.champion or serves(observed, "stable", rollout.champion)
    if observed.split != ALL_STABLE or not there:
        return state, []
    tried = (*state.tried[-63:], rollout.candidate.version)
    state = replace(state, rollout=None, tried=tried)
    if not rollout.published or state.previous is None:
        return state, []
    record = rolled_back(state, rollout, state.previous, now)
    return replace(state, live=record, previous=None, live_candidate=None), [record]


def _verdict(rollout: Rollout, rules: RolloutRules, now: float) -> Verdict:
    ledger = rollout.ledger
    gates = judge_gates(ledger.blocks, run=ledger.run, step=rollout.step, rules=rules)
    heard = ledger.last.at if ledger.last is not None else (rollout.run_since or rollout.since)
    return judge(gates, silent_seconds=now - heard, stale_seconds=rules.stale_seconds)


def _progress(
    state: RolloutState, rollout: Rollout, verdict: Verdict, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    """A verdict record when the outcome changed, and now and then."""
    due = now - rollout.reported_at >= rules.report_seconds
    if rollout.run_since is None or not (due or verdict.outcome != rollout.reported):
        return state, []
    weight = canary_weight(rollout, rules)
    return _reported(state, rollout, verdict, rules, now, weight)


def _reported(
    state: RolloutState,
    rollout: Rollout,
    verdict: Verdict,
    rules: RolloutRules,
    now: float,
    weight: int,
) -> tuple[RolloutState, list[Record]]:
    """The verdict of the old phase as a record, and the rollout as it goes on."""
    assert state.rollout is not None
    record = verdict_record(state.rollout, verdict, model=state.model, weight=weight, now=now)
    rollout = replace(
        rollout,
        reported_at=now,
        reported=verdict.outcome,
        caused_by=(*rollout.caused_by[:8], record.record_id)
        if verdict.outcome != "insufficient"
        else rollout.caused_by,
    )
    return replace(state, rollout=rollout), [record]
