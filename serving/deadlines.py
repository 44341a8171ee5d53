"""The time limit of each phase: every state ends by itself, also if nobody does anything.

============== ============================================ ===========================
phase          ends at the latest after                     then
============== ============================================ ===========================
any, without   ``memory_seconds``                           rolled back
its memory
preparing      ``prepare_seconds``                          rolled back
comparing      ``shadow.deadline_seconds``                  as ``shadow.undecided`` says
awaiting       ``approval_seconds``                         rolled back
stepping       ``deadline_seconds`` in steps, or later    rolled back
               where the traffic needs it (`plan`)
ejected        the same, together with the steps            rolled back
replacing      ``prepare_seconds``                          rolled back
paused         ``pause_seconds``                            rolled back
promoting      ``prepare_seconds`` for the stable server,   rolled back; promoted without
               ``reference_seconds`` for the reference      its reference
baking         ``bake_deadline_seconds``                    rolled back
rolling back   ``prepare_seconds`` for the champion         another server carries it, or
                                                            the candidate stays
============== ============================================ ===========================

A person's time goes on while the daemon does not run; all others count the time that it watched. A
rollback also waits until Envoy confirms that the candidate gets no request: there is no limit to
that, because nothing else could be done, and it pages.
"""

from __future__ import annotations

from serving.memory_budget import awaits_memory
from serving.phase import Phase
from serving.plan import deadline_of
from serving.rules import RolloutRules
from serving.state import Rollout


def overdue(rollout: Rollout, rules: RolloutRules, now: float) -> bool:
    """Whether a person has been waited for longer than the limit."""
    limits = {
        Phase.AWAITING_APPROVAL: rules.approval_seconds,
        Phase.PAUSED: rules.pause_seconds,
    }
    limit = limits.get(rollout.phase)
    return limit is not None and now - rollout.since >= limit


def ends_at(rollout: Rollout | None, rules: RolloutRules, now: float) -> float | None:
    """When the phase ends by itself if nothing else happens, seconds since 1970; None for never."""
    if rollout is None:
        return None
    in_phase = rollout.phase_seconds
    if awaits_memory(rollout, rules):
        return now + max(0.0, rules.memory_seconds - in_phase)
    match rollout.phase:
        case Phase.AWAITING_APPROVAL:
            return rollout.since + rules.approval_seconds
        case Phase.PAUSED:
            return rollout.since + rules.pause_seconds
        case Phase.COMPARING:
            return now + max(0.0, rules.shadow.deadline_seconds - in_phase)
        case Phase.STEPPING | Phase.EJECTED:
            return now + max(0.0, deadline_of(rules, rollout.counts) - rollout.spent_seconds)
        case Phase.BAKING:
            limit = max(rules.bake_deadline_seconds, rules.bake_seconds)
            return now + max(0.0, limit - in_phase)
        case Phase.PROMOTING:
            limit = max(rules.prepare_seconds, rules.reference_seconds)
            return now + max(0.0, limit - in_phase)
        case _:
            return now + max(0.0, rules.prepare_seconds - in_phase)


def approval_reason(rules: RolloutRules) -> str:
    """What is awaited before the first client reaches a version, and for how long."""
    days = rules.approval_seconds / 86_400
    return (
        "The servers are ready; an engineer decides whether clients reach this version, within "
        f"{days:.3g} days."
    )


def first_approval_reason(rules: RolloutRules) -> str:
    """The same for the first version of a model, which no server loads before."""
    days = rules.approval_seconds / 86_400
    return f"An engineer decides whether clients reach it, within {days:.3g} days."
