"""The rollout of one model as a pure state machine: (state, observation, now) → transition.

::

    idle → preparing → (awaiting-approval) → stepping ⇄ paused / ejected
         → (awaiting-approval) → promoting → baking → idle
    any of them → rolling-back → idle

The first version of a model has no champion to be compared with: it goes from idle to promoting.
Ejection checks and gates are evaluated in every phase in which the canary receives requests or
copies, also while the rollout awaits an approval. Only a pass moves forward. Missing data, errors
and too few requests hold the weight, and roll back at the deadline.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.counts import add_scrapes
from serving.desired import canary_weight, desired_split, reconcile
from serving.phases import TickInput, advance_phase
from serving.ports import Observation
from serving.report import status
from serving.rules import RolloutRules
from serving.state import Phase, RolloutState, Transition
from serving.transitions import start_rollout
from streaming.contracts.records import Record

TRANSITIONS_PER_TICK = 4


def tick(
    state: RolloutState, observed: Observation, *, rules: RolloutRules, now: float
) -> Transition:
    """Count what was observed, advance the rollout, and reconcile the outside.

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
    """
    tick_input = TickInput(observed=observed, rules=rules, now=now)
    state = _count(state, tick_input)
    records: list[Record] = []
    for _ in range(TRANSITIONS_PER_TICK):
        before = state.rollout
        state, new_records = _advance(state, tick_input)
        records += new_records
        if state.rollout is before:
            break
    state, actions = reconcile(state, observed, rules, now)
    state, status_records = status(state, rules, now)
    return Transition(state=state, records=(*records, *status_records), actions=actions)


def _count(state: RolloutState, tick_input: TickInput) -> RolloutState:
    """Add the time spent, note a confirmed weight, and count the new scrapes."""
    observed, rules, now = tick_input.observed, tick_input.rules, tick_input.now
    rollout = state.rollout
    elapsed = max(0.0, now - state.ticked_at) if state.ticked_at else 0.0
    state = replace(state, ticked_at=now)
    if rollout is None:
        return state
    if rollout.phase in (Phase.STEPPING, Phase.EJECTED):
        rollout = replace(rollout, spent_seconds=rollout.spent_seconds + elapsed)
    if rollout.run_since is None and observed.split == desired_split(state, observed, rules):
        rollout = replace(rollout, run_since=now)
    measured = canary_weight(rollout, rules) or rollout.phase in (Phase.EJECTED, Phase.BAKING)
    if measured and rollout.run_since is not None:
        counts = add_scrapes(
            rollout.counts,
            observed.scrapes,
            since=rollout.run_since,
            rules=rules,
            alone=rollout.phase is Phase.BAKING,
        )
        rollout = replace(rollout, counts=counts)
    return replace(state, rollout=rollout)


def _advance(state: RolloutState, tick_input: TickInput) -> tuple[RolloutState, list[Record]]:
    if state.rollout is not None:
        return advance_phase(state, state.rollout, tick_input)
    if state.queued_version is not None:
        return start_rollout(state, state.queued_version, tick_input.now), []
    return state, []
