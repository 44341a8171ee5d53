"""Starts a rollout and changes its phase; used by the phases and by commands."""

from __future__ import annotations

from msgspec.structs import replace

from serving.counts import MIRRORED, begin_run
from serving.state import Phase, Rollout, RolloutState
from streaming.contracts.ids import record_id
from streaming.contracts.records import ModelVersion

_REMEMBERED_REJECTIONS = 64
_REMEMBERED_CAUSES = 8


def start_rollout(state: RolloutState, version: ModelVersion, now: float) -> RolloutState:
    """Start the rollout of a version; the caller makes sure that no other one is in progress."""
    champion = state.live.version if state.live is not None else 0
    rollout = Rollout(
        rollout_id=record_id(
            "rollout", state.model, version.record_id, state.live and state.live.record_id
        ),
        candidate=version,
        champion=champion,
        phase=Phase.PREPARING if champion else Phase.PROMOTING,
        since=now,
        reason=(
            f"Version {version.version} is to replace version {champion}."
            if champion
            else f"Version {version.version} is the first one; there is nothing to compare it with."
        ),
        caused_by=(version.record_id,),
    )
    return replace(state, rollout=rollout, queued_version=None)


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
        reason=reason,
        run_since=None,
        counts=begin_run(rollout.counts, step=step),
        **{"approval": "", **changes},
    )


def switch_phase(
    rollout: Rollout, phase: Phase, reason: str, now: float, **changes: object
) -> Rollout:
    """Enter a phase at the same weight: counting continues."""
    return replace(rollout, phase=phase, since=now, reason=reason, **{"approval": "", **changes})


def roll_back(rollout: Rollout, reason: str, now: float) -> Rollout:
    """Begin to return to the champion."""
    return enter_phase(rollout, Phase.ROLLING_BACK, reason, now)


def reject_version(state: RolloutState, version: int) -> RolloutState:
    """End the rollout and remember that its version must not be rolled out again."""
    rejected = (*state.rejected_versions[1 - _REMEMBERED_REJECTIONS :], version)
    return replace(state, rollout=None, rejected_versions=rejected)


def add_cause(rollout: Rollout, record: str) -> Rollout:
    """Add a record id to the causes of later records."""
    return replace(rollout, caused_by=(*rollout.caused_by[:_REMEMBERED_CAUSES], record))
