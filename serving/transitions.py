"""Starts a rollout and changes its phase; used by the phases and by commands."""

from __future__ import annotations

from msgspec.structs import replace

from serving.counts import MIRRORED, begin_run
from serving.phase import Phase
from serving.state import ArmWatch, Rejection, RollbackCause, Rollout, RolloutState
from streaming.contracts.ids import record_id
from streaming.contracts.records import ModelVersion

_REMEMBERED_REJECTIONS = 64
_REMEMBERED_CAUSES = 8
_RETRYABLE = 8
"""Versions that were given up and are kept with their record, so that they can be tried again."""


def start_rollout(
    state: RolloutState,
    version: ModelVersion,
    now: float,
    *,
    attempt: str = "",
    retried_by: str = "",
) -> RolloutState:
    """Start the rollout of a version; the caller makes sure that no other one is in progress.

    Parameters
    ----------
    attempt:
        Id of the command that tries the version again; empty the first time.
    retried_by:
        Who gave it.
    """
    champion = state.live.version if state.live is not None else 0
    key = (version.record_id, state.live and state.live.record_id, *filter(None, (attempt,)))
    rollout = Rollout(
        rollout_id=record_id("rollout", state.model, *key),
        candidate=version,
        champion=champion,
        phase=Phase.PREPARING if champion else Phase.PROMOTING,
        since=now,
        reason=(
            f"Version {version.version} is to replace version {champion}."
            if champion
            else f"Version {version.version} is the first one; there is nothing to compare it with."
        ),
        caused_by=(version.record_id, *filter(None, (attempt,))),
        retried_by=retried_by,
    )
    queued = state.queued_version
    if queued is not None and queued.version <= version.version:
        queued = None
    return replace(state, rollout=rollout, queued_version=queued)


def enter_phase(
    rollout: Rollout, phase: Phase, reason: str, now: float, **changes: object
) -> Rollout:
    """Enter a phase with another weight: the open counts are dropped."""
    step = MIRRORED if phase is Phase.EJECTED else changes.get("step", rollout.step)
    assert isinstance(step, int)
    return replace(
        rollout,
        phase=phase,
        since=now,
        phase_seconds=0.0,
        reason=reason,
        run_since=None,
        watch=ArmWatch(),
        counts=begin_run(rollout.counts, step=step),
        **{"approval": "", **changes},
    )


def switch_phase(
    rollout: Rollout, phase: Phase, reason: str, now: float, **changes: object
) -> Rollout:
    """Enter a phase at the same weight: counting continues."""
    return replace(
        rollout,
        phase=phase,
        since=now,
        phase_seconds=0.0,
        reason=reason,
        **{"approval": "", **changes},
    )


def begin_counts(rollout: Rollout, *, step: int) -> Rollout:
    """Count afresh at another weight within the phase."""
    return replace(rollout, run_since=None, counts=begin_run(rollout.counts, step=step))


def roll_back(rollout: Rollout, reason: str, now: float, cause: RollbackCause) -> Rollout:
    """Begin to return to the champion."""
    return enter_phase(rollout, Phase.ROLLING_BACK, reason, now, cause=cause)


def reject_version(
    state: RolloutState, rollout: Rollout, now: float, *, cause: RollbackCause = ""
) -> RolloutState:
    """End the rollout and remember that its version must not be rolled out again by itself."""
    version = rollout.candidate.version
    earlier = tuple(number for number in state.rejected_versions if number != version)
    rejection = Rejection(
        candidate=rollout.candidate,
        cause=cause or rollout.cause,
        reason=rollout.reason,
        at=now,
    )
    others = tuple(entry for entry in state.rejections if entry.candidate.version != version)
    return replace(
        state,
        rollout=None,
        rejected_versions=(*earlier[1 - _REMEMBERED_REJECTIONS :], version),
        rejections=(*others[1 - _RETRYABLE :], rejection),
    )


def add_cause(rollout: Rollout, record: str) -> Rollout:
    """Add a record id to the causes of later records."""
    return replace(rollout, caused_by=(*rollout.caused_by[:_REMEMBERED_CAUSES], record))
