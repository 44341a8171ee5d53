"""Records in, records and actions out; and the only place where the ports are used.

`handle` and `tick` are pure. `observe` asks every port once and turns what cannot be reached into
a sentence in `problems`; `perform` does what it can, and the next tick repairs the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from serving.commands import ACTIONS, obey
from serving.desired import wanted_loads
from serving.ports import (
    Action,
    Load,
    Observed,
    Ports,
    PublishedReference,
    Role,
    Scrape,
    ServerStatus,
    SetSplit,
    Split,
)
from serving.rollout import begin, go_back, tick
from serving.rules import RolloutRules
from serving.state import RolloutState, Step
from streaming.contracts.errors import DriftlineError, TemporaryError
from streaming.contracts.records import AnyRecord, CanaryVerdict, Command, ModelVersion, Promotion

__all__ = ["RolloutState", "Step", "handle", "observe", "perform", "tick"]

MAX_SEEN = 256
LONGEST_GAP_SECONDS = 60.0
"""Scrapes older than this are not asked for; counters bridge the gap."""


def handle(state: RolloutState, record: AnyRecord, *, rules: RolloutRules, now: float) -> Step:
    """What a record changes.

    Versions that are not blessed, versions of other models and second deliveries change nothing.

    Parameters
    ----------
    state:
        What was remembered about the model.
    record:
        A `ModelVersion`, `Command`, `Promotion` or `CanaryVerdict`; all others are left to somebody
        else. Our own promotions and fails matter after a crash between writing and remembering.
    rules:
        How this model is rolled out.
    now:
        Seconds since 1970.
    """
    if record.model != state.model or record.record_id in state.seen:
        return Step(state=state)
    if isinstance(record, Command) and record.action in ACTIONS:
        return obey(_saw(state, record.record_id), record, now=now)
    if isinstance(record, ModelVersion):
        return Step(state=_offer(_saw(state, record.record_id), record, now))
    if isinstance(record, Promotion):
        return Step(state=_adopt(_saw(state, record.record_id), record))
    if isinstance(record, CanaryVerdict) and record.outcome == "fail":
        return Step(state=_recall(_saw(state, record.record_id), record, now))
    return Step(state=state)


def observe(ports: Ports, state: RolloutState, *, now: float) -> Observed:
    """Ask the outside; takes milliseconds when everything answers."""
    problems: list[str] = []
    split: Split | None = None
    try:
        split = ports.splitter.live()
    except DriftlineError as error:
        problems.append(str(error))
    roles = wanted_loads(state)
    servers = tuple(_status(ports, role, problems) for role in roles)
    return Observed(
        at=now,
        split=split,
        servers=servers,
        scrapes=_scrapes(ports, state, problems, now),
        reference=_reference(ports, state, problems),
        problems=tuple(problems),
    )


def perform(actions: Sequence[Action], ports: Ports) -> tuple[str, ...]:
    """Do the actions in order; what could not be done comes back as sentences.

    A load may take as long as the server needs for it, so this belongs into a thread of its own
    wherever waiting hurts. Routes come first in every list.
    """
    problems = []
    for action in actions:
        try:
            if isinstance(action, SetSplit):
                ports.splitter.apply(action.split)
            elif isinstance(action, Load):
                ports.servers.load(action.role, action.version)
        except DriftlineError as error:
            problems.append(str(error))
    return tuple(problems)


def _offer(state: RolloutState, version: ModelVersion, now: float) -> RolloutState:
    """A new version: take it up, let it wait, or leave it."""
    live = state.live.version if state.live is not None else 0
    newest = max(live, state.waiting.version if state.waiting is not None else 0)
    known = version.version <= newest or version.version in state.tried
    if not version.blessed or known:
        return state
    rollout = state.rollout
    if rollout is None:
        return begin(state, version, now)
    if version.version <= rollout.candidate.version:
        return state
    untouched = rollout.phase == "awaiting-approval" and rollout.approval == "before-canary"
    if untouched:
        # No client has met the older one yet: it makes room.
        tried = (*state.tried[-63:], rollout.candidate.version)
        return begin(replace(state, rollout=None, tried=tried), version, now)
    return replace(state, waiting=version)


def _adopt(state: RolloutState, promotion: Promotion) -> RolloutState:
    """A promotion from the log: our own of long ago after a loss of state, else known already."""
    live, rollout = state.live, state.rollout
    if live is not None and promotion.at <= live.at:
        return state
    if rollout is not None and (rollout.champion or rollout.candidate.version > promotion.version):
        return state
    waiting = state.waiting
    if waiting is not None and waiting.version <= promotion.version:
        waiting = None
    tried = state.tried
    if promotion.change == "rolled-back":
        tried = (*tried[-63:], promotion.replaced)
    return replace(
        state,
        live=promotion,
        previous=None,
        live_candidate=None,
        rollout=None,
        waiting=waiting,
        tried=tried,
    )


def _recall(state: RolloutState, verdict: CanaryVerdict, now: float) -> RolloutState:
    """A fail that was written and then forgotten."""
    rollout = state.rollout
    over = ("promoting", "baking", "rolling-back")
    if rollout is None or rollout.rollout_id != verdict.rollout_id or rollout.phase in over:
        return state
    return replace(state, rollout=go_back(rollout, verdict.reason, now))


def _saw(state: RolloutState, record: str) -> RolloutState:
    return replace(state, seen=(*state.seen[1 - MAX_SEEN :], record))


def _status(ports: Ports, role: Role, problems: list[str]) -> ServerStatus:
    try:
        return ports.servers.status(role)
    except DriftlineError as error:
        problems.append(str(error))
        return ServerStatus(role=role, reachable=False)


def _scrapes(
    ports: Ports, state: RolloutState, problems: list[str], now: float
) -> tuple[Scrape, ...]:
    rollout = state.rollout
    if rollout is None or rollout.run_since is None:
        return ()
    last = rollout.ledger.last
    since = max(now - LONGEST_GAP_SECONDS, last.at if last is not None else rollout.run_since)
    try:
        return ports.metrics.scrapes(since=since, now=now)
    except DriftlineError as error:
        problems.append(str(error))
        return ()


def _reference(ports: Ports, state: RolloutState, problems: list[str]) -> PublishedReference | None:
    rollout = state.rollout
    if rollout is None or rollout.phase != "promoting":
        return None
    try:
        artifact = ports.references.publish(rollout.candidate)
    except TemporaryError as error:
        problems.append(str(error))
        return None
    return PublishedReference(version=rollout.candidate.version, artifact=artifact)
