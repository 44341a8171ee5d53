"""What the outside should look like in each phase, and the actions that make it so.

Level-triggered: nothing here depends on how the state was reached or on what was done before, so
a restart of any process in the middle of a rollout is repaired like any other difference.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.ports import (
    ALL_STABLE,
    Action,
    Load,
    Observed,
    Role,
    ServerStatus,
    SetSplit,
    Split,
)
from serving.rules import RolloutRules
from serving.state import Ask, Rollout, RolloutState

ASK_AGAIN_SECONDS = 3.0
"""A load that shows no effect is asked for again after this long."""


def wanted_split(state: RolloutState, observed: Observed, rules: RolloutRules) -> Split:
    """Who should get which share now."""
    rollout = state.rollout
    if rollout is None:
        return ALL_STABLE
    if rollout.phase == "guarded":
        return Split(mirror=rules.watch.mirror_weight)
    if weight := canary_weight(rollout, rules):
        return Split(stable=100 - 2 * weight, control=weight, canary=weight)
    version = rollout.candidate.version
    replacing = rollout.phase == "promoting" and rollout.champion
    if replacing and not serves(observed, "stable", version):
        # The canary carries everything while stable changes over.
        return Split(stable=0, canary=100)
    stable_is_bad = rollout.phase == "rolling-back" and not serves(
        observed, "stable", rollout.champion
    )
    if stable_is_bad and serves(observed, "control", rollout.champion):
        # The control kept the good version warm.
        return Split(stable=0, control=100)
    return ALL_STABLE


def canary_weight(rollout: Rollout | None, rules: RolloutRules) -> int:
    """The canary's share in percent in the phases in which clients meet it; else 0."""
    if rollout is None:
        return 0
    judged = rollout.phase in ("stepping", "paused") or (
        rollout.phase == "awaiting-approval" and rollout.approval == "before-promotion"
    )
    return rules.weights[rollout.step] if judged else 0


def wanted_loads(state: RolloutState) -> dict[Role, int]:
    """Which version each server should have; a server that is not named may keep what it has."""
    rollout = state.rollout
    if rollout is None:
        return {"stable": state.live.version} if state.live is not None else {}
    version, champion = rollout.candidate.version, rollout.champion
    if not champion:
        return {"stable": version}
    if rollout.phase == "promoting":
        return {"stable": version, "control": champion, "canary": version}
    if rollout.phase == "baking":
        return {"stable": version, "control": champion}
    if rollout.phase == "rolling-back":
        return {"stable": champion, "control": champion}
    return {"stable": champion, "control": champion, "canary": version}


def repair(
    state: RolloutState, observed: Observed, rules: RolloutRules, now: float
) -> tuple[RolloutState, tuple[Action, ...]]:
    """Actions that lead from what is observed to what is wanted; routes before loads."""
    actions: list[Action] = []
    split = wanted_split(state, observed, rules)
    if observed.split != split:
        actions.append(SetSplit(split=split))
    asks = {(ask.role, ask.version): ask for ask in state.asks}
    kept: list[Ask] = []
    for role, version in wanted_loads(state).items():
        ask = asks.get((role, version))
        server = find_server(observed, role)
        due = ask is None or now - ask.last >= ASK_AGAIN_SECONDS
        if due and _needs(server, version) and not _comes_later(state, observed, role):
            actions.append(Load(role=role, version=version))
            first = now if ask is None else ask.first
            ask = Ask(role=role, version=version, first=first, last=now)
        if ask is not None:
            kept.append(ask)
    return replace(state, asks=tuple(kept)), tuple(actions)


def serves(observed: Observed, role: Role, version: int) -> bool:
    """The server has this version available and no other one."""
    server = find_server(observed, role)
    there = [status.version for status in server.versions if status.state == "available"]
    return server.reachable and there == [version]


def find_server(observed: Observed, role: Role) -> ServerStatus:
    """What the role's server said; unreachable when nothing is known of it."""
    for server in observed.servers:
        if server.role == role:
            return server
    return ServerStatus(role=role, reachable=False)


def load_seconds(state: RolloutState, observed: Observed, version: int) -> float:
    """How long the canary's server took to load: its own figure, else as seen from here."""
    for status in find_server(observed, "canary").versions:
        if status.version == version and status.load_seconds is not None:
            return status.load_seconds
    for ask in state.asks:
        if ask.role == "canary" and ask.version == version:
            return observed.at - ask.first
    return 0.0


def _comes_later(state: RolloutState, observed: Observed, role: Role) -> bool:
    """A canary is loaded once its twin is there: how long its load takes is judged, so our own
    other load must not compete with it."""
    rollout = state.rollout
    return (
        rollout is not None
        and (role, rollout.phase) == ("canary", "preparing")
        and not serves(observed, "control", rollout.champion)
    )


def _needs(server: ServerStatus, version: int) -> bool:
    if not server.reachable:
        return False
    found = {status.version: status.state for status in server.versions}
    if found.get(version) == "loading":
        return False
    others = [other for other, state in found.items() if state == "available" and other != version]
    return found.get(version) != "available" or bool(others)
