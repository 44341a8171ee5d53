"""The end of a rollback: the champion serves again, or nothing can bring it back."""

from __future__ import annotations

from msgspec.structs import replace

from serving.desired import desired_split, served_anywhere, serves, weight_in_force
from serving.judging import with_verdict
from serving.report import rolled_back
from serving.routable import next_split
from serving.state import Rollout, RolloutState
from serving.tick_input import Change, TickInput
from serving.transitions import reject_version
from serving.verdict import Verdict


def finish_rollback(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """End the rollout once Envoy has the candidate's share at 0 and the champion serves.

    If the stable server does not get the champion in time, another server that has it may carry the
    traffic. If none has it, there is no way back: a promoted candidate stays live, and this is
    said; otherwise the champion is asked for until a server has it or a newer version is live.
    """
    observed, rules = tick.observed, tick.rules
    champion = rollout.champion
    restored = not champion or serves(observed, "stable", champion)
    if not restored and rollout.phase_seconds < rules.prepare_seconds:
        return state, []
    if observed.split != next_split(desired_split(state, observed, rules), state, observed, rules):
        return state, []  # while Envoy does not confirm it, the canary may still get requests
    if not rollout.published or state.previous is None:
        return reject_version(state, rollout, tick.now), []
    if not restored and not served_anywhere(observed, champion):
        return _stay(state, rollout, tick)
    record = rolled_back(state, rollout, state.previous, tick.now)
    return replace(state, pending=record), []


def _stay(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Keep the promoted version: the replaced one cannot be loaded by any server."""
    reason = (
        f"Version {rollout.champion} cannot be loaded any more, so version "
        f"{rollout.candidate.version} stays live: {rollout.reason}"
    )
    verdict = Verdict(outcome="error", reason=reason)
    state, records = with_verdict(
        state, rollout, verdict, tick, weight=weight_in_force(state, tick.rules)
    )
    return replace(state, rollout=None, previous=None), records
