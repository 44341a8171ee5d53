"""Commands that people give about a rollout, and the reasons for refusing one.

A command without a version applies to the version that is being rolled out. An approval is bound
to the digest of the artifact that was reviewed; it is stale when that has changed. The reason of
such a refusal begins with ``Conflict:``.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from serving.state import Phase, Rollout, RolloutState, Transition
from serving.transitions import add_cause, enter_phase, roll_back, switch_phase
from streaming.contracts.ids import record_id
from streaming.contracts.records import Command
from streaming.contracts.replies import command_reply

Outcome = tuple[RolloutState, bool, str]
"""State after the command, whether it was accepted, and the reason."""

PROMOTABLE = (Phase.STEPPING, Phase.PAUSED, Phase.EJECTED, Phase.AWAITING_APPROVAL)
"""The phases in which a person may promote the candidate."""


def apply_command(state: RolloutState, command: Command, *, now: float) -> Transition:
    """Apply a command or refuse it; the reply is a record in both cases."""
    after, accepted, reason = _decide(state, command, now)
    result = after.rollout.rollout_id if after.rollout is not None else ""
    reply = command_reply(
        command.record_id,
        model=command.model,
        accepted=accepted,
        reason=reason,
        now=now,
        result_id=result,
    )
    return Transition(state=after, records=(reply,))


def _decide(state: RolloutState, command: Command, now: float) -> Outcome:
    rollout = state.rollout
    if command.action == "rollback":
        return _rollback(state, command, now)
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
    return _HANDLERS[command.action](state, rollout, command, now)


def _names_other_version(command: Command, version: int) -> bool:
    """Whether the command names a version and it is not this one."""
    return command.version not in (0, version)


def _approve(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    refusal = _approval_refusal(rollout, command)
    if refusal:
        return state, False, refusal
    reason = f"{command.who} approved: {command.reason}"
    phase = Phase.STEPPING if rollout.approval == "before-canary" else Phase.PROMOTING
    after = add_cause(enter_phase(rollout, phase, reason, now), command.record_id)
    return replace(state, rollout=after), True, reason


def _reject(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    refusal = _approval_refusal(rollout, command)
    if refusal:
        return state, False, refusal
    reason = f"{command.who} rejected: {command.reason}"
    return replace(state, rollout=roll_back(rollout, reason, now)), True, reason


def _approval_refusal(rollout: Rollout, command: Command) -> str:
    """Why an approval or rejection is refused; empty if it is not."""
    if rollout.phase is not Phase.AWAITING_APPROVAL:
        return f"Conflict: no approval is awaited; the rollout is {rollout.phase}."
    if not command.digest:
        return "Conflict: approve or reject needs the digest of the artifact it is about."
    return ""


def _pause(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    if rollout.phase is not Phase.STEPPING:
        return state, False, f"Conflict: only steps can be paused; the rollout is {rollout.phase}."
    reason = f"{command.who} paused: {command.reason}"
    return replace(state, rollout=switch_phase(rollout, Phase.PAUSED, reason, now)), True, reason


def _resume(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    if rollout.phase is not Phase.PAUSED:
        return state, False, f"Conflict: the rollout is not paused; it is {rollout.phase}."
    reason = f"{command.who} resumed: {command.reason}"
    return replace(state, rollout=switch_phase(rollout, Phase.STEPPING, reason, now)), True, reason


def _promote(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    if rollout.phase not in PROMOTABLE:
        return state, False, f"Conflict: the rollout is {rollout.phase}; it cannot be promoted now."
    reason = f"{command.who} promoted it without waiting for the gates: {command.reason}"
    after = add_cause(enter_phase(rollout, Phase.PROMOTING, reason, now), command.record_id)
    return replace(state, rollout=after), True, reason


def _abort(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    if rollout.phase in (Phase.BAKING, Phase.ROLLING_BACK):
        return (
            state,
            False,
            f"Conflict: the rollout is {rollout.phase}; use rollback to return to the previous "
            "version.",
        )
    reason = f"{command.who} aborted: {command.reason}"
    return replace(state, rollout=roll_back(rollout, reason, now)), True, reason


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
        return replace(state, rollout=roll_back(rollout, reason, now)), True, reason
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
        published=True,
        caused_by=(live.record_id, command.record_id),
    )
    return replace(state, rollout=back), True, reason


_HANDLERS: dict[str, Callable[[RolloutState, Rollout, Command, float], Outcome]] = {
    "approve": _approve,
    "reject": _reject,
    "pause": _pause,
    "resume": _resume,
    "promote": _promote,
    "abort": _abort,
}

ACTIONS = frozenset(_HANDLERS) | {"rollback"}
"""The commands about rollouts; all others are ignored here."""
