"""The trigger of one model: a record in, records out.

`handle` takes one record, `tick` the passing of time; both return the next state and the records
to publish. Publish first, then store the state: after a crash between the two the same transition
is computed again with the same ids, and every reader drops the duplicates. A record that arrives
twice gives an unchanged state and no records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from retrain.cancel import cancel
from retrain.row_wait import end_wait_for_rows, wait_for_more_rows
from retrain.state import (
    TriggerState,
    apply_promotion,
    apply_version,
    broken_data_reason,
    count_failure,
    end_rollout,
    mark_seen,
    record_window,
    update_concept_shift,
    update_shift,
)
from retrain.trigger import (
    Transition,
    TriggerContext,
    advance,
    announce,
    find_candidate,
    on_command,
    reply,
)
from streaming.contracts.records import (
    AnyRecord,
    Command,
    DriftVerdict,
    ModelVersion,
    Promotion,
    QualityVerdict,
    Record,
    RetrainFailure,
    RetrainProgress,
    RolloutStatus,
)

__all__ = ["Transition", "TriggerContext", "TriggerState", "find_candidate", "handle", "tick"]

IDLE_PHASE = "idle"
"""`RolloutStatus.phase` when no rollout is under way."""


def handle(state: TriggerState, record: AnyRecord, context: TriggerContext) -> Transition:
    """The transition for one record.

    Parameters
    ----------
    state:
        The state of the last transition, or ``TriggerState(model=...)``.
    record:
        Any record. Those of another model, and kinds that the trigger does not use, change
        nothing.
    context:
        The model's rules and contract, its label counter and the time.
    """
    handler = _HANDLERS.get(type(record))
    if handler is None or record.model != state.model:
        return Transition(state)
    transition = handler.apply(state, record, context)
    if handler.advances and transition.state is not state:
        return _then_advance(transition, context)
    return transition


def tick(state: TriggerState, context: TriggerContext) -> Transition:
    """The transition for the passing of time.

    It gives up lost workers and waits for rows that do not come, and starts what has waited: a
    shift, the schedule, the first version.
    """
    running, now = state.running, context.now
    records: tuple[Record, ...] = ()
    if running is not None and now > running.deadline:
        state = count_failure(replace(state, running=None), now)
        progress = f" ({running.progress})" if running.progress else ""
        reason = (
            f"No outcome within {running.deadline - running.since:.0f} s; "
            f"the worker is lost{progress}."
        )
        records = (
            reply(state, context, replies_to=running.request_id, code="lost", reason=reason),
        )
    if (ended := end_wait_for_rows(state, now)) is not None:
        records = (*records, *_wait_ended(state, ended, context))
        state = ended
    return _then_advance(Transition(state, records), context)


def _wait_ended(
    before: TriggerState, after: TriggerState, context: TriggerContext
) -> tuple[Record, ...]:
    """Says that the rows did not come; nothing where the shift that needed them is over."""
    wait = before.wait_for_rows
    if wait is None or after.failures == before.failures:
        return ()
    reason = (
        f"The {wait.rows} labelled rows that the last evaluation asked for did not arrive within "
        f"{context.rules.more_rows_seconds:.0f} s; this counts as a failure."
    )
    return (reply(after, context, replies_to=wait.request_id, code="rows-late", reason=reason),)


def _then_advance(transition: Transition, context: TriggerContext) -> Transition:
    following = advance(transition.state, context)
    return Transition(following.state, (*transition.records, *following.records))


def _on_drift_verdict(
    state: TriggerState, verdict: DriftVerdict, context: TriggerContext
) -> Transition:
    marked = mark_seen(state, verdict.record_id)
    if marked is None or verdict.window_end <= state.condensed_until:
        return Transition(state)
    state = record_window(marked, verdict, context.rules)
    if problem := broken_data_reason(verdict, context.rules):
        advice = f"{problem} The window is left out; no retrain starts because of it."
        return _announce_if_drifted(state, verdict, context, code="broken", reason=advice)
    if verdict.reference_version != state.live:
        outdated = (
            f"Judged against the reference of version {verdict.reference_version}, while version "
            f"{state.live} is live: the verdict does not count."
        )
        return _announce_if_drifted(state, verdict, context, code="old-reference", reason=outdated)
    before, state = state.shift, update_shift(state, verdict, context.rules)
    if before is None or state.shift is not None:
        return Transition(state)
    state = replace(state, announced=())
    if not before.drifted:
        return Transition(state)
    over = (
        f"{context.rules.recovery_windows} stable windows in a row: the shift is over, no retrain."
    )
    last_alarm = before.verdicts[-1]
    record = reply(state, context, replies_to=last_alarm, code="shift-over", reason=over)
    return Transition(state, (record,))


def _announce_if_drifted(
    state: TriggerState, verdict: DriftVerdict, context: TriggerContext, *, code: str, reason: str
) -> Transition:
    if verdict.outcome != "drifted":
        return Transition(state)
    return announce(state, context, replies_to=verdict.record_id, code=code, reason=reason)


def _on_quality_verdict(
    state: TriggerState, verdict: QualityVerdict, context: TriggerContext
) -> Transition:
    before, state = state.concept, update_concept_shift(state, verdict, context.rules)
    if before is None or state.concept is not None:
        return Transition(state)
    state = replace(state, announced=())
    over = (
        f"{context.rules.recovery_windows} stable quality verdicts in a row: quality is back, "
        "no retrain."
    )
    last_alarm = before.verdicts[-1]
    record = reply(state, context, replies_to=last_alarm, code="quality-back", reason=over)
    return Transition(state, (record,))


def _on_command(state: TriggerState, command: Command, context: TriggerContext) -> Transition:
    if command.action not in ("retrain", "cancel-retrain"):
        return Transition(state)
    marked = mark_seen(state, command.record_id)
    if marked is None:
        return Transition(state)
    apply = on_command if command.action == "retrain" else cancel
    return apply(marked, command, context)


def _on_version(state: TriggerState, version: ModelVersion, context: TriggerContext) -> Transition:
    return Transition(apply_version(state, version, context.now))


def _on_failure(
    state: TriggerState, failure: RetrainFailure, context: TriggerContext
) -> Transition:
    if state.running is None or state.running.request_id != failure.request_id:
        return Transition(state)
    if failure.outcome != "insufficient":
        return Transition(count_failure(replace(state, running=None), context.now))
    state, refused = wait_for_more_rows(state, failure, context.rules, context.now)
    if not refused:
        return Transition(state)
    record = reply(
        state, context, replies_to=failure.request_id, code="too-many-rows", reason=refused
    )
    return Transition(state, (record,))


def _on_progress(
    state: TriggerState, progress: RetrainProgress, context: TriggerContext
) -> Transition:
    if state.running is None or state.running.request_id != progress.request_id:
        return Transition(state)
    text = (
        f"{progress.component} {progress.state}, step {progress.step} of {progress.steps}, "
        f"attempt {progress.attempt} on {progress.worker}"
    )
    return Transition(replace(state, running=replace(state.running, progress=text)))


def _on_promotion(state: TriggerState, promotion: Promotion, context: TriggerContext) -> Transition:
    marked = mark_seen(state, promotion.record_id)
    if marked is None:
        return Transition(state)
    return Transition(apply_promotion(marked, promotion, context.now))


def _on_rollout(state: TriggerState, status: RolloutStatus, context: TriggerContext) -> Transition:
    now = context.now
    if status.phase == IDLE_PHASE:
        # An idle status names the live version, not the abandoned one; an old copy ends nothing.
        current = state.rollout_started and status.at >= state.rollout_seen_at
        ended = max(status.version, state.rollout if current else 0)
        return Transition(end_rollout(state, ended, now))
    if status.version <= max(state.last_finished_rollout, state.live):
        return Transition(state)
    state = replace(state, rollout=status.version, rollout_seen_at=now, rollout_started=True)
    return Transition(state)


@dataclass(frozen=True, slots=True)
class _Handler:
    """What a kind of record does to the state, and whether it may start a retrain at once."""

    apply: Callable[[TriggerState, Any, TriggerContext], Transition]
    advances: bool = False


_HANDLERS: Mapping[type[Record], _Handler] = {
    DriftVerdict: _Handler(_on_drift_verdict, advances=True),
    QualityVerdict: _Handler(_on_quality_verdict, advances=True),
    Command: _Handler(_on_command),
    ModelVersion: _Handler(_on_version),
    RetrainFailure: _Handler(_on_failure),
    RetrainProgress: _Handler(_on_progress),
    Promotion: _Handler(_on_promotion),
    RolloutStatus: _Handler(_on_rollout),
}
"""Kinds of record that the trigger uses; every other kind leaves the state unchanged."""
