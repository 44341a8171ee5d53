"""Entry points of serving: records in, records and actions out; the only user of the ports.

`handle` and `tick` are pure. `observe` reads every port and reports what it could not reach as a
sentence in `problems`. `perform` does what it can; the next tick reconciles the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from serving.commands import ACTIONS, apply_command
from serving.desired import desired_loads
from serving.ports import (
    Action,
    LoadVersion,
    Observation,
    PublishedReference,
    PublishReference,
    Role,
    Scrape,
    ServerStatus,
    ServingPorts,
    SetTrafficSplit,
    TrafficSplit,
)
from serving.rollout import tick
from serving.rules import RolloutRules
from serving.state import Phase, RolloutState, Transition
from serving.transitions import reject_version, roll_back, start_rollout
from streaming.contracts.errors import DriftlineError
from streaming.contracts.records import AnyRecord, CanaryVerdict, Command, ModelVersion, Promotion

__all__ = ["RolloutState", "Transition", "handle", "observe", "perform", "tick"]

MAX_SEEN = 256
MAX_GAP_SECONDS = 60.0
"""Older scrapes are not requested; cumulative counters bridge the gap."""


def handle(
    state: RolloutState, record: AnyRecord, *, rules: RolloutRules, now: float
) -> Transition:
    """Apply a record to the state.

    Versions that are not blessed, records of other models and second deliveries change nothing.

    Parameters
    ----------
    state:
        The state of the model.
    record:
        A `ModelVersion`, `Command`, `Promotion` or `CanaryVerdict`; other records are ignored. Our
        own promotions and failed verdicts matter after a crash between writing and remembering.
    rules:
        How this model is rolled out.
    now:
        Seconds since 1970.
    """
    if record.model != state.model or record.record_id in state.seen:
        return Transition(state=state)
    if isinstance(record, Command) and record.action in ACTIONS:
        return apply_command(_mark_seen(state, record.record_id), record, now=now)
    if isinstance(record, ModelVersion):
        seen = _mark_seen(state, record.record_id)
        return Transition(state=_consider_version(seen, record, now))
    if isinstance(record, Promotion):
        return Transition(state=_adopt_promotion(_mark_seen(state, record.record_id), record))
    if isinstance(record, CanaryVerdict) and record.outcome == "fail":
        return Transition(state=_resume_failure(_mark_seen(state, record.record_id), record, now))
    return Transition(state=state)


def observe(ports: ServingPorts, state: RolloutState, *, now: float) -> Observation:
    """Read every port; takes milliseconds when all of them answer."""
    problems: list[str] = []
    split: TrafficSplit | None = None
    try:
        split = ports.router.current_split()
    except DriftlineError as error:
        problems.append(str(error))
    roles = desired_loads(state)
    servers = tuple(_server_status(ports, role, problems) for role in roles)
    return Observation(
        at=now,
        split=split,
        servers=servers,
        scrapes=_scrapes(ports, state, problems, now),
        reference=_reference(ports, state),
        problems=tuple(problems),
    )


def perform(actions: Sequence[Action], ports: ServingPorts) -> tuple[str, ...]:
    """Perform the actions in order; returns the errors of those that failed.

    A load may block for about a second and a reference for as long as its history takes to read,
    so run this in a thread of its own where waiting matters. Routes come first in every list.
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
    elif isinstance(action, PublishReference):
        ports.references.publish(action.version)


def _consider_version(state: RolloutState, version: ModelVersion, now: float) -> RolloutState:
    """Roll out a new version, queue it, or ignore it."""
    live = state.live.version if state.live is not None else 0
    queued = state.queued_version.version if state.queued_version is not None else 0
    known = version.version <= max(live, queued) or version.version in state.rejected_versions
    if not version.blessed or known:
        return state
    rollout = state.rollout
    if rollout is None:
        return start_rollout(state, version, now)
    if version.version <= rollout.candidate.version:
        return state
    unexposed = rollout.phase is Phase.AWAITING_APPROVAL and rollout.approval == "before-canary"
    if unexposed:
        # The older version never received a request: the newer one supersedes it.
        return start_rollout(reject_version(state, rollout.candidate.version), version, now)
    return replace(state, queued_version=version)


def _adopt_promotion(state: RolloutState, promotion: Promotion) -> RolloutState:
    """Adopt a promotion from the log that the state does not know, after a loss of state."""
    live, rollout = state.live, state.rollout
    if live is not None and promotion.at <= live.at:
        return state
    if rollout is not None and (rollout.champion or rollout.candidate.version > promotion.version):
        return state
    queued = state.queued_version
    if queued is not None and queued.version <= promotion.version:
        queued = None
    if promotion.change == "rolled-back":
        state = reject_version(state, promotion.replaced)
    return replace(
        state,
        live=promotion,
        previous=None,
        live_candidate=None,
        rollout=None,
        queued_version=queued,
    )


def _resume_failure(state: RolloutState, verdict: CanaryVerdict, now: float) -> RolloutState:
    """Roll back for a failed verdict that was written but not remembered."""
    rollout = state.rollout
    if rollout is None or rollout.rollout_id != verdict.rollout_id:
        return state
    if rollout.phase in (Phase.PROMOTING, Phase.BAKING, Phase.ROLLING_BACK):
        return state
    return replace(state, rollout=roll_back(rollout, verdict.reason, now))


def _mark_seen(state: RolloutState, record: str) -> RolloutState:
    return replace(state, seen=(*state.seen[1 - MAX_SEEN :], record))


def _server_status(ports: ServingPorts, role: Role, problems: list[str]) -> ServerStatus:
    try:
        return ports.servers.status(role)
    except DriftlineError as error:
        problems.append(str(error))
        return ServerStatus(role=role, reachable=False)


def _scrapes(
    ports: ServingPorts, state: RolloutState, problems: list[str], now: float
) -> tuple[Scrape, ...]:
    rollout = state.rollout
    if rollout is None or rollout.run_since is None:
        return ()
    last = rollout.counts.last_scrape
    since = max(now - MAX_GAP_SECONDS, last.at if last is not None else rollout.run_since)
    try:
        return ports.metrics.scrapes(since=since, now=now)
    except DriftlineError as error:
        problems.append(str(error))
        return ()


def _reference(ports: ServingPorts, state: RolloutState) -> PublishedReference | None:
    rollout = state.rollout
    if rollout is None or rollout.phase is not Phase.PROMOTING:
        return None
    return ports.references.published(rollout.candidate)
