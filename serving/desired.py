"""The desired state of the outside in each phase, and the actions that lead to it.

Level-triggered: nothing here depends on how the state was reached or on earlier actions. A restart
of any process during a rollout is reconciled like any other difference.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.ports import (
    ALL_STABLE,
    Action,
    LoadVersion,
    Observation,
    PublishReference,
    Role,
    ServerStatus,
    SetTrafficSplit,
    TrafficSplit,
)
from serving.rules import RolloutRules
from serving.state import LoadRequest, Phase, Rollout, RolloutState

RETRY_LOAD_SECONDS = 3.0
"""A load that shows no effect is requested again after this long."""


def desired_split(state: RolloutState, observed: Observation, rules: RolloutRules) -> TrafficSplit:
    """The traffic split that the current phase requires."""
    rollout = state.rollout
    if rollout is None:
        return ALL_STABLE
    if rollout.phase is Phase.EJECTED:
        return TrafficSplit(mirror=rules.ejection.mirror_weight)
    if weight := canary_weight(rollout, rules):
        return TrafficSplit(stable=100 - 2 * weight, control=weight, canary=weight)
    version = rollout.candidate.version
    replacing = rollout.phase is Phase.PROMOTING and rollout.champion
    if replacing and not serves(observed, "stable", version):
        # The canary takes all traffic while the stable server changes over.
        return TrafficSplit(stable=0, canary=100)
    stable_is_bad = rollout.phase is Phase.ROLLING_BACK and not serves(
        observed, "stable", rollout.champion
    )
    if stable_is_bad and serves(observed, "control", rollout.champion):
        # The control server still has the champion loaded.
        return TrafficSplit(stable=0, control=100)
    return ALL_STABLE


def canary_weight(rollout: Rollout | None, rules: RolloutRules) -> int:
    """The canary's share of the clients' requests in percent; 0 if clients do not reach it."""
    if rollout is None:
        return 0
    receives_traffic = rollout.phase in (Phase.STEPPING, Phase.PAUSED) or (
        rollout.phase is Phase.AWAITING_APPROVAL and rollout.approval == "before-promotion"
    )
    return rules.weights[rollout.step] if receives_traffic else 0


def desired_loads(state: RolloutState) -> dict[Role, int]:
    """The version that each server must have; servers not listed keep their version."""
    rollout = state.rollout
    if rollout is None:
        return {"stable": state.live.version} if state.live is not None else {}
    version, champion = rollout.candidate.version, rollout.champion
    if not champion:
        return {"stable": version}
    if rollout.phase is Phase.PROMOTING:
        return {"stable": version, "control": champion, "canary": version}
    if rollout.phase is Phase.BAKING:
        return {"stable": version, "control": champion}
    if rollout.phase is Phase.ROLLING_BACK:
        return {"stable": champion, "control": champion}
    return {"stable": champion, "control": champion, "canary": version}


def reconcile(
    state: RolloutState, observed: Observation, rules: RolloutRules, now: float
) -> tuple[RolloutState, tuple[Action, ...]]:
    """The actions that lead from the observed to the desired state: routes, loads, reference."""
    actions: list[Action] = []
    split = desired_split(state, observed, rules)
    if observed.split != split:
        actions.append(SetTrafficSplit(split=split))
    earlier = {(request.role, request.version): request for request in state.load_requests}
    load_requests: list[LoadRequest] = []
    for role, version in desired_loads(state).items():
        request = earlier.get((role, version))
        server = find_server(observed, role)
        due = request is None or now - request.last_at >= RETRY_LOAD_SECONDS
        if due and _needs_load(server, version) and not _load_deferred(state, observed, role):
            actions.append(LoadVersion(role=role, version=version))
            first_at = now if request is None else request.first_at
            request = LoadRequest(role=role, version=version, first_at=first_at, last_at=now)
        if request is not None:
            load_requests.append(request)
    rollout = state.rollout
    if rollout is not None and _needs_reference(rollout, observed):
        actions.append(PublishReference(version=rollout.candidate))
    return replace(state, load_requests=tuple(load_requests)), tuple(actions)


def serves(observed: Observation, role: Role, version: int) -> bool:
    """Whether the server has this version available and no other."""
    server = find_server(observed, role)
    available = [status.version for status in server.versions if status.state == "available"]
    return server.reachable and available == [version]


def find_server(observed: Observation, role: Role) -> ServerStatus:
    """The observed status of a role's server; unreachable if it was not observed."""
    for server in observed.servers:
        if server.role == role:
            return server
    return ServerStatus(role=role, reachable=False)


def load_seconds(state: RolloutState, observed: Observation, version: int) -> float:
    """The canary's load time: the server's own measurement, or the time since the request."""
    for status in find_server(observed, "canary").versions:
        if status.version == version and status.load_seconds is not None:
            return status.load_seconds
    for request in state.load_requests:
        if request.role == "canary" and request.version == version:
            return observed.at - request.first_at
    return 0.0


def _load_deferred(state: RolloutState, observed: Observation, role: Role) -> bool:
    """Whether the canary must wait until the control has loaded.

    The canary's load time is judged, so the other load of the same rollout must not compete.
    """
    rollout = state.rollout
    return (
        rollout is not None
        and (role, rollout.phase) == ("canary", Phase.PREPARING)
        and not serves(observed, "control", rollout.champion)
    )


def _needs_load(server: ServerStatus, version: int) -> bool:
    if not server.reachable:
        return False
    states = {status.version: status.state for status in server.versions}
    if states.get(version) == "loading":
        return False
    available = {number for number, state in states.items() if state == "available"}
    return available != {version}


def _needs_reference(rollout: Rollout, observed: Observation) -> bool:
    reference = observed.reference
    unknown = reference is None or reference.version != rollout.candidate.version
    return rollout.phase is Phase.PROMOTING and unknown
