"""Record in, records out: the trigger of one model.

`handle` takes one record, `tick` the passing of time; both give the next state and the records
to publish. Publish first, then store the state: after a crash between the two the same step is
made again and gives the same ids, which everybody drops. A record that comes twice gives an
unchanged state and no records.
"""

from __future__ import annotations

from msgspec.structs import replace

from retrain.policy import RetrainRules
from retrain.ports import LabelProgress
from retrain.state import (
    TriggerState,
    broken,
    end_rollout,
    failed,
    follow_quality,
    follow_shift,
    note_window,
    see,
    take_promotion,
    take_version,
)
from retrain.trigger import Step, advance, answer, command, consider, say
from streaming.contracts.model import ModelContract
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

__all__ = ["HANDLED", "Step", "TriggerState", "consider", "handle", "tick"]

HANDLED = (
    DriftVerdict,
    QualityVerdict,
    Command,
    ModelVersion,
    RetrainFailure,
    RetrainProgress,
    Promotion,
    RolloutStatus,
)
"""The kinds of record that `handle` looks at; every other leaves the state as it is."""

ROLLOUT_OVER = "idle"
"""`RolloutStatus.phase` when no rollout is under way."""


def handle(
    state: TriggerState,
    record: AnyRecord,
    *,
    rules: RetrainRules,
    contract: ModelContract,
    labels: LabelProgress,
    now: float,
) -> Step:
    """One record of this model.

    Parameters
    ----------
    state:
        What the model's last step gave, or ``TriggerState(model=...)``.
    record:
        Any record; those of another model or not in `HANDLED` change nothing.
    rules, contract:
        The model's settings.
    labels:
        Asked only when everything else is in favour of a retrain.
    now:
        Seconds since 1970.
    """
    if record.model != state.model:
        return Step(state)
    if isinstance(record, DriftVerdict):
        return _verdict(state, record, rules, contract, labels, now)
    if isinstance(record, QualityVerdict):
        return _quality(state, record, rules, contract, labels, now)
    if isinstance(record, Command) and record.action == "retrain":
        known = see(state, record.record_id)
        if known is None:
            return Step(state)
        return command(known, record, rules, contract, labels, now)
    if isinstance(record, ModelVersion):
        return Step(take_version(state, record, now))
    if isinstance(record, RetrainFailure):
        return Step(_failure(state, record, now))
    if isinstance(record, RetrainProgress):
        return Step(_progress(state, record))
    if isinstance(record, Promotion):
        known = see(state, record.record_id)
        return Step(state if known is None else take_promotion(known, record, now))
    if isinstance(record, RolloutStatus):
        return Step(_rollout(state, record, now))
    return Step(state)


def tick(
    state: TriggerState,
    *,
    rules: RetrainRules,
    contract: ModelContract,
    labels: LabelProgress,
    now: float,
) -> Step:
    """Time has passed: lost workers, waiting triggers, the schedule, the first version."""
    running = state.running
    records: tuple[Record, ...] = ()
    if running is not None and now > running.deadline:
        state = failed(replace(state, running=None), now)
        late = f"No outcome within {running.deadline - running.since:.0f} s; the worker is lost"
        where = f" ({running.where})" if running.where else ""
        records = (answer(state, running.request_id, "lost", f"{late}{where}.", now),)
    step = advance(state, rules, contract, labels, now)
    return Step(step.state, (*records, *step.records))


def _verdict(
    state: TriggerState,
    verdict: DriftVerdict,
    rules: RetrainRules,
    contract: ModelContract,
    labels: LabelProgress,
    now: float,
) -> Step:
    known = see(state, verdict.record_id)
    if known is None or verdict.window_end <= state.settled_until:
        return Step(state)
    state = note_window(known, verdict, rules)
    drifted = verdict.outcome == "drifted"
    records: tuple[Record, ...] = ()
    if problem := broken(verdict, rules):
        if drifted:
            advice = f"{problem} A broken producer is mended, not learnt: no retrain."
            state, records = say(state, verdict.record_id, "broken", advice, now)
    elif verdict.reference_version != state.live:
        if drifted:
            old = (
                f"Judged against the reference of version {verdict.reference_version}, while "
                f"version {state.live} is live: it does not count."
            )
            state, records = say(state, verdict.record_id, "old-reference", old, now)
    else:
        before, state = state.shift, follow_shift(state, verdict, rules)
        if before is not None and state.shift is None:
            over = f"{rules.forget_windows} stable windows in a row: the shift is over, no retrain."
            if before.drifted:
                records = (answer(state, before.verdicts[-1], "shift-over", over, now),)
            state = replace(state, said=())
    step = advance(state, rules, contract, labels, now)
    return Step(step.state, (*records, *step.records))


def _quality(
    state: TriggerState,
    verdict: QualityVerdict,
    rules: RetrainRules,
    contract: ModelContract,
    labels: LabelProgress,
    now: float,
) -> Step:
    before, after = state.concept, follow_quality(state, verdict, rules)
    if after is state:
        return Step(state)
    state = after
    records: tuple[Record, ...] = ()
    if before is not None and state.concept is None:
        over = f"{rules.forget_windows} stable looks in a row: quality is back, no retrain."
        records = (answer(state, before.verdicts[-1], "quality-back", over, now),)
        state = replace(state, said=())
    step = advance(state, rules, contract, labels, now)
    return Step(step.state, (*records, *step.records))


def _failure(state: TriggerState, failure: RetrainFailure, now: float) -> TriggerState:
    if state.running is None or state.running.request_id != failure.request_id:
        return state
    return failed(replace(state, running=None), now)


def _progress(state: TriggerState, progress: RetrainProgress) -> TriggerState:
    if state.running is None or state.running.request_id != progress.request_id:
        return state
    where = (
        f"{progress.component} {progress.state}, step {progress.step} of {progress.steps}, "
        f"attempt {progress.attempt} on {progress.worker}"
    )
    return replace(state, running=replace(state.running, where=where))


def _rollout(state: TriggerState, status: RolloutStatus, now: float) -> TriggerState:
    if status.phase == ROLLOUT_OVER:
        # It names what is live, not what was given up; an old copy ends nothing.
        ours = state.rollout if state.rollout_begun and status.at >= state.rollout_heard else 0
        return end_rollout(state, max(status.version, ours), now)
    if status.version <= max(state.rollouts_over, state.live):
        return state
    return replace(state, rollout=status.version, rollout_heard=now, rollout_begun=True)
