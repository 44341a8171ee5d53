"""Entry points of serving: records in, records and actions out.

`handle` and `tick` are pure. `observe` (`serving.observing`) reads every port. `perform` does what
it can; the next tick reconciles the rest. `react` gives the traffic split that a record demands at
once, so that no command waits for an observation.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from serving.added_evidence import add_evidence
from serving.approval_request import changed_bytes
from serving.approval_steps import follow_approval
from serving.commands import ACTIONS, apply_command
from serving.desired import desired_split
from serving.experiment_control import count_users, is_busy
from serving.first_version import adopt_live
from serving.observing import observe, observe_servers
from serving.phase import Phase
from serving.ports import (
    Action,
    CompareAnswers,
    LoadVersion,
    Observation,
    PublishReference,
    ReplaceServer,
    ServingPorts,
    SetTrafficSplit,
    UnloadVersions,
)
from serving.promotion import apply_promotion
from serving.rollout import tick
from serving.routable import next_split
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState, Transition
from serving.transitions import reject_version, roll_back, start_rollout
from streaming.contracts.errors import DriftlineError
from streaming.contracts.ids import record_id
from streaming.contracts.records import (
    AnyRecord,
    CanaryVerdict,
    Command,
    ExperimentCounts,
    ModelVersion,
    PredictionScores,
    Promotion,
    QualityVerdict,
)

__all__ = [
    "RolloutState",
    "Transition",
    "handle",
    "is_protective",
    "observe",
    "observe_servers",
    "perform",
    "react",
    "tick",
]

MAX_SEEN = 256


def handle(
    state: RolloutState,
    record: AnyRecord,
    *,
    rules: RolloutRules,
    now: float,
    code: str = "",
) -> Transition:
    """Apply a record to the state.

    Versions that are not blessed, records of other models and second deliveries change nothing.

    Parameters
    ----------
    state:
        The state of the model.
    record:
        A `ModelVersion`, `Command`, `Promotion`, `CanaryVerdict`, `PredictionScores`,
        `QualityVerdict` or `ExperimentCounts`; other records are ignored. Our own promotions and
        failed verdicts matter after a crash between writing and remembering.
    rules:
        How this model is rolled out.
    now:
        Seconds since 1970.
    code:
        Version of the code, for the record of the rules.
    """
    if record.model != state.model or record.record_id in state.seen:
        return Transition(state=state)
    decided = _handle(state, record, rules, now, code)
    after, records = follow_approval(decided.state, rules, now)
    return Transition(state=after, records=(*decided.records, *records), actions=decided.actions)


def _handle(
    state: RolloutState, record: AnyRecord, rules: RolloutRules, now: float, code: str
) -> Transition:
    if isinstance(record, Command) and record.action in ACTIONS:
        seen = _mark_seen(state, record.record_id)
        return apply_command(seen, record, rules=rules, now=now)
    if isinstance(record, ModelVersion):
        seen = _mark_seen(state, record.record_id)
        return Transition(state=_consider_version(seen, record, rules, now))
    if isinstance(record, Promotion):
        seen = _mark_seen(state, record.record_id)
        return Transition(state=_adopt_promotion(seen, record, rules, now))
    if isinstance(record, CanaryVerdict) and record.outcome == "fail":
        return Transition(state=_resume_failure(_mark_seen(state, record.record_id), record, now))
    if isinstance(record, ExperimentCounts):
        return Transition(state=count_users(state, record))
    if isinstance(record, PredictionScores | QualityVerdict) and state.rollout is not None:
        return add_evidence(state, state.rollout, record, rules, now=now, code=code)
    return Transition(state=state)


def react(
    state: RolloutState, observed: Observation, *, rules: RolloutRules
) -> tuple[SetTrafficSplit, ...]:
    """The change of the split that a new state demands at once; the next tick does the rest.

    `observed` may be some seconds old: what it says wrongly is reconciled by the next tick.
    """
    split = next_split(desired_split(state, observed, rules), state, observed, rules)
    return () if observed.split == split else (SetTrafficSplit(split=split),)


def is_protective(action: Action, observed: Observation) -> bool:
    """Whether the action gives the canary no more requests than it has: it need not wait.

    Anything else is done after the decision is stored, so nothing gains traffic that the log does
    not know of.
    """
    if not isinstance(action, SetTrafficSplit) or action.split.experiment is not None:
        return False
    current = 0 if observed.split is None else observed.split.canary
    return action.split.canary <= current


def perform(actions: Sequence[Action], ports: ServingPorts) -> tuple[str, ...]:
    """Perform the actions in order, routes first; returns the errors of those that failed.

    A load may block for about a second, so run this in a thread of its own where waiting matters.
    """
    problems = []
    for action in actions:
        try:
            _perform(action, ports)
        except DriftlineError as error:
            problems.append(str(error))
    return tuple(problems)


def _perform(action: Action, ports: ServingPorts) -> None:
    if isinstance(action, SetTrafficSplit):
        ports.router.apply(action.split)
    elif isinstance(action, LoadVersion):
        ports.servers.load(action.role, action.version)
    elif isinstance(action, UnloadVersions):
        ports.servers.unload(action.role)
    elif isinstance(action, ReplaceServer):
        ports.servers.replace(action.role)
    elif isinstance(action, PublishReference):
        ports.references.publish(action.version)
    elif isinstance(action, CompareAnswers):
        ports.answers.compare(action.version, action.champion)


def _consider_version(
    state: RolloutState, version: ModelVersion, rules: RolloutRules, now: float
) -> RolloutState:
    """Roll out a new version, queue it, or ignore it."""
    changed = changed_bytes(state.rollout, version)
    if changed and state.rollout is not None and state.pending is None:
        return replace(state, rollout=roll_back(state.rollout, changed, now, "fail"))
    live = state.live.version if state.live is not None else 0
    queued = state.queued_version.version if state.queued_version is not None else 0
    known = version.version <= max(live, queued) or version.version in state.rejected_versions
    if not version.blessed or known:
        return state
    rollout = state.rollout
    if rollout is None and is_busy(state):
        return replace(state, queued_version=version)
    if rollout is None:
        return start_rollout(state, version, now)
    waits = rollout.phase is Phase.AWAITING_APPROVAL
    if not (rollout.champion or waits) and rollout.phase_seconds >= rules.prepare_seconds:
        # No server ever got the first version.
        return start_rollout(reject_version(state, rollout, now, cause="outage"), version, now)
    if version.version <= rollout.candidate.version:
        return state
    if waits and rollout.approval == "before-canary":
        # The older version never received a request: the newer one supersedes it.
        superseded = reject_version(state, rollout, now, cause="superseded")
        return start_rollout(superseded, version, now)
    return replace(state, queued_version=version)


def _adopt_promotion(
    state: RolloutState, promotion: Promotion, rules: RolloutRules, now: float
) -> RolloutState:
    """Follow a promotion from the log that the state does not know: the log says what is live.

    It was written just before a crash, or before the state was lost.
    """
    live, rollout, pending = state.live, state.rollout, state.pending
    if live is not None and promotion.at <= live.at:
        return state
    referenced = promotion.change == "referenced"
    if pending is not None and pending.record_id == promotion.record_id:
        return apply_promotion(state, promotion, rules=rules, now=now)
    if referenced and live is not None and promotion.version == live.version:
        return replace(state, live=promotion, missing_reference=None)
    if rollout is not None and _is_ours(rollout, promotion):
        return apply_promotion(state, promotion, rules=rules, now=now)
    if rollout is None and promotion.version in state.rejected_versions:
        return _take_back(state, promotion, now)
    if promotion.change == "rolled-back" and promotion.replaced not in state.rejected_versions:
        state = replace(state, rejected_versions=(*state.rejected_versions, promotion.replaced))
    return adopt_live(state, promotion, now)


def _is_ours(rollout: Rollout, promotion: Promotion) -> bool:
    """Whether a promotion is of the rollout in progress, or ends it."""
    version = rollout.candidate.version
    if promotion.change == "rolled-back":
        return rollout.phase is Phase.ROLLING_BACK and promotion.replaced == version
    late = rollout.phase in (Phase.PROMOTING, Phase.ROLLING_BACK)
    return late and not rollout.published and promotion.version == version


def _take_back(state: RolloutState, promotion: Promotion, now: float) -> RolloutState:
    """Return from a version that was promoted just before a crash, and given up after it.

    The log says that it is live, so a rollback has to be written.
    """
    for rejection in state.rejections:
        if rejection.candidate.version == promotion.version and state.live is not None:
            back = Rollout(
                rollout_id=record_id("rollback", state.model, promotion.record_id),
                candidate=rejection.candidate,
                champion=state.live.version,
                phase=Phase.ROLLING_BACK,
                since=now,
                reason=rejection.reason,
                cause=rejection.cause,
                published=True,
                caused_by=(promotion.record_id,),
            )
            return replace(state, live=promotion, previous=state.live, rollout=back)
    return adopt_live(state, promotion, now)


def _resume_failure(state: RolloutState, verdict: CanaryVerdict, now: float) -> RolloutState:
    """Roll back for a failed verdict that was written but not remembered."""
    rollout = state.rollout
    if rollout is None or rollout.rollout_id != verdict.rollout_id:
        return state
    if rollout.phase is Phase.ROLLING_BACK or state.pending is not None:
        return state
    return replace(state, rollout=roll_back(rollout, verdict.reason, now, "fail"))


def _mark_seen(state: RolloutState, record: str) -> RolloutState:
    return replace(state, seen=(*state.seen[1 - MAX_SEEN :], record))
