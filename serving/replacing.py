"""Replaces a sick control by a fresh server of the same version, and compares one that is not
known to be well anew.

A control that is proven to be worse than the stable arm proves nothing about a canary. All clients
go to the stable server, the control's server starts afresh and loads the champion, what was counted
beside the sick one is discarded, and the step begins anew. A rollout does that a limited number of
times: a control that is sick again has a cause that no fresh server corrects.

At 50 % the stable arm gets no requests, and a control may be neither sick nor known to be well: on
a machine that became busier, say. After a hold the rollout goes back to the weight before, where
the stable arm has requests, and comes back from there with a comparison of today. A control that
even that does not show to be well cannot be judged, and ends the rollout before its deadline.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.control import cannot_be_known
from serving.counts import discard
from serving.desired import find_server, serves
from serving.judging import give_up, with_verdict
from serving.margins import CONTROL_RETURNS, suspect_seconds
from serving.phase import Phase
from serving.plan import deadline_of
from serving.ports import ALL_STABLE
from serving.state import Rollout, RolloutState
from serving.tick_input import Change, TickInput
from serving.transitions import enter_phase
from serving.verdict import Verdict


def follow_control(
    state: RolloutState,
    rollout: Rollout,
    verdict: Verdict,
    tick: TickInput,
    *,
    weight: int,
    held: float,
) -> Change | None:
    """What follows where the control is what keeps the canary from being judged; None if nothing.

    Parameters
    ----------
    held:
        For how long the weight is in force, in seconds.
    """
    if replaceable(rollout, verdict, tick):
        return replace_control(state, rollout, verdict, tick, weight=weight)
    in_time = rollout.spent_seconds < deadline_of(tick.rules, rollout.counts)
    if in_time and control_is_unknown(rollout, verdict, tick, held=held):
        return compare_control_anew(state, rollout, verdict, tick, weight=weight)
    return None


def control_is_unknown(rollout: Rollout, verdict: Verdict, tick: TickInput, *, held: float) -> bool:
    """Whether nothing is missing but that the control is known to be well, and the requests of the
    weight do not show it in a hold's time."""
    missing = [gate for gate in verdict.gates if gate.outcome == "insufficient" and gate.holds]
    return (
        verdict.outcome == "insufficient"
        and rollout.step > 0
        and held >= tick.rules.warm_seconds + suspect_seconds(tick.rules)
        and bool(missing)
        and all(map(cannot_be_known, missing))
    )


def compare_control_anew(
    state: RolloutState, rollout: Rollout, verdict: Verdict, tick: TickInput, *, weight: int
) -> Change:
    """Go back to the weight before, a limited number of times; then give the rollout up."""
    number = rollout.control_returns + 1
    if number > CONTROL_RETURNS:
        reason = (
            f"The canary cannot be judged: the control is not known to be well at {weight} %, also "
            f"after {CONTROL_RETURNS} returns to the weight before. {verdict.reason}"
        )
        return give_up(state, rollout, reason, tick, weight=weight)
    reason = (
        f"The control is compared with the stable arm anew, at the weight before ({number} of at "
        f"most {CONTROL_RETURNS} times). {verdict.reason}"
    )
    back = enter_phase(
        rollout,
        Phase.STEPPING,
        reason,
        tick.now,
        step=rollout.step - 1,
        control_returns=number,
    )
    return with_verdict(state, back, verdict, tick, weight=weight)


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
