"""A person cancels the retrain in flight, be it queued or running. Pure.

The trigger writes the outcome itself, a failure record with the outcome ``cancelled``. A worker
that serves the request sees it within seconds, ends what runs and publishes nothing; one that has
not begun never does. It is no failure, so it doubles no back-off. The cool-down begins: otherwise
the cause that is still there would start the next retrain at once.
"""

from __future__ import annotations

from msgspec.structs import replace

from retrain.failures import failure_record
from retrain.state import Running, TriggerState
from retrain.trigger import Transition, TriggerContext, reply
from streaming.contracts.records import Command, RetrainFailure
from streaming.contracts.replies import out_of_date


def cancel(state: TriggerState, command: Command, context: TriggerContext) -> Transition:
    """End the retrain in flight, or say why there is nothing to end."""
    running = state.running
    refusal = out_of_date(command, context.now) or _refusal(running, command, state.model)
    if running is None or refusal:
        refused = reply(state, context, replies_to=command.record_id, reason=refusal)
        return Transition(state, (refused,))
    failure = _cancelled(running, command, context)
    wait = context.rules.cooldown_seconds
    accepted = reply(
        state,
        context,
        replies_to=command.record_id,
        accepted=True,
        reason=f"Retrain {running.request_id} is cancelled"
        + (f" ({running.progress})" if running.progress else ", which no worker had begun")
        + f"; no other starts by itself for {wait:.0f} s.",
        result_id=running.request_id,
    )
    state = replace(state, running=None, last_ended_at=context.now)
    return Transition(state, (failure, accepted))


def _refusal(running: Running | None, command: Command, model: str) -> str:
    if running is None:
        return f"No retrain of {model} is queued or running."
    if command.subject not in ("", running.request_id):
        return f"Conflict: retrain {running.request_id} is in flight, not {command.subject}."
    return ""


def _cancelled(running: Running, command: Command, context: TriggerContext) -> RetrainFailure:
    because = f": {command.reason.rstrip('.')}" if command.reason else ""
    failure = failure_record(
        running.request_id,
        model=context.contract.model,
        component="Worker",
        reason=f"Cancelled by {command.who}{because}.",
        advice=f"`driftline retrain {context.contract.model}` requests another one.",
        attempt=1,
        at=context.now,
    )
    return replace(failure, outcome="cancelled", caused_by=(running.request_id, command.record_id))
