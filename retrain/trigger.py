"""A cause for a retrain, from the first question to the request.

`consider` finds the cause that there is and asks the policy; `advance` starts it or says once
why it waits; `command` answers a person. Pure but for the counting of labels through its port.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from retrain.policy import Decision, RetrainRules, decide
from retrain.ports import LabelProgress
from retrain.selection import Selection, rows_after, select
from retrain.state import (
    MAX_STARTS,
    Running,
    Shift,
    TriggerState,
    confirmed,
    situation,
)
from streaming.contracts.ids import record_id
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Cause, Command, CommandReply, Record, RetrainRequest


@dataclass(frozen=True, slots=True)
class Step:
    """The next state, and what to publish before it is stored."""

    state: TriggerState
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A cause for a retrain, and what the policy says to it now."""

    cause: Cause
    caused_by: tuple[str, ...]
    to: str
    """What an answer refers to: the record's id, or the cause where there is no record."""
    key: tuple[object, ...]
    why: str
    decision: Decision
    selection: Selection


def consider(
    state: TriggerState, *, rules: RetrainRules, labels: LabelProgress, now: float
) -> Candidate | None:
    """What the trigger waits for or would start; None when there is no cause."""
    shift = confirmed(state, rules)
    if state.live == 0:
        if not rules.initial or not state.windows:
            return None
        return _candidate(state, "initial", (), "Nothing is live yet.", None, rules, labels, now)
    if shift is not None:
        key = (shift.reference_id, shift.start)
        return _candidate(state, "drift", key, shift.reason, shift, rules, labels, now)
    if state.concept is not None:
        concept = state.concept
        key = (concept.verdicts[0], concept.start)
        return _candidate(state, "concept", key, concept.reason, concept, rules, labels, now)
    due = max((state.promoted_at, state.rested_at, *state.starts)) + rules.schedule_seconds
    if rules.schedule_seconds > 0 and now >= due:
        why = f"{rules.schedule_seconds:.0f} s have passed since the last retrain or promotion."
        return _candidate(state, "schedule", (due,), why, None, rules, labels, now)
    return None


def _candidate(
    state: TriggerState,
    cause: Cause,
    key: tuple[object, ...],
    why: str,
    shift: Shift | None,
    rules: RetrainRules,
    labels: LabelProgress,
    now: float,
) -> Candidate:
    selection = select(state.windows, rules, shift_start=shift.start if shift else None)
    return Candidate(
        cause=cause,
        caused_by=shift.verdicts if shift else (),
        to=shift.verdicts[-1] if shift else cause,
        key=key,
        why=why,
        decision=_decide(state, cause, selection, shift, rules, labels, now),
        selection=selection,
    )


def advance(
    state: TriggerState,
    rules: RetrainRules,
    contract: ModelContract,
    labels: LabelProgress,
    now: float,
) -> Step:
    """Start what may start; say once why something waits."""
    candidate = consider(state, rules=rules, labels=labels, now=now)
    if candidate is None:
        return Step(state)
    decision = candidate.decision
    if decision.outcome == "start":
        state, request = _start(state, candidate, rules, contract, labels, now)
        return Step(state, (request,))
    unasked = candidate.cause not in ("drift", "concept")
    if unasked and decision.code in ("in-flight", "rollout", "no-data"):
        return Step(state)  # the ordinary course of things, not worth a word
    code = f"{candidate.cause}:{decision.code}:{decision.result_id}"
    waiting = "" if decision.outcome == "merged" else "Waiting: "
    reason = f"{waiting}{decision.reason}"
    return Step(*say(state, candidate.to, code, reason, now, decision.result_id))


def command(
    state: TriggerState,
    asked: Command,
    rules: RetrainRules,
    contract: ModelContract,
    labels: LabelProgress,
    now: float,
) -> Step:
    """A person's request: it starts at once, or is merged or refused with the reason."""
    between = (asked.window_start, asked.window_end)
    shift = confirmed(state, rules) or state.concept
    if shift is not None and (
        between != (None, None) or rows_after(state.windows, shift.start) < rules.min_labelled_rows
    ):
        shift = None  # other windows are wanted, or too little has come since the shift
    selection = select(
        state.windows, rules, shift_start=shift.start if shift else None, between=between
    )
    decision = _decide(state, "manual", selection, shift, rules, labels, now)
    to = asked.record_id
    if decision.outcome != "start":
        return Step(state, (answer(state, to, "", decision.reason, now, decision.result_id),))
    candidate = Candidate(
        cause="manual",
        caused_by=(to, *(shift.verdicts if shift else ())),
        to=to,
        key=(to,),
        why=f"{asked.who} asked: {asked.reason.rstrip('.')}.",
        decision=decision,
        selection=selection,
    )
    state, request = _start(state, candidate, rules, contract, labels, now)
    reply = answer(state, to, "", decision.reason, now, request.record_id, accepted=True)
    return Step(state, (request, reply))


def _decide(
    state: TriggerState,
    cause: Cause,
    selection: Selection,
    shift: Shift | None,
    rules: RetrainRules,
    labels: LabelProgress,
    now: float,
) -> Decision:
    """The policy's answer; labels are counted only when nothing else stands in the way."""
    rows = rows_after(state.windows, shift.start) if shift else selection.rows
    first = decide(cause, situation(state, rows=rows, labels=0), rules, now=now)
    if first.code != "labels":
        return first
    since = shift.start + rules.label_delay_seconds if shift else selection.oldest
    counted = situation(state, rows=rows, labels=labels.since(since))
    return decide(cause, counted, rules, now=now)


def _start(
    state: TriggerState,
    candidate: Candidate,
    rules: RetrainRules,
    contract: ModelContract,
    labels: LabelProgress,
    now: float,
) -> tuple[TriggerState, RetrainRequest]:
    cause, selection = candidate.cause, candidate.selection
    request = RetrainRequest(
        record_id=record_id(
            "retrain-request", state.model, cause, *candidate.key, state.live, state.requests
        ),
        model=state.model,
        at=now,
        caused_by=candidate.caused_by,
        cause=cause,
        reason=f"{candidate.why} {candidate.decision.reason}",
        events=selection.events,
        after_shift=selection.after_shift,
        labels=labels.spans(selection.oldest - contract.future_seconds),
        window_start=selection.window_start,
        window_end=selection.window_end,
        base_version=state.live,
        deadline=now + rules.deadline_seconds,
    )
    recent = [start for start in state.starts if now - start < rules.budget_seconds]
    running = Running(
        request_id=request.record_id, cause=cause, since=now, deadline=request.deadline
    )
    state = replace(
        state,
        running=running,
        starts=(*recent, now)[-MAX_STARTS:],
        requests=state.requests + 1,
        said=(),
    )
    return state, request


def say(
    state: TriggerState, to: str, code: str, reason: str, now: float, result_id: str = ""
) -> tuple[TriggerState, tuple[Record, ...]]:
    """An answer, unless this one has been given since the trigger began."""
    if code in state.said:
        return state, ()
    state = replace(state, said=(*state.said, code)[-32:])
    return state, (answer(state, to, code, reason, now, result_id),)


def answer(
    state: TriggerState,
    to: str,
    code: str,
    reason: str,
    now: float,
    result_id: str = "",
    *,
    accepted: bool = False,
) -> CommandReply:
    return CommandReply(
        record_id=record_id("answer", state.model, to, code),
        model=state.model,
        at=now,
        caused_by=(to,),
        to=to,
        accepted=accepted,
        reason=reason,
        result_id=result_id,
    )
