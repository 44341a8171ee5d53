"""Replaces a sick control by a fresh server of the same version.

A control that is proven to be worse than the stable arm proves nothing about a canary. All clients
go to the stable server, the control's server starts afresh and loads the champion, what was counted
beside the sick one is discarded, and the step begins anew. A rollout does that a limited number of
times: a control that is sick again has a cause that no fresh server corrects.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.counts import discard
from serving.desired import find_server, serves
from serving.judging import give_up, with_verdict
from serving.phase import Phase
from serving.ports import ALL_STABLE
from serving.state import Rollout, RolloutState
from serving.tick_input import Change, TickInput
from serving.transitions import enter_phase
from serving.verdict import Verdict


def replaceable(rollout: Rollout, verdict: Verdict, tick: TickInput) -> bool:
    """Whether the verdict says that the control is sick, and the rollout may still replace it.

    The stable server must be able to carry all requests meanwhile.
    """
    return (
        verdict.outcome == "error"
        and verdict.control_is_sick
        and rollout.replacements < tick.rules.control_replacements
        and serves(tick.observed, "stable", rollout.champion)
    )


def replace_control(
    state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput, *, weight: int
) -> Change:
    """Take canary and control out of the traffic, and discard what was counted beside it."""
    number, limit = rollout.replacements + 1, tick.rules.control_replacements
    reason = (
        f"The control is sick and is replaced by a fresh server ({number} of at most {limit} "
        f"times); the step then begins anew. {verdict.reason}"
    )
    replacing = enter_phase(
        rollout, Phase.REPLACING, reason, tick.now, replacements=number, control_ended=False
    )
    replacing = replace(replacing, counts=discard(replacing.counts))
    reported = Verdict(outcome="error", reason=reason, gates=verdict.gates)
    return with_verdict(state, replacing, reported, tick, weight=weight)


def await_control(state: RolloutState, rollout: Rollout, tick: TickInput) -> Change:
    """Go on with the step once the fresh control has the champion; give up after a time limit."""
    observed, champion = tick.observed, rollout.champion
    control_has_it = serves(observed, "control", champion)
    if not rollout.control_ended:
        # it answers and is empty: nothing but this rollout loads anything there
        emptied = find_server(observed, "control").reachable and not control_has_it
        if emptied and observed.split == ALL_STABLE:
            return replace(state, rollout=replace(rollout, control_ended=True)), []
    elif control_has_it and serves(observed, "canary", rollout.candidate.version):
        reason = (
            f"A fresh control serves version {champion}; what was counted before it is discarded."
        )
        resumed = enter_phase(rollout, Phase.STEPPING, reason, tick.now, control_ended=False)
        return replace(state, rollout=resumed), []
    waited = rollout.phase_seconds
    if waited < tick.rules.prepare_seconds:
        return state, []
    reason = (
        f"{waited:.0f} s after the control was to be replaced, control and canary did not both "
        f"have their versions ({champion} and {rollout.candidate.version}). See the model servers' "
        "logs."
    )
    return give_up(state, rollout, reason, tick)
