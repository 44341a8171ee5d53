"""The promotion and the bake: the candidate becomes live, and is judged on.

While the stable server changes over, canary and control share the traffic and the gates go on. Then
the candidate has most of the traffic, and small equal arms of candidate and replaced version are
compared until the bake ends. A promotion is decided in one tick and written in the next, so that
its text is remembered before anybody reads it.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.deadlines import first_approval_reason
from serving.desired import desired_split, find_server, serves, weight_in_force
from serving.judging import (
    bake_step,
    fail,
    give_up,
    judge_bake,
    judge_weight,
    report_progress,
    unproven,
    with_verdict,
)
from serving.live_watch import is_failing
from serving.phase import Phase
from serving.report import promotion, referenced
from serving.routable import is_healthy
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState
from serving.tick_input import Change, TickInput
from serving.transitions import begin_counts, enter_phase, reject_version, switch_phase
from serving.verdict import Verdict
from streaming.contracts.records import Promotion


def promote(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Promote once the stable server, the route and the reference are ready."""
    observed, rules = tick.observed, tick.rules
    if not (rollout.champion or state.no_live_version):
        return state, []  # whether it is the first version is not known yet
    if not (rollout.champion or rollout.approved_id or rules.approval == "never"):
        return replace(state, rollout=_await_first_approval(rollout, tick)), []
    on_stable = serves(observed, "stable", rollout.candidate.version)
    judged = None
    if _is_compared(rollout, rules):
        if on_stable and rollout.counts.step != bake_step(rules):
            return replace(state, rollout=begin_counts(rollout, step=bake_step(rules))), []
        judged = judge_bake(rollout, tick) if on_stable else judge_weight(rollout, tick)
        harm = _harm(rollout, judged, tick, on_stable=on_stable)
        if harm is not None:
            return fail(state, rollout, harm, tick, weight=weight_in_force(state, tick.rules))
    unseen = rules.served and observed.healthy is not None and not is_healthy(observed, "stable")
    if not on_stable or unseen:
        return _await_stable(state, rollout, judged, tick)
    reference = observed.reference
    if reference is not None and reference.version != rollout.candidate.version:
        reference = None
    settled = reference is not None or rollout.phase_seconds >= rules.reference_seconds
    routed = not rules.served or is_healthy(observed, "stable")
    if observed.split != desired_split(state, observed, rules) or not (settled and routed):
        return _progress(state, rollout, judged, tick)
    if reference is None:
        rollout = replace(rollout, reason=f"{rollout.reason} {_no_reference(rules)}")
    artifact = reference.artifact if reference is not None else None
    pending = promotion(state, rollout, artifact, tick.now)
    return replace(state, rollout=rollout, pending=pending), []


def _await_first_approval(rollout: Rollout, tick: TickInput) -> Rollout:
    """The rollout of a first version that a person has to approve before a server loads it."""
    reason = f"{rollout.reason} {first_approval_reason(tick.rules)}"
    return enter_phase(rollout, Phase.AWAITING_APPROVAL, reason, tick.now, approval="before-canary")


def _is_compared(rollout: Rollout, rules: RolloutRules) -> bool:
    return bool(rollout.champion) and rules.served and not (rollout.unserved or rollout.uncompared)


def _harm(rollout: Rollout, judged: Verdict, tick: TickInput, *, on_stable: bool) -> Verdict | None:
    """Why the promotion must not go on, as a verdict; None if it may."""
    rules, version = tick.rules.ejection, rollout.candidate.version
    if judged.outcome == "fail":
        return judged
    canary = find_server(tick.observed, "canary")
    if (
        not (on_stable or rollout.forced)
        and canary.reachable
        and not serves(tick.observed, "canary", version)
        and not any(entry.state == "loading" for entry in canary.versions)
    ):
        reason = f"The canary server lost version {version} while the stable server changed over."
    elif not on_stable and rollout.counts.bad_checks >= rules.bad_checks:
        reason = (
            f"At least {100 * rules.bad_share:.0f} % of the requests of version {version} failed "
            "or were slow while the stable server changed over, and the control was healthy."
        )
    elif is_failing(rollout.watch, rules):
        reason = (
            f"At least {100 * rules.bad_share:.0f} % of the requests of version {version} failed "
            "or were slow in consecutive checks after the change-over."
        )
    else:
        return None
    return Verdict(outcome="error", reason=reason, gates=judged.gates)


def _await_stable(
    state: RolloutState, rollout: Rollout, judged: Verdict | None, tick: TickInput
) -> Change:
    """Wait for the stable server, and for Envoy to hold it healthy, for a limited time."""
    version, waited = rollout.candidate.version, rollout.phase_seconds
    if waited < tick.rules.prepare_seconds:
        return _progress(state, rollout, judged, tick)
    reason = f"The stable server did not get version {version} in {waited:.0f} s."
    if serves(tick.observed, "stable", version):
        reason = (
            f"The stable server has version {version}, but Envoy does not hold it healthy after "
            f"{waited:.0f} s."
        )
    if rollout.champion:
        return give_up(state, rollout, reason, tick, weight=weight_in_force(state, tick.rules))
    if not find_server(tick.observed, "stable").reachable and state.queued_version is None:
        return state, []  # nothing else could be served either; a newer version may come first
    verdict = Verdict(outcome="error", reason=reason)
    state, records = with_verdict(
        state, replace(rollout, reason=reason, cause="outage"), verdict, tick, weight=0
    )
    assert state.rollout is not None
    return reject_version(state, state.rollout, tick.now), records


def _progress(
    state: RolloutState, rollout: Rollout, judged: Verdict | None, tick: TickInput
) -> Change:
    if judged is None:
        return state, []
    return report_progress(state, rollout, judged, tick, weight=weight_in_force(state, tick.rules))


def write_pending(state: RolloutState, tick: TickInput) -> Change:
    """Write the promotion that was decided, now that it is remembered."""
    if state.pending is None:
        return state, []
    record = state.pending
    return apply_promotion(state, record, rules=tick.rules, now=tick.now), [record]


def apply_promotion(
    state: RolloutState, record: Promotion, *, rules: RolloutRules, now: float
) -> RolloutState:
    """The state after our own promotion was written, now or before a crash.

    Parameters
    ----------
    state:
        The state in which it was decided, or a later one that does not know of it.
    record:
        A promotion of the rollout in progress, its rollback, or the live version's reference.
    """
    rollout = state.rollout
    state = replace(state, pending=None)
    if record.change == "referenced" or rollout is None:
        return replace(state, live=record, missing_reference=None)
    if record.change == "rolled-back":
        state = reject_version(state, rollout, now)
        return replace(
            state, live=record, previous=None, live_candidate=None, missing_reference=None
        )
    candidate = rollout.candidate
    state = replace(
        state,
        live=record,
        previous=None if rollout.uncompared else state.live,
        live_candidate=candidate,
        missing_reference=candidate if record.reference is None else None,
    )
    rollout = replace(rollout, published=True)
    if rollout.phase is not Phase.PROMOTING:  # it is being rolled back already
        return replace(state, rollout=rollout)
    if not _is_compared(rollout, rules) or rules.bake_seconds <= 0:
        return replace(state, rollout=None)
    reason = f"Version {candidate.version} is live; version {rollout.champion} stays loaded."
    return replace(state, rollout=switch_phase(rollout, Phase.BAKING, reason, now))


def complete_reference(state: RolloutState, tick: TickInput) -> RolloutState:
    """Decide to publish the reference that the promotion of the live version did without."""
    missing, live, reference = state.missing_reference, state.live, tick.observed.reference
    if missing is None or live is None or reference is None or state.pending is not None:
        return state
    if reference.version != missing.version or missing.version != live.version:
        return state
    if reference.artifact is None:  # there are no windows to build it from
        return replace(state, missing_reference=None)
    return replace(state, pending=referenced(state, live, reference.artifact, tick.now))


def _no_reference(rules: RolloutRules) -> str:
    return (
        f"Its drift reference was not ready after {rules.reference_seconds:.0f} s and is still "
        "being built; windows are inconclusive until it is there."
    )


def bake(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Take a promoted version back that does harm; end the bake once it has passed again.

    Without data the bake does not end well. At its deadline it is enough that the requests exclude
    the harm that a first canary step has to exclude; with less, the version is taken back, unless
    a person promoted it knowing that it was not proven.
    """
    rules = tick.rules
    if not rules.served:
        done = rollout.phase_seconds >= rules.bake_seconds
        return (replace(state, rollout=None) if done else state), []
    verdict = judge_bake(rollout, tick)
    harm = _harm(rollout, verdict, tick, on_stable=True)
    if harm is not None:
        return fail(state, rollout, harm, tick, weight=weight_in_force(state, tick.rules))
    if verdict.outcome == "pass" and rollout.phase_seconds >= rules.bake_seconds:
        return _end_bake(state, rollout, verdict, tick)
    deadline = max(rules.bake_deadline_seconds, rules.bake_seconds)
    if rollout.phase_seconds < deadline:
        return report_progress(
            state, rollout, verdict, tick, weight=weight_in_force(state, tick.rules)
        )
    why_kept = ""
    if (
        verdict.outcome == "insufficient"
        and judge_bake(rollout, tick, coarse=True).outcome == "pass"
    ):
        why_kept = f"The traffic of {deadline:.0f} s shows no large harm since the promotion"
    elif rollout.forced:
        why_kept = f"Not proven in the bake, and kept: {rollout.forced.rstrip('.')}"
    if not why_kept:
        late = unproven(verdict, deadline)
        return fail(state, rollout, late, tick, weight=weight_in_force(state, tick.rules))
    kept = Verdict(
        outcome="error" if verdict.outcome == "error" else "insufficient",
        reason=f"{why_kept}. {verdict.reason}",
        gates=verdict.gates,
    )
    return _end_bake(state, rollout, kept, tick)


def _end_bake(state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput) -> Change:
    state, records = with_verdict(
        state, rollout, verdict, tick, weight=weight_in_force(state, tick.rules)
    )
    return replace(state, rollout=None), records
