"""The trigger's state of one model, and the small steps that change it.

A `TriggerState` is one JSON value in a table of the daemon. It is bounded, it changes only
through the functions here and in `handlers`, and a record that arrives twice changes nothing.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from retrain.policy import PolicyInput, RetrainRules
from retrain.selection import RecordedWindow, Selection, condense
from streaming.contracts.records import (
    ALARMED,
    Cause,
    DriftVerdict,
    ModelVersion,
    Promotion,
    QualityVerdict,
)
from streaming.contracts.tolerance import Breach, breaches_of, judge

MAX_SEEN = 512
"""Number of record ids remembered. It exceeds the number of windows kept, so that a verdict whose
id has been dropped is recognised as old by `TriggerState.condensed_until`."""

MAX_STARTS = 128
"""Number of start times remembered."""

MAX_VERDICTS = 16
"""Number of verdict ids that a shift keeps: the first one and the latest."""

MAX_BREACHES = 20
"""Number of breaches of the schema remembered of a window."""

MAX_ANNOUNCED = 32
"""Number of announcement codes remembered."""


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """A run of alarmed windows: suspected and drifted ones, or degraded ones."""

    start: float
    """Event time from which rows count as new, seconds since 1970. For drifted inputs it is the
    end of the first alarmed window: that window mixes old and new data, so it is neither trained
    on as new nor part of the next reference."""
    last_alarm_end: float = 0.0
    """End of the latest alarmed window, seconds since 1970."""
    verdicts: tuple[str, ...] = ()
    """record_ids of its alarms: the first one, then the latest."""
    drifted: int = 0
    """Number of drifted (or degraded) windows so far."""
    stable: int = 0
    """Number of stable windows in a row since the last alarm."""
    reason: str = ""
    """Sentence of the first drifted (or degraded) verdict."""
    reference_id: str = ""
    """Reference that the first window was judged against."""

    @property
    def seconds(self) -> float:
        """How long the shift has lasted in event time."""
        return max(self.last_alarm_end - self.start, 0.0)


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The request in flight."""

    request_id: str
    """record_id of the request."""
    cause: Cause
    """Cause of the request."""
    since: float
    """Time of the request, seconds since 1970."""
    deadline: float
    """Time after which its worker counts as lost, seconds since 1970."""
    progress: str = ""
    """Latest progress in words; empty before a worker has reported."""
    shift_start: float | None = None
    """Start of the shift that it is for, seconds since 1970; None when it is for none."""


class WaitForRows(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation was insufficient: the next retrain waits for more labelled rows."""

    request_id: str
    """record_id of the request whose evaluation it was."""
    rows: int
    """Labelled rows that the next retrain needs; after a shift those after it."""
    reason: str
    """Why the evaluation was insufficient, in one sentence."""
    deadline: float
    """Time after which the wait ends and counts as a failure, seconds since 1970."""
    shift_start: float | None = None
    """Start of the shift whose rows are counted, seconds since 1970; None = all rows are."""
    probed: bool = False
    """Whether a learning curve asked for the rows. Such a wait ends with a retrain on what there
    is, and not with a failure."""


class TriggerState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the trigger remembers of one model."""

    model: str
    """Name of the model."""
    seen: tuple[str, ...] = ()
    """record_ids already handled, oldest first."""
    windows: tuple[RecordedWindow, ...] = ()
    """Judged windows with their offset ranges, oldest first."""
    condensed_until: float = 0.0
    """End of the newest window that is no longer kept on its own, seconds since 1970."""
    shift: Shift | None = None
    """Shift of the inputs; None when there is none."""
    concept: Shift | None = None
    """Concept drift: degraded quality while the inputs are stable. Its `drifted` and `stable`
    count quality verdicts."""
    quality_known_until: float = 0.0
    """End of the newest window whose quality is known, seconds since 1970; verdicts on older
    windows are replays."""
    running: Running | None = None
    """Request in flight; None when there is none."""
    live: int = 0
    """Version that is live; 0 = none."""
    promotion_id: str = ""
    """record_id of the promotion that made it live."""
    promoted_at: float = 0.0
    """Time of that promotion, seconds since 1970."""
    rollout: int = 0
    """Version that is being rolled out; 0 = none."""
    rollout_seen_at: float = 0.0
    """Time of the latest record of that rollout, seconds since 1970."""
    rollout_started: bool = False
    """Whether a status of the rollout itself has arrived, not only its version. Until then an
    idle status belongs to the rollout before."""
    last_finished_rollout: int = 0
    """Highest version whose rollout has ended. Late records of such a rollout start nothing."""
    wait_for_rows: WaitForRows | None = None
    """What the next retrain waits for after an insufficient evaluation; None = nothing."""
    starts: tuple[float, ...] = ()
    """Times of the latest requests, seconds since 1970."""
    failures: int = 0
    """Retrains without a promotion since the last promotion."""
    failed_at: float = 0.0
    """Time of the latest failure, seconds since 1970."""
    last_ended_at: float = 0.0
    """End of the last retrain or promotion, seconds since 1970; 0 = never."""
    requests: int = 0
    """Number of requests so far; it keeps their ids apart when a cause recurs."""
    announced: tuple[str, ...] = ()
    """Codes of what has been announced about the waiting trigger, so that each is announced
    once."""


def mark_seen(state: TriggerState, record_id: str) -> TriggerState | None:
    """The state with the record marked as seen; None when it was seen before."""
    if record_id in state.seen:
        return None
    return replace(state, seen=(*state.seen, record_id)[-MAX_SEEN:])


def broken_data_reason(verdict: DriftVerdict, rules: RetrainRules) -> str:
    """Why a window is left out as broken data, in one sentence; empty when it is not."""
    judgement = judge([_breaches(verdict)], rules.tolerance)
    if judgement.effect in ("left-out", "broken"):
        return f"The window breaks the schema: {judgement.reason}."
    lost = verdict.dead_letters + verdict.late
    total = verdict.accepted + lost
    if lost > rules.max_dead_letter_ratio * total:
        late = f" ({verdict.late} of them late)" if verdict.late else ""
        return (
            f"{lost} of {total} events of the window are dead letters{late}, more than "
            f"{rules.max_dead_letter_ratio:.0%}."
        )
    return ""


def _breaches(verdict: DriftVerdict) -> tuple[Breach, ...]:
    """The rows of a window that break the schema."""
    breaches = breaches_of(
        verdict.anomalies,
        verdict.rejected_fields,
        rows=verdict.accepted or verdict.rows,
        offsets_read=verdict.offsets_read,
    )
    return tuple(sorted(breaches, key=lambda b: -b.rows)[:MAX_BREACHES])


def broken_data(state: TriggerState, selection: Selection, rules: RetrainRules) -> str:
    """Why no retrain may start on these data, in words; empty when one may.

    The retrain judges its rows by the same rule, so a retrain that would be refused there is not
    asked for: the latest windows are judged together, and so are the rows that it would read.
    """
    latest = judge([window.breaches for window in state.windows], rules.tolerance)
    if latest.effect == "broken":
        return latest.reason
    selected = judge([selection.breaches], rules.tolerance.at_once())
    return f"in the rows to train on: {selected.reason}" if selected.effect == "broken" else ""


def record_window(state: TriggerState, verdict: DriftVerdict, rules: RetrainRules) -> TriggerState:
    """Remember a window's offset ranges, whatever its verdict."""
    window = RecordedWindow(
        start=verdict.window_start,
        end=verdict.window_end,
        rows=verdict.accepted or verdict.rows,
        offsets=verdict.offsets,
        usable=not broken_data_reason(verdict, rules),
        breaches=_breaches(verdict),
    )
    windows = tuple(sorted((*state.windows, window), key=lambda w: (w.start, w.end)))
    kept = condense(windows, rules.max_windows)
    condensed_until = state.condensed_until
    if len(kept) < len(windows):
        condensed_until = max(condensed_until, windows[rules.max_windows // 2 - 1].end)
    return replace(state, windows=kept, condensed_until=condensed_until)


def update_shift(state: TriggerState, verdict: DriftVerdict, rules: RetrainRules) -> TriggerState:
    """The state after one more verdict against the active reference."""
    shift = state.shift
    if verdict.outcome in ALARMED:
        shift = shift or Shift(start=verdict.window_end, reference_id=verdict.reference_id)
        drifted = verdict.outcome == "drifted"
        first = drifted and not shift.drifted
        shift = replace(
            shift,
            start=min(shift.start, verdict.window_end),
            last_alarm_end=max(shift.last_alarm_end, verdict.window_end),
            verdicts=_with_verdict(shift, verdict.record_id),
            drifted=shift.drifted + drifted,
            stable=0,
            reason=verdict.reason if first else shift.reason,
        )
        return replace(state, shift=shift)
    if shift is None or verdict.outcome != "stable":
        return state
    shift = replace(shift, stable=shift.stable + 1)
    return replace(state, shift=None if shift.stable >= rules.recovery_windows else shift)


def update_concept_shift(
    state: TriggerState, verdict: QualityVerdict, rules: RetrainRules
) -> TriggerState:
    """The state after one more verdict on the quality of the predictions.

    Only realised verdicts on the live version count, each once. A loss of quality that drifted
    inputs explain is handled by `update_shift`.
    """
    counts = verdict.stage == "realised" and verdict.live and verdict.version == state.live
    if not counts or verdict.window_end <= state.quality_known_until:
        return state
    state = replace(state, quality_known_until=verdict.window_end)
    concept = state.concept
    if verdict.outcome == "degraded" and verdict.cause == "concept":
        concept = concept or Shift(start=verdict.shift_start, reason=verdict.reason)
        concept = replace(
            concept,
            last_alarm_end=verdict.window_end,
            verdicts=_with_verdict(concept, verdict.record_id),
            drifted=concept.drifted + 1,
            stable=0,
        )
        return replace(state, concept=concept)
    if concept is None or verdict.outcome != "stable":
        return state
    concept = replace(concept, stable=concept.stable + 1)
    return replace(state, concept=None if concept.stable >= rules.recovery_windows else concept)


def confirmed_shift(state: TriggerState, rules: RetrainRules) -> Shift | None:
    """The shift, once it has enough drifted windows to act on; else None."""
    shift = state.shift
    return shift if shift is not None and shift.drifted >= rules.confirm_windows else None


def count_failure(state: TriggerState, now: float) -> TriggerState:
    """The state after a retrain that ended without a version that may go live."""
    return replace(state, failures=state.failures + 1, failed_at=now, last_ended_at=now)


def apply_version(state: TriggerState, version: ModelVersion, now: float) -> TriggerState:
    """The state after a publication: the retrain is over, a blessed version starts its rollout."""
    ours = state.running is not None and state.running.request_id == version.request_id
    if ours:
        state = replace(state, running=None, last_ended_at=now)
    if not version.blessed:
        return count_failure(state, now) if ours else state
    if version.version > max(state.last_finished_rollout, state.live, state.rollout):
        state = replace(state, rollout=version.version, rollout_seen_at=now, rollout_started=False)
    return state


def apply_promotion(state: TriggerState, promotion: Promotion, now: float) -> TriggerState:
    """The state after a promotion or a rollback: both shifts end, the new reference counts.

    A promotion older than the known one changes nothing.
    """
    if promotion.at < state.promoted_at:
        return state
    if promotion.change == "referenced" and promotion.version == state.live:
        # nothing began or ended; windows are judged against another reference from now on
        return replace(
            state, promotion_id=promotion.record_id, promoted_at=promotion.at, shift=None
        )
    rolled_back = promotion.change == "rolled-back"
    finished = max(
        state.last_finished_rollout, promotion.version, promotion.replaced if rolled_back else 0
    )
    state = replace(
        state,
        live=promotion.version,
        promotion_id=promotion.record_id,
        promoted_at=promotion.at,
        shift=None,
        concept=None,
        announced=(),
        last_finished_rollout=finished,
        rollout=state.rollout if state.rollout > finished else 0,
        last_ended_at=now,
        wait_for_rows=None,
    )
    if rolled_back:
        return count_failure(state, now)
    return replace(state, failures=0, failed_at=0.0)


def end_rollout(state: TriggerState, version: int, now: float) -> TriggerState:
    """The state after a rollout has ended; one without a promotion counts as a failure."""
    if version <= state.last_finished_rollout:
        return state
    rollout = 0 if state.rollout == version else state.rollout
    state = replace(state, last_finished_rollout=version, rollout=rollout)
    return count_failure(state, now) if version != state.live else state


def policy_input(
    state: TriggerState, shift: Shift | None, *, rows: int, labels: int, broken: str = ""
) -> PolicyInput:
    """The facts for `policy.decide`; `shift` is the one that the retrain is for."""
    running, wait = state.running, state.wait_for_rows
    if wait is not None and wait.shift_start != (shift.start if shift else None):
        wait = None  # it counts other rows
    return PolicyInput(
        running=running.request_id if running else "",
        running_since=running.since if running else 0.0,
        running_progress=running.progress if running else "",
        rollout=state.rollout,
        rollout_seen_at=state.rollout_seen_at,
        starts=state.starts,
        failures=state.failures,
        failed_at=state.failed_at,
        last_ended_at=state.last_ended_at,
        shift_seconds=shift.seconds if shift else None,
        rows=rows,
        labels=labels,
        broken=broken,
        rows_needed=wait.rows if wait is not None else 0,
    )


def _with_verdict(shift: Shift, record_id: str) -> tuple[str, ...]:
    """The shift's verdict ids with one more; the first one always stays."""
    first, *later = (*shift.verdicts, record_id)
    return (first, *later[-MAX_VERDICTS + 1 :])
