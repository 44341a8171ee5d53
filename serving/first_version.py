"""Makes sure that a version is a model's first one before it goes live without a comparison.

A daemon that lost its table, and reads the versions before the promotions, takes an old version for
the first one. So the newest promotion is read from the log before a first version is even loaded.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.ports import Observation
from serving.state import RolloutState
from serving.transitions import start_rollout
from streaming.contracts.records import Promotion


def confirm_first_version(state: RolloutState, observed: Observation) -> RolloutState:
    """Adopt the newest promotion of the log, or note that there is none.

    While the log cannot be read nothing is decided, and no server is asked to load anything.
    """
    rollout = state.rollout
    waits = rollout is not None and not rollout.champion and not state.no_live_version
    if not waits or state.live is not None or observed.history is None:
        return state
    if observed.history.newest is None:
        return replace(state, no_live_version=True)
    return adopt_live(state, observed.history.newest, observed.at)


def adopt_live(state: RolloutState, promotion: Promotion, now: float) -> RolloutState:
    """The state in which the version of a promotion from the log is live.

    A rollout of a newer version starts again against it; one of an older version ends.
    """
    rollout, queued = state.rollout, state.queued_version
    if queued is not None and queued.version <= promotion.version:
        queued = None
    state = replace(
        state,
        live=promotion,
        previous=None,
        live_candidate=None,
        missing_reference=None,
        pending=None,
        queued_version=queued,
    )
    if rollout is None:
        return state
    if rollout.champion == promotion.version:
        return state
    state = replace(state, rollout=None)
    if rollout.candidate.version > promotion.version:
        return start_rollout(state, rollout.candidate, now, retried_by=rollout.retried_by)
    return state
