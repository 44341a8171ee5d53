"""From a cause to a retrain request: find the cause, ask the policy, start or announce.

`find_candidate` finds the cause, `advance` starts its retrain or announces once why it waits,
`on_command` replies to a person. Pure except that labels are counted through their port.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from retrain.policy import Decision, RetrainRules, decide
from retrain.ports import LabelCounter
from retrain.schedule import next_due
from retrain.selection import Selection, rows_after, select
from retrain.state import (
    MAX_ANNOUNCED,
    MAX_STARTS,
    Running,
    Shift,
    TriggerState,
    broken_data,
    confirmed_shift,
    policy_input,
)
from streaming.contracts.ids import record_id
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Cause, Command, CommandReply, Record, RetrainRequest
from streaming.contracts.replies import command_reply, out_of_date


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerContext:
    """What a transition depends on besides the state and the record."""

    rules: RetrainRules
    """The model's retrain rules."""
    contract: ModelContract
    """The model's contract."""
    labels: LabelCounter
    """Counts labels; called only when nothing else prevents a retrain."""
    now: float
    """Current time, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The next state, and the records to publish before it is stored."""

    state: TriggerState
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A cause for a retrain, and the policy's decision on it."""

    cause: Cause
    caused_by: tuple[str, ...]
    """record_ids of the verdicts or the command behind the cause."""
    replies_to: str
    """What an announcement refers to: the latest of those records, or the cause if there is
    none."""
    key: tuple[object, ...]
    """What makes the request's id unique among those of the same cause."""
    reason: str
    """Why there is a cause, in one sentence."""
    decision: Decision
    selection: Selection
    shift_start: float | None = None
    """Start of the shift that it is for, seconds since 1970; None when it is for none."""
    proposed_by: str = ""
    """Name of the person who asked for it; empty when no person did."""


def find_candidate(state: TriggerState, context: TriggerContext) -> Candidate | None:
    """The retrain that the trigger would start or waits to start; None without a cause.

    The causes in order: the first version, a shift of the inputs, concept drift, the schedule.
    """
    rules = context.rules
    shift = confirmed_shift(state, rules)
    if state.live == 0:
        if not rules.initial or not state.windows:
            return None
        return _candidate(state, context, "initial", key=(), reason="Nothing is live yet.")
    if shift is not None:
        key = (shift.reference_id, shift.start)
        return _candidate(state, context, "drift", key=key, reason=shift.reason, shift=shift)
    concept = state.concept
    if concept is not None:
        key = (concept.verdicts[0], concept.start)
        return _candidate(state, context, "concept", key=key, reason=concept.reason, shift=concept)
    since = max((state.promoted_at, state.last_ended_at, *state.starts))
    due = next_due(
        since,
        period=rules.schedule_seconds,
        cron=rules.schedule_cron,
        zone=rules.schedule_zone,
    )
    if due is None or context.now < due:
        return None
    reason = (
        f"The schedule {rules.schedule_cron} ({rules.schedule_zone}) was due "
        f"{context.now - due:.0f} s ago."
        if rules.schedule_cron
        else f"{rules.schedule_seconds:.0f} s have passed since the last retrain or promotion."
    )
    return _candidate(state, context, "schedule", key=(due,), reason=reason)


def _candidate(
    state: TriggerState,
    context: TriggerContext,
    cause: Cause,
    *,
    key: tuple[object, ...],
    reason: str,
    shift: Shift | None = None,
) -> Candidate:
    selection = select(state.windows, context.rules, shift_start=shift.start if shift else None)
    return Candidate(
        cause=cause,
        caused_by=shift.verdicts if shift else (),
        replies_to=shift.verdicts[-1] if shift else cause,
        key=key,
        reason=reason,
        decision=_decide(state, context, cause, selection=selection, shift=shift),
        selection=selection,
        shift_start=shift.start if shift else None,
    )


def advance(state: TriggerState, context: TriggerContext) -> Transition:
    """Start the retrain that may start; announce once why one waits."""
    candidate = find_candidate(state, context)
    if candidate is None:
        return Transition(state)
    decision = candidate.decision
    if decision.outcome == "start":
        state, request = _start(state, candidate, context)
        return Transition(state, (request,))
    routine = candidate.cause not in ("drift", "concept")
    if routine and decision.code in ("in-flight", "rollout", "no-data"):
        return Transition(state)  # the normal course of events, nothing to announce
    prefix = "" if decision.outcome == "merged" else "Waiting: "
    return announce(
        state,
        context,
        replies_to=candidate.replies_to,
        code=f"{candidate.cause}:{decision.code}:{decision.result_id}",
        reason=f"{prefix}{decision.reason}",
        result_id=decision.result_id,
    )


def on_command(state: TriggerState, command: Command, context: TriggerContext) -> Transition:
    """A person's request: start at once, or merge or refuse it with the reason."""
    if late := out_of_date(command, context.now):
        refused = reply(state, context, replies_to=command.record_id, reason=late)
        return Transition(state, (refused,))
    rules = context.rules
    window_range = (command.window_start, command.window_end)
    shift = confirmed_shift(state, rules) or state.concept
    if shift is not None and (
        window_range != (None, None)
        or rows_after(state.windows, shift.start) < rules.min_labelled_rows
    ):
        shift = None  # the person names windows, or there are too few rows after the shift
    selection = select(
        state.windows,
        rules,
        shift_start=shift.start if shift else None,
        window_range=window_range,
    )
    decision = _decide(state, context, "manual", selection=selection, shift=shift)
    command_id = command.record_id
    if decision.outcome != "start":
        refusal = reply(
            state,
            context,
            replies_to=command_id,
            reason=decision.reason,
            result_id=decision.result_id,
        )
        return Transition(state, (refusal,))
    candidate = Candidate(
        cause="manual",
        caused_by=(command_id, *(shift.verdicts if shift else ())),
        replies_to=command_id,
        key=(command_id,),
        reason=f"Requested by {command.who}: {command.reason.rstrip('.')}.",
        decision=decision,
        selection=selection,
        shift_start=shift.start if shift else None,
        proposed_by=command.who,
    )
    state, request = _start(state, candidate, context)
    acceptance = reply(
        state,
        context,
        replies_to=command_id,
        reason=decision.reason,
        result_id=request.record_id,
        accepted=True,
    )
    return Transition(state, (request, acceptance))


def _decide(
    state: TriggerState,
    context: TriggerContext,
    cause: Cause,
    *,
    selection: Selection,
    shift: Shift | None,
) -> Decision:
    """The policy's decision; labels are counted only when nothing else prevents a retrain."""
    rules, labels = context.rules, context.labels
    rows = rows_after(state.windows, shift.start) if shift else selection.rows
    broken = broken_data(state, selection, rules)
    facts = policy_input(state, shift, rows=rows, labels=0, broken=broken)
    without_labels = decide(cause, facts, rules, now=context.now)
    if without_labels.code != "labels":
        return without_labels
    since = shift.start + rules.label_delay_seconds if shift else selection.oldest
    facts = replace(facts, labels=labels.count_since(since))
    return decide(cause, facts, rules, now=context.now)


def _start(
    state: TriggerState, candidate: Candidate, context: TriggerContext
) -> tuple[TriggerState, RetrainRequest]:
    cause, selection = candidate.cause, candidate.selection
    rules, now = context.rules, context.now
    request = RetrainRequest(
        record_id=record_id(
            "retrain-request", state.model, cause, *candidate.key, state.live, state.requests
        ),
        model=state.model,
        at=now,
        caused_by=candidate.caused_by,
        cause=cause,
        reason=f"{candidate.reason} {candidate.decision.reason}",
        events=selection.events,
        after_shift=selection.after_shift,
        labels=context.labels.spans(selection.oldest - context.contract.future_seconds),
        window_start=selection.window_start,
        window_end=selection.window_end,
        base_version=state.live,
        deadline=now + rules.deadline_seconds,
        proposed_by=candidate.proposed_by,
        waited=cause == "manual"
        or (
            state.wait_for_rows is not None
            and state.wait_for_rows.shift_start == candidate.shift_start
        ),
    )
    recent = [start for start in state.starts if now - start < rules.budget_seconds]
    running = Running(
        request_id=request.record_id,
        cause=cause,
        since=now,
        deadline=request.deadline,
        shift_start=candidate.shift_start,
    )
    state = replace(
        state,
        running=running,
        starts=(*recent, now)[-MAX_STARTS:],
        requests=state.requests + 1,
        announced=(),
        wait_for_rows=None,
    )
    return state, request


def announce(
    state: TriggerState,
    context: TriggerContext,
    *,
    replies_to: str,
    code: str,
    reason: str,
    result_id: str = "",
) -> Transition:
    """A reply that is published once per `code` until the next request, promotion or recovery."""
    if code in state.announced:
        return Transition(state)
    state = replace(state, announced=(*state.announced, code)[-MAX_ANNOUNCED:])
    record = reply(
        state, context, replies_to=replies_to, code=code, reason=reason, result_id=result_id
    )
    return Transition(state, (record,))


def reply(
    state: TriggerState,
    context: TriggerContext,
    *,
    replies_to: str,
    reason: str,
    code: str = "",
    result_id: str = "",
    accepted: bool = False,
) -> CommandReply:
    """The record that reports to people what became of a command or a cause."""
    return command_reply(
        replies_to,
        model=state.model,
        accepted=accepted,
        reason=reason,
        now=context.now,
        result_id=result_id,
        code=code,
    )
