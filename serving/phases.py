"""What can happen to a rollout in each phase: one pure function per phase.

Each function returns the next state and the records that the change writes. The phases after the
last step are in `serving.promotion` and `serving.returning`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from serving.approval_steps import end_approval
from serving.deadlines import approval_reason, overdue
from serving.desired import canary_weight, find_server, load_seconds, serves
from serving.gates import judge_startup
from serving.judging import fail, give_up, judge_weight, report_progress, unproven, with_verdict
from serving.memory_budget import awaits_memory
from serving.phase import BEFORE_LIVE, Phase
from serving.plan import deadline_of, plan_measured
from serving.ports import Observation, Role
from serving.promotion import bake, promote
from serving.replacing import await_control, follow_control
from serving.returning import finish_rollback
from serving.shadow import comparison_record, paired_gate, settled
from serving.state import Rollout, RolloutState
from serving.tick_input import Change, TickInput
from serving.transitions import add_cause, enter_phase, roll_back, switch_phase
from serving.verdict import Verdict
from streaming.contracts.approval_digests import comparison_digest


def advance_phase(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Apply at most one change to the rollout in progress."""
    changed = _changed_files(rollout, tick)
    if changed is not None:
        return fail(state, rollout, changed, tick, weight=canary_weight(rollout, tick.rules))
    moved = _follow_serving(state, rollout, tick) or _follow_champion(state, rollout, tick)
    if moved is not None:
        return moved, []
    if overdue(rollout, tick.rules, tick.now):
        return _nobody_decided(state, rollout, tick)
    if awaits_memory(rollout, tick.rules):
        return _await_memory(state, rollout, tick)
    handler = _HANDLERS.get(rollout.phase)
    if handler is not None:
        return handler(state, rollout, tick)
    if canary_weight(rollout, tick.rules):
        return _judge_weight(state, rollout, tick)
    return state, []


def _nobody_decided(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """End what waited for a person for too long."""
    what = "approved" if rollout.phase is Phase.AWAITING_APPROVAL else "resumed"
    hours = (tick.now - rollout.since) / 3600
    reason = f"Nobody {what} version {rollout.candidate.version} within {hours:.0f} h."
    weight = canary_weight(rollout, tick.rules)
    opened = state.approval
    if opened is None or rollout.phase is not Phase.AWAITING_APPROVAL:
        return give_up(state, rollout, reason, tick, weight=weight)
    if opened.decisions:
        names = ", ".join(decision.who for decision in opened.decisions)
        reason = (
            f"Only {len(opened.decisions)} of {opened.request.people} people ({names}) approved "
            f"version {rollout.candidate.version} within {hours:.0f} h."
        )
    state, outcome = end_approval(state, "expired", reason, tick.now)
    rollout = add_cause(rollout, outcome.record_id)
    state, records = give_up(state, rollout, reason, tick, weight=weight)
    return state, [outcome, *records]


def _changed_files(rollout: Rollout, tick: TickInput) -> Verdict | None:
    """Why a version is given up before it is live: its files are others now; None if not.

    Servers load a version several times in a rollout. Each has to be what was judged and approved.
    """
    observed, candidate = tick.observed, rollout.candidate
    files, published = observed.files, candidate.artifact.digest
    read = observed.files_version == candidate.version and files is not None
    if rollout.phase not in BEFORE_LIVE or not read or files == published:
        return None
    reason = (
        f"The files of version {candidate.version} have changed since they were published: "
        f"their digest is {str(files)[:12]}, not {published[:12]}. Nobody was asked about these, "
        "and nothing was measured with them."
    )
    return Verdict(outcome="fail", reason=reason)


_NOT_COMPARED = {"comparison": "", "comparison_id": ""}


def _follow_champion(state: RolloutState, rollout: Rollout, tick: TickInput) -> RolloutState | None:
    """Compare with the champion after all, if it can be served again before anybody decided."""
    champion = rollout.champion
    if not rollout.uncompared or rollout.phase is not Phase.AWAITING_APPROVAL:
        return None
    if not serves(tick.observed, "control", champion):
        return None
    reason = f"Version {champion} can be served again, so it is compared with first."
    again = enter_phase(
        rollout, Phase.PREPARING, reason, tick.now, step=0, uncompared=False, **_NOT_COMPARED
    )
    return replace(state, rollout=again, load_requests=())


def _follow_serving(state: RolloutState, rollout: Rollout, tick: TickInput) -> RolloutState | None:
    """The state after the deployment began or ceased to serve the model; None if nothing follows.

    Without traffic no gate can pass, so a rollout that waits for one goes on without a canary. Only
    a step leads to the promotion without a person: somebody or something stopped the others. A
    rollout without a canary starts again with the servers once there are some.
    """
    if not rollout.champion:
        return None  # the first version has no canary anywhere
    if not tick.rules.served:
        waits = rollout.phase is Phase.AWAITING_APPROVAL and rollout.approval == "before-canary"
        if rollout.phase in (Phase.STEPPING, Phase.COMPARING):
            return replace(state, rollout=_without_canary(rollout, tick))
        if waits or rollout.phase in (Phase.PAUSED, Phase.EJECTED, Phase.REPLACING):
            return replace(state, rollout=_await_use(rollout, tick))
        return None
    if not rollout.unserved or rollout.phase not in (Phase.AWAITING_APPROVAL, Phase.PROMOTING):
        return None
    reason = (
        f"This deployment serves the model now, so version {rollout.candidate.version} is compared "
        f"with version {rollout.champion} first."
    )
    again = enter_phase(
        rollout,
        Phase.PREPARING,
        reason,
        tick.now,
        step=0,
        spent_seconds=0.0,
        ejections=0,
        unserved=False,
        **_NOT_COMPARED,
    )
    # the load time is judged, and the earlier requests went to no server
    return replace(state, rollout=again, load_requests=())


def _await_memory(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Load nothing until the rollout has its memory; give it up where it can never have it."""
    answer = tick.observed.memory
    if answer is None:
        return state, []  # not asked yet: the rollout began in this tick
    if answer.outcome == "granted":
        granted = enter_phase(rollout, rollout.phase, answer.reason, tick.now, memory_granted=True)
        return replace(state, rollout=granted), []
    if answer.outcome == "impossible" or rollout.phase_seconds >= tick.rules.memory_seconds:
        return give_up(state, rollout, answer.reason, tick)
    return replace(state, rollout=replace(rollout, reason=answer.reason)), []


def _prepare(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Wait until control and canary have loaded their versions, then judge the load time."""
    observed, version = tick.observed, rollout.candidate.version
    ready = serves(observed, "canary", version) and serves(observed, "control", rollout.champion)
    if ready:
        gate = judge_startup(load_seconds(state, observed, version), rules=tick.rules)
        verdict = Verdict(outcome=gate.outcome, reason=gate.reason, gates=(gate,))
        next_rollout = _after_startup(rollout, verdict, tick)
        return with_verdict(state, next_rollout, verdict, tick, weight=0)
    waited = rollout.phase_seconds
    if waited < tick.rules.prepare_seconds:
        return state, []
    usable = serves(observed, "canary", version) or serves(observed, "canary", rollout.champion)
    if usable and _lacks(observed, "control", rollout.champion):
        return _go_uncompared(state, rollout, tick)
    reason = (
        f"After {waited:.0f} s control and canary did not both have their versions "
        f"({rollout.champion} and {version}). See the model servers' logs."
    )
    return give_up(state, rollout, reason, tick)


def _lacks(observed: Observation, role: Role, version: int) -> bool:
    """Whether a server answers, does not have the version, and is not about to."""
    server = find_server(observed, role)
    busy = any(entry.state == "loading" for entry in server.versions)
    return server.reachable and not busy and not serves(observed, role, version)


def _go_uncompared(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Go on without a comparison, because the champion cannot be loaded any more.

    If no server has it, clients get no answer and a version that works is better than none. While
    one server still has it in memory, an engineer decides; if that is the canary server, it keeps
    it, and the version is loaded only after the decision.
    """
    version = rollout.candidate.version
    kept_by_canary = serves(tick.observed, "canary", rollout.champion)
    silent = _lacks(tick.observed, "stable", rollout.champion) and not kept_by_canary
    lost = (
        f"Version {rollout.champion} cannot be loaded any more, so there is nothing to compare "
        f"version {version} with"
        + (", and clients get no answer" if silent else "; only one server still has it")
    )
    if kept_by_canary:
        verdict = Verdict(outcome="insufficient", reason=f"{lost}. Its load was not measured.")
    else:
        gate = judge_startup(load_seconds(state, tick.observed, version), rules=tick.rules)
        verdict = Verdict(outcome=gate.outcome, reason=f"{lost}. {gate.reason}", gates=(gate,))
    if verdict.outcome == "fail":
        return fail(state, rollout, verdict, tick, weight=0)
    if tick.rules.approval == "never" and silent:
        uncompared = enter_phase(rollout, Phase.PROMOTING, f"{lost}.", tick.now, uncompared=True)
    else:
        reason = f"{lost}; an engineer decides."
        uncompared = enter_phase(
            rollout,
            Phase.AWAITING_APPROVAL,
            reason,
            tick.now,
            approval="before-promotion",
            uncompared=True,
        )
    return with_verdict(state, uncompared, verdict, tick, weight=0)


def _after_startup(rollout: Rollout, verdict: Verdict, tick: TickInput) -> Rollout:
    if verdict.outcome != "pass":
        return roll_back(rollout, verdict.reason, tick.now, "fail")
    if not tick.rules.served:
        return _without_canary(rollout, tick)
    if tick.rules.shadow.enabled:
        return enter_phase(rollout, Phase.COMPARING, verdict.reason, tick.now)
    return _first_weight(rollout, verdict.reason, tick)


def _compare(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Hold until the answers are compared in pairs; then go on, ask a person, or roll back."""
    rules, now = tick.rules.shadow, tick.now
    comparison = settled(tick.observed.answers, waited=rollout.phase_seconds, rules=rules)
    if comparison is None:
        return state, []
    record = comparison_record(rollout, comparison, model=state.model, now=now)
    outcome, reason = comparison.outcome, comparison.reason
    gate = paired_gate(comparison, rules)
    verdict = Verdict(outcome=outcome, reason=reason, gates=(gate,))
    if outcome == "pass" or (outcome != "fail" and rules.undecided == "continue"):
        next_rollout = _first_weight(rollout, reason, tick)
    elif outcome == "fail" or rules.undecided == "roll-back":
        next_rollout = roll_back(rollout, reason, now, "fail" if outcome == "fail" else "outage")
    else:
        next_rollout = _await_approval(rollout, f"{reason} {approval_reason(tick.rules)}", tick)
    next_rollout = replace(
        add_cause(next_rollout, record.record_id),
        comparison=comparison_digest(comparison),
        comparison_id=record.record_id,
    )
    state, records = with_verdict(state, next_rollout, verdict, tick, weight=0)
    return state, [record, *records]


def _first_weight(rollout: Rollout, reason: str, tick: TickInput) -> Rollout:
    """The first step, or the approval before it."""
    if tick.rules.approval == "before-canary":
        return _await_approval(rollout, approval_reason(tick.rules), tick)
    step, planned = _planned(rollout, tick)
    return enter_phase(rollout, Phase.STEPPING, f"{reason}{planned}", tick.now, step=step)


def _await_approval(rollout: Rollout, reason: str, tick: TickInput) -> Rollout:
    step, planned = _planned(rollout, tick)
    return enter_phase(
        rollout,
        Phase.AWAITING_APPROVAL,
        f"{reason}{planned}",
        tick.now,
        approval="before-canary",
        step=step,
    )


def _planned(rollout: Rollout, tick: TickInput) -> tuple[int, str]:
    """The first step and the plan, as a further sentence, at the measured traffic; all steps and no
    text where none was measured."""
    measured = plan_measured(tick.rules, rollout.counts)
    return (0, "") if measured is None else (measured.first_step, f" {measured.text}")


def _without_canary(rollout: Rollout, tick: TickInput) -> Rollout:
    """The rollout of a model that is served elsewhere: an approval, or the promotion."""
    if tick.rules.approval == "never":
        return enter_phase(rollout, Phase.PROMOTING, f"{_UNSERVED}.", tick.now, unserved=True)
    return _await_use(rollout, tick)


_UNSERVED = "This deployment does not serve the model, so there is no canary"


def _await_use(rollout: Rollout, tick: TickInput) -> Rollout:
    reason = f"{_UNSERVED}; an engineer says when version {rollout.candidate.version} is in use."
    return enter_phase(
        rollout,
        Phase.AWAITING_APPROVAL,
        reason,
        tick.now,
        approval="before-promotion",
        unserved=True,
    )


def _judge_weight(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Judge the current weight: roll back, eject, move on, or hold."""
    rules, now = tick.rules, tick.now
    verdict = judge_weight(rollout, tick)
    held = 0.0 if rollout.run_since is None else now - rollout.run_since
    weight = rules.weights[rollout.step]
    if verdict.outcome == "fail":
        return fail(state, rollout, verdict, tick, weight=weight)
    if rollout.counts.bad_checks >= rules.ejection.bad_checks:
        return _eject(state, rollout, tick)
    if rollout.phase is not Phase.STEPPING:
        return report_progress(state, rollout, verdict, tick, weight=weight)
    followed = follow_control(state, rollout, verdict, tick, weight=weight, held=held)
    if followed is not None:
        return followed
    if verdict.outcome == "pass" and held >= rules.hold_seconds:
        next_rollout = _after_pass(rollout, verdict, tick)
        return with_verdict(state, next_rollout, verdict, tick, weight=weight)
    deadline = deadline_of(rules, rollout.counts)
    if rollout.spent_seconds >= deadline:
        late = unproven(verdict, deadline)
        return fail(state, rollout, late, tick, weight=weight)
    return report_progress(state, rollout, verdict, tick, weight=weight)


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
        return give_up(state, rollout, reason, tick, weight=tick.rules.weights[rollout.step])
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
    verdict = judge_weight(rollout, tick)
    if verdict.outcome == "fail":
        return fail(state, rollout, verdict, tick, weight=0)
    if rollout.spent_seconds >= deadline_of(tick.rules, rollout.counts):
        reason = "The deadline passed while the canary was ejected."
        late = Verdict(outcome="error", reason=reason, gates=verdict.gates)
        return fail(state, rollout, late, tick, weight=0)
    run_since = rollout.run_since if rollout.run_since is not None else now
    counts = rollout.counts
    recovered = now - max(run_since, counts.last_bad_at) >= rules.recover_seconds
    loaded = serves(tick.observed, "canary", rollout.candidate.version)
    if recovered and loaded and counts.good_checks >= rules.bad_checks:
        reason = f"Copies were answered well for {rules.recover_seconds:.0f} s; clients return."
        resumed = enter_phase(rollout, rollout.resume_to, reason, now, approval=rollout.approval)
        return replace(state, rollout=resumed), []
    undecided = Verdict(outcome="insufficient", reason=rollout.reason, gates=verdict.gates)
    return report_progress(state, rollout, undecided, tick, weight=0)


_HANDLERS: dict[Phase, Callable[[RolloutState, Rollout, TickInput], Change]] = {
    Phase.PREPARING: _prepare,
    Phase.COMPARING: _compare,
    Phase.EJECTED: _judge_ejected,
    Phase.REPLACING: await_control,
    Phase.PROMOTING: promote,
    Phase.BAKING: bake,
    Phase.ROLLING_BACK: finish_rollback,
}
"""The other phases judge the current weight if there is one."""
