"""What can happen to a rollout in each phase: one pure function per phase.

Each function returns the next state and the records that the change writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from serving.desired import canary_weight, load_seconds, serves
from serving.gates import judge_gates, judge_startup
from serving.ports import ALL_STABLE, Observation
from serving.report import promotion, rolled_back, verdict_record
from serving.rules import RolloutRules
from serving.state import Phase, Rollout, RolloutState
from serving.transitions import add_cause, enter_phase, reject_version, roll_back, switch_phase
from serving.verdict import Verdict, judge
from streaming.contracts.records import GateOutcome, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class TickInput:
    """The inputs of one tick besides the state."""

    observed: Observation
    rules: RolloutRules
    now: float


Change = tuple[RolloutState, list[Record]]
"""The state after the change, and its records."""


def advance_phase(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Apply at most one change to the rollout in progress."""
    handler = _HANDLERS.get(rollout.phase)
    if handler is not None:
        return handler(state, rollout, tick)
    if canary_weight(rollout, tick.rules):
        return _judge_weight(state, rollout, tick)
    return state, []


def _prepare(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Wait until control and canary have loaded their versions, then judge the load time."""
    observed, version = tick.observed, rollout.candidate.version
    ready = serves(observed, "canary", version) and serves(observed, "control", rollout.champion)
    if ready:
        gate = judge_startup(load_seconds(state, observed, version), rules=tick.rules)
        verdict = Verdict(outcome=gate.outcome, reason=gate.reason, gates=(gate,))
        next_rollout = _after_startup(rollout, verdict, tick)
        return _with_verdict(state, next_rollout, verdict, tick, weight=0)
    waited = tick.now - rollout.since
    if waited < tick.rules.prepare_seconds:
        return state, []
    reason = (
        f"After {waited:.0f} s control and canary did not both have their versions "
        f"({rollout.champion} and {version}). See the model servers' logs."
    )
    verdict = Verdict(outcome="error", reason=reason)
    return _fail(state, rollout, verdict, tick, weight=0)


def _after_startup(rollout: Rollout, verdict: Verdict, tick: TickInput) -> Rollout:
    if verdict.outcome != "pass":
        return roll_back(rollout, verdict.reason, tick.now)
    if tick.rules.approval == "before-canary":
        reason = "The servers are ready; an engineer decides whether clients reach this version."
        return enter_phase(
            rollout, Phase.AWAITING_APPROVAL, reason, tick.now, approval="before-canary"
        )
    return enter_phase(rollout, Phase.STEPPING, verdict.reason, tick.now)


def _judge_weight(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Judge the current weight: roll back, eject, move on, or hold."""
    rules, now = tick.rules, tick.now
    verdict = _verdict(rollout, tick)
    held = 0.0 if rollout.run_since is None else now - rollout.run_since
    weight = rules.weights[rollout.step]
    if verdict.outcome == "fail":
        return _fail(state, rollout, verdict, tick, weight=weight)
    if rollout.counts.bad_checks >= rules.ejection.bad_checks:
        return _eject(state, rollout, tick)
    if rollout.phase is not Phase.STEPPING:
        return _report_progress(state, rollout, verdict, tick)
    if verdict.outcome == "pass" and held >= rules.hold_seconds:
        next_rollout = _after_pass(rollout, verdict, tick)
        return _with_verdict(state, next_rollout, verdict, tick, weight=weight)
    if rollout.spent_seconds >= rules.deadline_seconds:
        reason = (
            f"Not proven within {rules.deadline_seconds:.0f} s, so rolled back, though nothing "
            f"failed: {verdict.reason}"
        )
        outcome: GateOutcome = "insufficient" if verdict.outcome == "pass" else verdict.outcome
        late = Verdict(outcome=outcome, reason=reason, gates=verdict.gates)
        return _fail(state, rollout, late, tick, weight=weight)
    return _report_progress(state, rollout, verdict, tick)


def _after_pass(rollout: Rollout, verdict: Verdict, tick: TickInput) -> Rollout:
    """The rollout after a passed step: the next weight, an approval, or the promotion."""
    if rollout.step + 1 < len(tick.rules.weights):
        step = rollout.step + 1
        return enter_phase(rollout, Phase.STEPPING, verdict.reason, tick.now, step=step)
    if tick.rules.approval == "before-promotion":
        reason = "Every gate passed at every weight; an engineer decides on the promotion."
        return switch_phase(
            rollout, Phase.AWAITING_APPROVAL, reason, tick.now, approval="before-promotion"
        )
    return enter_phase(rollout, Phase.PROMOTING, verdict.reason, tick.now)


def _eject(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Set the canary's weight to 0 at once; copies of the traffic decide what follows."""
    rules = tick.rules.ejection
    reason = (
        f"At least {100 * rules.bad_share:.0f} % of the canary's requests failed or were slow in "
        f"{rules.bad_checks} consecutive checks while the control was healthy"
    )
    if rollout.ejections >= rules.max_ejections:
        reason = f"{reason}, for the {rollout.ejections + 1}th time."
        verdict = Verdict(outcome="error", reason=reason)
        weight = tick.rules.weights[rollout.step]
        return _fail(state, rollout, verdict, tick, weight=weight)
    ejected = enter_phase(
        rollout,
        Phase.EJECTED,
        f"{reason}. It receives copies only, until it recovers or a gate fails it.",
        tick.now,
        ejections=rollout.ejections + 1,
        resume_to=rollout.phase,
        approval=rollout.approval,
    )
    return replace(state, rollout=ejected), []


def _judge_ejected(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Judge the copies: roll back after a fail, return to clients after recovery, or wait."""
    now, rules = tick.now, tick.rules.ejection
    verdict = _verdict(rollout, tick)
    if verdict.outcome == "fail":
        return _fail(state, rollout, verdict, tick, weight=0)
    if rollout.spent_seconds >= tick.rules.deadline_seconds:
        reason = "The deadline passed while the canary was ejected."
        late = Verdict(outcome="error", reason=reason, gates=verdict.gates)
        return _fail(state, rollout, late, tick, weight=0)
    run_since = rollout.run_since if rollout.run_since is not None else now
    counts = rollout.counts
    recovered = now - max(run_since, counts.last_bad_at) >= rules.recover_seconds
    loaded = serves(tick.observed, "canary", rollout.candidate.version)
    if recovered and loaded and counts.good_checks >= rules.bad_checks:
        reason = f"Copies were answered well for {rules.recover_seconds:.0f} s; clients return."
        resumed = enter_phase(rollout, rollout.resume_to, reason, now, approval=rollout.approval)
        return replace(state, rollout=resumed), []
    undecided = Verdict(outcome="insufficient", reason=rollout.reason, gates=verdict.gates)
    return _report_progress(state, rollout, undecided, tick)


def _promote(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Promote once the stable server, the route and the reference are ready."""
    observed, rules, now = tick.observed, tick.rules, tick.now
    version = rollout.candidate.version
    waited = now - rollout.since
    if not serves(observed, "stable", version):
        if waited >= rules.prepare_seconds and rollout.champion:
            reason = f"The stable server did not get version {version} in {waited:.0f} s."
            return replace(state, rollout=roll_back(rollout, reason, now)), []
        return state, []
    reference = observed.reference
    if reference is not None and reference.version != version:
        reference = None
    reference_settled = reference is not None or waited >= rules.prepare_seconds
    if observed.split != ALL_STABLE or not reference_settled:
        return state, []
    artifact = reference.artifact if reference is not None else None
    record = promotion(state, rollout, artifact, now)
    state = replace(state, live=record, previous=state.live, live_candidate=rollout.candidate)
    if not rollout.champion or rules.bake_seconds <= 0:
        return replace(state, rollout=None), [record]
    reason = f"Version {version} is live; version {rollout.champion} stays loaded."
    baking = enter_phase(rollout, Phase.BAKING, reason, now, published=True)
    return replace(state, rollout=baking), [record]


def _bake(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Roll back a promoted version that fails; end the rollout after the bake time."""
    bad_checks = tick.rules.ejection.bake_bad_checks
    if rollout.counts.bad_checks >= bad_checks:
        reason = (
            f"Version {rollout.candidate.version} failed or was slow in {bad_checks} consecutive "
            "checks after its promotion."
        )
        return replace(state, rollout=roll_back(rollout, reason, tick.now)), []
    if tick.now - rollout.since >= tick.rules.bake_seconds:
        return replace(state, rollout=None), []
    return state, []


def _finish_rollback(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """End the rollout once the champion serves all traffic."""
    observed = tick.observed
    restored = not rollout.champion or serves(observed, "stable", rollout.champion)
    if observed.split != ALL_STABLE or not restored:
        return state, []
    state = reject_version(state, rollout.candidate.version)
    if not rollout.published or state.previous is None:
        return state, []
    record = rolled_back(state, rollout, state.previous, tick.now)
    return replace(state, live=record, previous=None, live_candidate=None), [record]


_HANDLERS: dict[Phase, Callable[[RolloutState, Rollout, TickInput], Change]] = {
    Phase.PREPARING: _prepare,
    Phase.EJECTED: _judge_ejected,
    Phase.PROMOTING: _promote,
    Phase.BAKING: _bake,
    Phase.ROLLING_BACK: _finish_rollback,
}
"""The other phases judge the current weight if there is one."""


def _verdict(rollout: Rollout, tick: TickInput) -> Verdict:
    counts = rollout.counts
    gates = judge_gates(counts.blocks, run=counts.run, step=rollout.step, rules=tick.rules)
    last = counts.last_scrape
    heard_at = last.at if last is not None else (rollout.run_since or rollout.since)
    return judge(gates, silent_seconds=tick.now - heard_at, stale_seconds=tick.rules.stale_seconds)


def _fail(
    state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput, *, weight: int
) -> Change:
    """Begin the rollback for the reason of the verdict."""
    back = roll_back(rollout, verdict.reason, tick.now)
    return _with_verdict(state, back, verdict, tick, weight=weight)


def _report_progress(
    state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput
) -> Change:
    """Write a verdict record when the outcome changed, and at regular intervals."""
    due = tick.now - rollout.reported_at >= tick.rules.report_seconds
    changed = verdict.outcome != rollout.reported_outcome
    if rollout.run_since is None or not (due or changed):
        return state, []
    weight = canary_weight(rollout, tick.rules)
    return _with_verdict(state, rollout, verdict, tick, weight=weight)


def _with_verdict(
    state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput, *, weight: int
) -> Change:
    """Write the verdict on the old phase, and continue with `rollout`."""
    assert state.rollout is not None
    record = verdict_record(state.rollout, verdict, model=state.model, weight=weight, now=tick.now)
    rollout = replace(rollout, reported_at=tick.now, reported_outcome=verdict.outcome)
    if verdict.outcome != "insufficient":
        rollout = add_cause(rollout, record.record_id)
    return replace(state, rollout=rollout), [record]
