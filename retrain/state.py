"""What the trigger remembers of a model, and the small steps that change it.

A `TriggerState` is one JSON value in a table of the daemon. It is bounded, it changes only
through the functions here and in `handlers`, and a record that comes twice changes nothing.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from retrain.policy import RetrainRules, Situation
from retrain.selection import WindowNote, condense
from streaming.contracts.records import (
    ALARMED,
    Cause,
    DriftVerdict,
    ModelVersion,
    Promotion,
    QualityVerdict,
)

MAX_SEEN = 512
"""Record ids remembered. More than the windows kept, so that a verdict which is forgotten here
is recognised as old by `TriggerState.settled_until`."""

MAX_STARTS = 128
MAX_VERDICTS = 16


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """A run of suspected and drifted windows."""

    start: float
    """End of its first window, seconds: that window holds some of both worlds, so it is neither
    trained on as new nor part of the next yardstick."""
    verdicts: tuple[str, ...] = ()
    """record_ids: the first one, then the latest."""
    drifted: int = 0
    """Drifted windows so far."""
    stable: int = 0
    """Stable windows in a row by now."""
    reason: str = ""
    """The sentence of the first drifted verdict."""
    reference_id: str = ""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The request in flight."""

    request_id: str
    cause: Cause
    since: float
    deadline: float
    where: str = ""
    """The latest progress in words."""


class TriggerState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the trigger remembers of one model."""

    model: str
    seen: tuple[str, ...] = ()
    """record_ids handled, oldest first."""
    windows: tuple[WindowNote, ...] = ()
    settled_until: float = 0.0
    """End of the newest window that is no longer remembered by itself."""
    shift: Shift | None = None
    concept: Shift | None = None
    """Degraded quality under inputs that stand still; `drifted` and `stable` count its verdicts."""
    quality_until: float = 0.0
    """End of the newest window whose quality is known: older verdicts are replays."""
    running: Running | None = None
    live: int = 0
    """The live version; 0 = none."""
    promotion_id: str = ""
    promoted_at: float = 0.0
    rollout: int = 0
    """The version being rolled out; 0 = none."""
    rollout_heard: float = 0.0
    rollout_begun: bool = False
    """Whether the rollout itself has been heard of, not only its version: until then an idle
    status is about the one before."""
    rollouts_over: int = 0
    """Highest version whose rollout has ended: a late copy of its records starts nothing."""
    starts: tuple[float, ...] = ()
    failures: int = 0
    failed_at: float = 0.0
    rested_at: float = 0.0
    requests: int = 0
    """Requests made so far: keeps their ids apart when a cause comes again."""
    said: tuple[str, ...] = ()
    """What has been said about the waiting trigger, so that it is said once."""


def see(state: TriggerState, record_id: str) -> TriggerState | None:
    """The state that knows this record; None when it knew it already."""
    if record_id in state.seen:
        return None
    return replace(state, seen=(*state.seen, record_id)[-MAX_SEEN:])


def broken(verdict: DriftVerdict, rules: RetrainRules) -> str:
    """Why a window is broken data rather than drift: one sentence, empty when it is not."""
    codes = sorted({a.code for a in verdict.anomalies} & set(rules.breaking_anomalies))
    if codes:
        features = sorted({a.feature for a in verdict.anomalies if a.code in codes})
        return f"The window breaks the schema ({', '.join(codes)} in {', '.join(features)})."
    total = verdict.accepted + verdict.dead_letters
    if verdict.dead_letters > rules.max_dead_ratio * total:
        return (
            f"{verdict.dead_letters} of {total} events of the window are dead letters, more than "
            f"{rules.max_dead_ratio:.0%}."
        )
    return ""


def note_window(state: TriggerState, verdict: DriftVerdict, rules: RetrainRules) -> TriggerState:
    """Remember a window's ranges, whatever its verdict."""
    note = WindowNote(
        start=verdict.window_start,
        end=verdict.window_end,
        rows=verdict.accepted or verdict.rows,
        offsets=verdict.offsets,
        usable=not broken(verdict, rules),
    )
    noted = tuple(sorted((*state.windows, note), key=lambda w: (w.start, w.end)))
    kept = condense(noted, rules.max_windows)
    settled = state.settled_until
    if len(kept) < len(noted):
        settled = max(settled, noted[rules.max_windows // 2 - 1].end)
    return replace(state, windows=kept, settled_until=settled)


def follow_shift(state: TriggerState, verdict: DriftVerdict, rules: RetrainRules) -> TriggerState:
    """The shift after one more verdict against the reference in force."""
    shift = state.shift
    if verdict.outcome in ALARMED:
        shift = shift or Shift(start=verdict.window_end, reference_id=verdict.reference_id)
        drifted = verdict.outcome == "drifted"
        first = drifted and not shift.drifted
        ids = (*shift.verdicts, verdict.record_id)
        shift = replace(
            shift,
            start=min(shift.start, verdict.window_end),
            verdicts=(ids[0], *ids[1:][-MAX_VERDICTS + 1 :]),
            drifted=shift.drifted + drifted,
            stable=0,
            reason=verdict.reason if first else shift.reason,
        )
        return replace(state, shift=shift)
    if shift is None or verdict.outcome != "stable":
        return state
    shift = replace(shift, stable=shift.stable + 1)
    return replace(state, shift=None if shift.stable >= rules.forget_windows else shift)


def follow_quality(
    state: TriggerState, verdict: QualityVerdict, rules: RetrainRules
) -> TriggerState:
    """The change of meaning after one more verdict on what was predicted.

    Only realised verdicts on the live version count, each once. A fall that moved inputs explain
    is the business of `follow_shift`.
    """
    ours = verdict.stage == "realised" and verdict.live and verdict.version == state.live
    if not ours or verdict.window_end <= state.quality_until:
        return state
    state = replace(state, quality_until=verdict.window_end)
    concept = state.concept
    if verdict.outcome == "degraded" and verdict.cause == "concept":
        concept = concept or Shift(start=verdict.shift_start, reason=verdict.reason)
        ids = (*concept.verdicts, verdict.record_id)
        concept = replace(
            concept,
            verdicts=(ids[0], *ids[1:][-MAX_VERDICTS + 1 :]),
            drifted=concept.drifted + 1,
            stable=0,
        )
        return replace(state, concept=concept)
    if concept is None or verdict.outcome != "stable":
        return state
    concept = replace(concept, stable=concept.stable + 1)
    return replace(state, concept=None if concept.stable >= rules.forget_windows else concept)


def confirmed(state: TriggerState, rules: RetrainRules) -> Shift | None:
    """The shift, when it has lasted long enough to act on."""
    shift = state.shift
    return shift if shift is not None and shift.drifted >= rules.confirm_windows else None


def failed(state: TriggerState, now: float) -> TriggerState:
    """A retrain ended without a version that may go live."""
    return replace(state, failures=state.failures + 1, failed_at=now, rested_at=now)


def take_version(state: TriggerState, version: ModelVersion, now: float) -> TriggerState:
    """A version is published: its retrain is over, and its rollout begins if it is blessed."""
    mine = state.running is not None and state.running.request_id == version.request_id
    if mine:
        state = replace(state, running=None, rested_at=now)
    if not version.blessed:
        return failed(state, now) if mine else state
    if version.version > max(state.rollouts_over, state.live, state.rollout):
        state = replace(state, rollout=version.version, rollout_heard=now, rollout_begun=False)
    return state


def take_promotion(state: TriggerState, promotion: Promotion, now: float) -> TriggerState:
    """Something is live now: the shift is judged afresh against its reference.

    An older promotion than the one known changes nothing.
    """
    if promotion.at < state.promoted_at:
        return state
    back = promotion.change == "rolled-back"
    over = max(state.rollouts_over, promotion.version, promotion.replaced if back else 0)
    state = replace(
        state,
        live=promotion.version,
        promotion_id=promotion.record_id,
        promoted_at=promotion.at,
        shift=None,
        concept=None,
        said=(),
        rollouts_over=over,
        rollout=state.rollout if state.rollout > over else 0,
        rested_at=now,
    )
    return failed(state, now) if back else replace(state, failures=0, failed_at=0.0)


def end_rollout(state: TriggerState, version: int, now: float) -> TriggerState:
    """A rollout ended; when it was not promoted, that counts as a failure."""
    if version <= state.rollouts_over:
        return state
    mine = state.rollout == version
    state = replace(state, rollouts_over=version, rollout=0 if mine else state.rollout)
    return failed(state, now) if version != state.live else state


def situation(state: TriggerState, *, rows: int, labels: int) -> Situation:
    """What `policy.decide` looks at."""
    running = state.running
    return Situation(
        running=running.request_id if running else "",
        running_since=running.since if running else 0.0,
        running_where=running.where if running else "",
        rollout=state.rollout,
        rollout_heard=state.rollout_heard,
        starts=state.starts,
        failures=state.failures,
        failed_at=state.failed_at,
        rested_at=state.rested_at,
        rows=rows,
        labels=labels,
    )
