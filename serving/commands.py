"""What a person may ask of a rollout, and when it is refused.

Approvals are bound to the digest of the artifact that was looked at: when that has changed, the
approval is stale. The reason of such a refusal begins with ``Conflict:``.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from serving.report import answer
from serving.rollout import enter, go_back, hold
from serving.state import Phase, Rollout, RolloutState, Step
from streaming.contracts.ids import record_id
from streaming.contracts.records import Command

Outcome = tuple[RolloutState, bool, str]
"""State after the command, accepted?, reason."""

MEETS_CLIENTS = ("stepping", "paused", "guarded", "awaiting-approval")


def obey(state: RolloutState, command: Command, *, now: float) -> Step:
    """Do what was asked, or say why not; the answer is a record either way."""
    after, accepted, reason = _decide(state, command, now)
    result = after.rollout.rollout_id if after.rollout is not None else ""
    said = answer(command, accepted=accepted, reason=reason, now=now, result=result)
    return Step(state=after, records=(said,))


def _decide(state: RolloutState, command: Command, now: float) -> Outcome:
    rollout = state.rollout
    if command.action == "rollback":
        return _rollback(state, command, now)
    if rollout is None:
        return state, False, f"Nothing is being rolled out; there is nothing to {command.action}."
    if command.version not in (0, rollout.candidate.version):
        return (
            state,
            False,
            f"Conflict: version {rollout.candidate.version} is being rolled out, not "
            f"{command.version}.",
        )
    if command.digest and command.digest != rollout.candidate.artifact.digest:
        return state, False, "Conflict: the artifact has changed since it was looked at."
    return _HANDLERS[command.action](state, rollout, command, now)


def _approve(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    refusal = _not_asked(rollout, command)
    if refusal:
        return state, False, refusal
    reason = f"{command.who} approved: {command.reason}"
    phase: Phase = "stepping" if rollout.approval == "before-canary" else "promoting"
    after = enter(rollout, phase, reason, now)
    after = replace(after, caused_by=(*rollout.caused_by[:8], command.record_id))
    return replace(state, rollout=after), True, reason


def _reject(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    refusal = _not_asked(rollout, command)
    if refusal:
        return state, False, refusal
    reason = f"{command.who} rejected: {command.reason}"
    return replace(state, rollout=go_back(rollout, reason, now)), True, reason


def _not_asked(rollout: Rollout, command: Command) -> str:
    if rollout.phase != "awaiting-approval":
        return f"Conflict: no approval is asked for; the rollout is {rollout.phase}."
    if not command.digest:
        return "Conflict: approve or reject needs the digest of the artifact it is about."
    return ""


def _pause(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    if rollout.phase != "stepping":
        return state, False, f"Conflict: only steps can be paused; the rollout is {rollout.phase}."
    reason = f"{command.who} paused: {command.reason}"
    return replace(state, rollout=hold(rollout, "paused", reason, now)), True, reason


def _resume(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    if rollout.phase != "paused":
        return state, False, f"Conflict: the rollout is not paused; it is {rollout.phase}."
    reason = f"{command.who} resumed: {command.reason}"
    return replace(state, rollout=hold(rollout, "stepping", reason, now)), True, reason


def _promote(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    if rollout.phase not in MEETS_CLIENTS:
        return state, False, f"Conflict: the rollout is {rollout.phase}; it cannot be promoted now."
    reason = f"{command.who} promoted it without waiting for the gates: {command.reason}"
    after = enter(rollout, "promoting", reason, now)
    after = replace(after, caused_by=(*rollout.caused_by[:8], command.record_id))
    return replace(state, rollout=after), True, reason


def _abort(state: RolloutState, rollout: Rollout, command: Command, now: float) -> Outcome:
    if rollout.phase in ("baking", "rolling-back"):
        return (
            state,
            False,
            f"Conflict: the rollout is {rollout.phase}; use rollback to go back to the version "
            "before.",
        )
    reason = f"{command.who} aborted: {command.reason}"
    return replace(state, rollout=go_back(rollout, reason, now)), True, reason


def _rollback(state: RolloutState, command: Command, now: float) -> Outcome:
    """Mid-rollout the same as abort; afterwards back to the version before."""
    reason = f"{command.who} rolled back: {command.reason}"
    rollout = state.rollout
    if rollout is not None:
        if command.version not in (0, rollout.candidate.version):
            return state, False, f"Conflict: version {rollout.candidate.version} is on its way."
        if rollout.phase == "rolling-back":
            return state, False, "Conflict: it is being rolled back already."
        return replace(state, rollout=go_back(rollout, reason, now)), True, reason
    live, previous, candidate = state.live, state.previous, state.live_candidate
    if live is None or previous is None or candidate is None:
        return state, False, "There is no version to go back to."
    if command.version not in (0, live.version):
        return state, False, f"Conflict: version {live.version} is live, not {command.version}."
    back = Rollout(
        rollout_id=record_id("rollback", state.model, live.record_id),
        candidate=candidate,
        champion=previous.version,
        phase="rolling-back",
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
"""The commands that are about rollouts; the others belong to somebody else."""
