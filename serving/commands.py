"""Commands that people give about a rollout, and the reasons for refusing one.

What lets a version go on names what was reviewed: `approve` the request and its digest
(`serving.approvals`), `promote` the version and the digest of its files. It is refused where the
gates cannot be read or have not passed, unless it is forced, with a reason that is recorded. What
takes a version out (`pause`, `abort`, `rollback`) applies without them to the version that is being
rolled out. The reason of a refusal that another state of the rollout explains begins with
``Conflict:``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from serving.approval_checks import (
    against,
    forced_on,
    missing_evidence,
    promotion_refusal,
    unforced,
)
from serving.approval_commands import Decided, decide_approval
from serving.approval_steps import follow_approval
from serving.experiment_control import (
    end_for_rollback,
    is_busy,
    start_experiment,
    stop_experiment,
    waits_for_end,
)
from serving.phase import Phase
from serving.promotion import apply_promotion
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState, Transition
from serving.transitions import (
    add_cause,
    roll_back,
    start_rollout,
    switch_phase,
)
from streaming.contracts.ids import record_id
from streaming.contracts.records import Command, Record
from streaming.contracts.replies import command_reply, out_of_date

Outcome = tuple[RolloutState, bool, str]
"""State after the command, whether it was accepted, and the reason."""

PROMOTABLE = (Phase.STEPPING, Phase.PAUSED, Phase.EJECTED, Phase.AWAITING_APPROVAL)
"""The phases in which a person may promote the candidate."""


def apply_command(
    state: RolloutState, command: Command, *, rules: RolloutRules, now: float
) -> Transition:
    """Apply a command or refuse it; the reply is a record in both cases."""
    written: tuple[Record, ...] = ()
    if state.pending is not None:  # decided before the command came
        written = (state.pending,)
        state = apply_promotion(state, state.pending, rules=rules, now=now)
    decided = _decide(state, command, _Given(rules=rules, now=now))
    after, followed = follow_approval(decided.state, rules, now)
    result = after.rollout.rollout_id if after.rollout is not None else ""
    accepted, reason = decided.accepted, decided.reason
    if accepted and command.action.endswith("-experiment") and after.experiment is not None:
        result = after.experiment.experiment_id
    reply = command_reply(
        command.record_id,
        model=command.model,
        accepted=accepted,
        reason=reason,
        now=now,
        result_id=result,
        code=f"{accepted} {reason} {now}",  # decided again after a crash, it may read otherwise
    )
    return Transition(state=after, records=(*written, *decided.records, *followed, reply))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What a command is decided with, besides the state."""

    rules: RolloutRules
    now: float


def _decide(state: RolloutState, command: Command, given: _Given) -> Decided:
    stale = out_of_date(command, given.now)
    if stale:
        return Decided(state=state, accepted=False, reason=stale)
    about_ended = any(end.request_id == command.subject for end in state.ended_approvals)
    if command.action in ("approve", "reject") and (state.rollout is not None or about_ended):
        return decide_approval(state, command, rules=given.rules, now=given.now)
    after, accepted, reason = _apply(state, command, given)
    return Decided(state=after, accepted=accepted, reason=reason)


def _apply(state: RolloutState, command: Command, given: _Given) -> Outcome:
    rollout, now = state.rollout, given.now
    if command.action == "start-experiment":
        return start_experiment(state, command, rules=given.rules, now=now)
    if command.action == "stop-experiment":
        return stop_experiment(state, command, now=now)
    if command.action == "rollback":
        return _rollback(state, command, now)
    if command.action == "retry":
        return _retry(state, command, now)
    if rollout is None:
        return state, False, f"Nothing is being rolled out; there is nothing to {command.action}."
    if _names_other_version(command, rollout.candidate.version):
        return (
            state,
            False,
            f"Conflict: version {rollout.candidate.version} is being rolled out, not "
            f"{command.version}.",
        )
    if command.digest and command.digest != rollout.candidate.artifact.digest:
        return state, False, "Conflict: the artifact has changed since it was reviewed."
    return _HANDLERS[command.action](state, rollout, command, given)


def _names_other_version(command: Command, version: int) -> bool:
    """Whether the command names a version and it is not this one."""
    return command.version not in (0, version)


def _unnamed(rollout: Rollout, command: Command) -> str:
    """Why a command that lets a version on is refused for not naming it; empty if it does."""
    if command.version and command.digest:
        return ""
    return (
        f"Conflict: {command.action} needs the version and the digest of the artifact that was "
        f"reviewed; version {rollout.candidate.version} is being rolled out."
    )


def _pause(state: RolloutState, rollout: Rollout, command: Command, given: _Given) -> Outcome:
    if rollout.phase is not Phase.STEPPING:
        return state, False, f"Conflict: only steps can be paused; the rollout is {rollout.phase}."
    reason = f"{command.who} paused: {command.reason}"
    paused = switch_phase(rollout, Phase.PAUSED, reason, given.now)
    return replace(state, rollout=paused), True, reason


def _resume(state: RolloutState, rollout: Rollout, command: Command, given: _Given) -> Outcome:
    if rollout.phase is not Phase.PAUSED:
        return state, False, f"Conflict: the rollout is not paused; it is {rollout.phase}."
    reason = f"{command.who} resumed: {command.reason}"
    resumed = switch_phase(rollout, Phase.STEPPING, reason, given.now)
    return replace(state, rollout=resumed), True, reason


def _promote(state: RolloutState, rollout: Rollout, command: Command, given: _Given) -> Outcome:
    """Skip the remaining steps; by force also without what the gates must prove at the last one.

    By force it also ends a bake that lacks data.
    """
    baking = rollout.phase is Phase.BAKING and command.force
    if rollout.phase not in PROMOTABLE and not baking:
        return state, False, f"Conflict: the rollout is {rollout.phase}; it cannot be promoted now."
    refusal = _unnamed(rollout, command) or (
        "" if baking else promotion_refusal(rollout, command, given.rules)
    )
    if refusal:
        return state, False, refusal
    last = len(given.rules.weights) - 1
    missing = missing_evidence(rollout, rules=given.rules, now=given.now, step=last)
    refusal = unforced(command, missing)
    if refusal:
        return state, False, refusal
    if baking:
        reason = f"{command.who} ended the bake{against(missing)}: {command.reason}"
        return replace(state, rollout=None), True, reason
    reason = f"{command.who} promoted it{against(missing)}: {command.reason}"
    after = forced_on(rollout, Phase.PROMOTING, reason, missing, given.now)
    after = replace(after, approved_id=command.record_id)
    return replace(state, rollout=add_cause(after, command.record_id)), True, reason


def _abort(state: RolloutState, rollout: Rollout, command: Command, given: _Given) -> Outcome:
    if rollout.phase in (Phase.BAKING, Phase.ROLLING_BACK):
        return (
            state,
            False,
            f"Conflict: the rollout is {rollout.phase}; use rollback to return to the previous "
            "version.",
        )
    reason = f"{command.who} aborted: {command.reason}"
    back = roll_back(rollout, reason, given.now, "person")
    return replace(state, rollout=back), True, reason


def _retry(state: RolloutState, command: Command, now: float) -> Outcome:
    """Roll out a version again that was given up for an outage; by force also a failed one."""
    if state.rollout is not None:
        busy = state.rollout.candidate.version
        return state, False, f"Conflict: version {busy} is being rolled out; retry it afterwards."
    if is_busy(state):
        return state, False, f"Conflict: {waits_for_end(state)}"
    if not command.version:
        return state, False, "Conflict: retry needs the version."
    for rejection in state.rejections:
        if rejection.candidate.version == command.version:
            break
    else:
        return state, False, f"Version {command.version} was not given up lately."
    candidate = rejection.candidate
    if command.digest and command.digest != candidate.artifact.digest:
        return state, False, "Conflict: the artifact has changed since it was reviewed."
    decided = (
        ""
        if rejection.cause in ("outage", "superseded")
        else (
            f"Version {command.version} was given up for what it did, not for an outage: "
            f"{rejection.reason}"
        )
    )
    refusal = unforced(command, decided)
    if refusal:
        return state, False, refusal
    reason = f"{command.who} retries version {command.version}{against(decided)}: {command.reason}"
    number = command.version
    state = replace(
        state,
        rejected_versions=tuple(entry for entry in state.rejected_versions if entry != number),
        rejections=tuple(entry for entry in state.rejections if entry.candidate.version != number),
    )
    state = start_rollout(state, candidate, now, attempt=command.record_id, retried_by=command.who)
    assert state.rollout is not None
    return replace(state, rollout=replace(state.rollout, reason=reason)), True, reason


def _rollback(state: RolloutState, command: Command, now: float) -> Outcome:
    """During a rollout the same as abort; afterwards return to the previous version."""
    reason = f"{command.who} rolled back: {command.reason}"
    rollout = state.rollout
    if rollout is not None:
        candidate = rollout.candidate.version
        if _names_other_version(command, candidate):
            return state, False, f"Conflict: version {candidate} is being rolled out."
        if rollout.phase is Phase.ROLLING_BACK:
            return state, False, "Conflict: it is being rolled back already."
        back = roll_back(rollout, reason, now, "person")
        return replace(state, rollout=back), True, reason
    live, previous, version = state.live, state.previous, state.live_candidate
    if live is None or previous is None or version is None:
        return state, False, "There is no version to go back to."
    if _names_other_version(command, live.version):
        return state, False, f"Conflict: version {live.version} is live, not {command.version}."
    back = Rollout(
        rollout_id=record_id("rollback", state.model, live.record_id),
        candidate=version,
        champion=previous.version,
        phase=Phase.ROLLING_BACK,
        since=now,
        reason=reason,
        cause="person",
        published=True,
        caused_by=(live.record_id, command.record_id),
    )
    state = end_for_rollback(state, reason, now)
    return replace(state, rollout=back), True, reason


_HANDLERS: dict[str, Callable[[RolloutState, Rollout, Command, _Given], Outcome]] = {
    "pause": _pause,
    "resume": _resume,
    "promote": _promote,
    "abort": _abort,
}

ACTIONS = frozenset(_HANDLERS) | {
    "approve",
    "reject",
    "rollback",
    "retry",
    "start-experiment",
    "stop-experiment",
}
"""The commands about rollouts and experiments; all others are ignored here."""
