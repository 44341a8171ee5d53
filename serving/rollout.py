"""The rollout of one model as a pure state machine: (state, observation, now) → transition.

::

    idle → preparing → comparing → (awaiting-approval) → stepping ⇄ paused / ejected
         → (awaiting-approval) → promoting → baking → idle
    any of them → rolling-back → idle

The first version of a model has no champion to be compared with: it goes from idle to promoting,
once the log is known to have no promotion and, where approvals are asked for, people said yes.
Ejection checks and gates are evaluated in every phase in which the candidate receives requests or
copies: at each step, while a person is waited for, while the stable server changes over, and during
the bake. Only a pass moves forward. Missing data, errors and too few requests hold the weight, and
roll back at the deadline.

Every phase ends by itself: `serving.deadlines` has the limit of each.
"""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from serving.approval_steps import follow_approval
from serving.counts import add_scrapes, add_traffic, begin_run, restart_control
from serving.desired import canary_weight, candidate_arms, desired_split
from serving.evidence.queries import add_looks
from serving.experiment_control import advance_experiment, is_busy
from serving.first_version import confirm_first_version
from serving.inputs import digest_of, note_looks, record_inputs
from serving.live_watch import watch_arm
from serving.phase import Phase
from serving.phases import advance_phase
from serving.ports import Observation
from serving.promotion import complete_reference, write_pending
from serving.reconcile import reconcile
from serving.report import status
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState, Transition
from serving.tick_input import TickInput
from serving.transitions import start_rollout
from streaming.contracts.records import Record

TRANSITIONS_PER_TICK = 4

MAX_WATCHED_SECONDS = 10.0
"""Longer gaps between two ticks count as this long: nobody watched, so no limit is spent."""

_COMPARED = (Phase.EJECTED, Phase.PROMOTING, Phase.BAKING)
_LIVE = (Phase.PROMOTING, Phase.BAKING)


def tick(
    state: RolloutState,
    observed: Observation,
    *,
    rules: RolloutRules,
    now: float,
    code: str = "",
) -> Transition:
    """Count what was observed, decide, and keep what was decided from.

    Parameters
    ----------
    state:
        The current state.
    observed:
        The state of the outside.
    rules:
        How this model is rolled out.
    now:
        Seconds since 1970.
    code:
        Version of the code, for the record of the rules.
    """
    tick_input = TickInput(observed=observed, rules=rules, now=now)
    state, written = write_pending(state, tick_input)
    state = confirm_first_version(state, observed)
    watched = watched_seconds(state, now)
    state = _count(state, tick_input, digest_of(rules, code))
    state, looks = advance_experiment(state, observed, rules=rules, now=now, watched=watched)
    decided = record_inputs(state, decide(state, tick_input), tick_input, code=code)
    return dataclasses.replace(decided, records=(*written, *looks, *decided.records))


def decide(state: RolloutState, tick_input: TickInput) -> Transition:
    """Advance the rollout and reconcile the outside, once everything observed is counted."""
    observed, rules, now = tick_input.observed, tick_input.rules, tick_input.now
    records: list[Record] = []
    for _ in range(TRANSITIONS_PER_TICK):
        before = state.rollout
        state, new_records = _advance(state, tick_input)
        records += new_records
        if state.rollout is before or state.pending is not None:
            break
    state, approval_records = follow_approval(state, rules, now)
    records += approval_records
    state = complete_reference(state, tick_input)
    state, actions = reconcile(state, observed, rules, now)
    state, status_records = status(state, rules, now)
    return Transition(state=state, records=(*records, *status_records), actions=actions)


def watched_seconds(state: RolloutState, now: float) -> float:
    """Time since the last tick in which the daemon was watching."""
    elapsed = now - state.ticked_at if state.ticked_at else 0.0
    return min(max(0.0, elapsed), MAX_WATCHED_SECONDS)


def _count(state: RolloutState, tick_input: TickInput, rules_digest: str) -> RolloutState:
    """Add the time watched, note a confirmed weight, and count the new scrapes."""
    observed, rules, now = tick_input.observed, tick_input.rules, tick_input.now
    rollout = state.rollout
    elapsed = now - state.ticked_at if state.ticked_at else 0.0
    watched = watched_seconds(state, now)
    state = replace(state, ticked_at=now)
    if rollout is None:
        return state
    if elapsed < 0.0:
        rollout = _after_clock_went_back(rollout, now)
    rollout = replace(rollout, phase_seconds=rollout.phase_seconds + watched)
    if observed.scrapes:
        rollout = replace(rollout, heard_at=observed.scrapes[-1].at)
    if rollout.phase in (Phase.STEPPING, Phase.EJECTED):
        rollout = replace(rollout, spent_seconds=rollout.spent_seconds + watched)
    if rollout.run_since is None and observed.split == desired_split(state, observed, rules):
        rollout = replace(rollout, run_since=now)
    since = rollout.run_since
    if since is None:
        return replace(state, rollout=rollout)
    if rollout.phase in (Phase.PREPARING, Phase.COMPARING):
        rollout = replace(
            rollout,
            counts=add_traffic(rollout.counts, observed.scrapes, seconds=rules.block_seconds),
        )
    if canary_weight(rollout, rules) or rollout.phase in _COMPARED:
        counts = add_scrapes(rollout.counts, observed.scrapes, since=since, rules=rules, now=now)
        if rollout.phase not in _COMPARED and _control_is_gone(observed, rollout):
            counts = restart_control(counts)
        queries = add_looks(
            rollout.evidence.queries, observed.looks, run=counts.run, rules=rules.evidence
        )
        evidence = replace(rollout.evidence, queries=queries)
        rollout = replace(rollout, counts=counts, evidence=evidence)
        rollout = note_looks(rollout, observed.looks, rules_digest)
    if rollout.phase in _LIVE:
        arm = candidate_arms(rollout, observed)[0]
        watch = watch_arm(
            rollout.watch,
            observed.scrapes,
            arm=arm,
            since=since,
            rules=rules.ejection,
        )
        rollout = replace(rollout, watch=watch)
    return replace(state, rollout=rollout)


def _control_is_gone(observed: Observation, rollout: Rollout) -> bool:
    """Whether the control server answers but has lost the champion: it was replaced."""
    return any(
        server.role == "control" and server.reachable and not server.versions
        for server in observed.servers
    ) and bool(rollout.champion)


def _after_clock_went_back(rollout: Rollout, now: float) -> Rollout:
    """Times that lie in the future now would hold everything until then: count from here again."""
    return replace(
        rollout,
        since=min(rollout.since, now),
        run_since=None,
        heard_at=min(rollout.heard_at, now),
        reported_at=min(rollout.reported_at, now),
        counts=begin_run(rollout.counts, step=rollout.counts.step),
    )


def _advance(state: RolloutState, tick_input: TickInput) -> tuple[RolloutState, list[Record]]:
    if state.pending is not None:
        return state, []
    if state.rollout is not None:
        return advance_phase(state, state.rollout, tick_input)
    if state.queued_version is not None and not is_busy(state):
        return start_rollout(state, state.queued_version, tick_input.now), []
    return state, []
