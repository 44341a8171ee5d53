"""The desired state of the outside in each phase: traffic split, versions, reference.

Level-triggered: nothing here depends on how the state was reached or on earlier actions.
"""

from __future__ import annotations

from serving.experiments.arms import user_split, versions_by_role
from serving.phase import Phase
from serving.ports import (
    ALL_STABLE,
    Arm,
    Observation,
    Role,
    ServerStatus,
    TrafficSplit,
)
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState
from streaming.contracts.records import ModelVersion

CHANGE_OVER_WEIGHT = 50
"""Weight of canary and control while the stable server changes over: all traffic, compared."""


def desired_split(state: RolloutState, observed: Observation, rules: RolloutRules) -> TrafficSplit:
    """The traffic split that the current phase requires."""
    rollout = state.rollout
    if not rules.served:
        return ALL_STABLE
    if rollout is None:
        if state.experiment is not None and state.experiment.phase == "running":
            return user_split(state.experiment)
        return _carried(observed, state.live.version if state.live is not None else 0)
    if rollout.phase is Phase.EJECTED:
        return TrafficSplit(mirror=rules.ejection.mirror_weight)
    if weight := canary_weight(rollout, rules):
        return equal_arms(weight)
    if rollout.phase is Phase.PROMOTING and rollout.champion and not rollout.unserved:
        return _changing_over(rollout, observed, rules)
    if rollout.phase is Phase.BAKING:
        return _baking(rollout, observed, rules)
    return _carried(observed, rollout.champion)


def equal_arms(weight: int) -> TrafficSplit:
    return TrafficSplit(stable=100 - 2 * weight, control=weight, canary=weight)


def _changing_over(rollout: Rollout, observed: Observation, rules: RolloutRules) -> TrafficSplit:
    """The split while the stable server changes over from the champion to the candidate.

    The stable server gets no request then: canary and control share them equally, so that the gates
    go on as at a weight of 50 %. No moment of it is without a comparison. Once the stable server
    has the candidate, the bake's split applies.
    """
    version = rollout.candidate.version
    if serves(observed, "stable", version):
        return _baking(rollout, observed, rules)
    canary, control = (
        serves(observed, "canary", version),
        serves(observed, "control", rollout.champion),
    )
    if canary and control:
        return equal_arms(CHANGE_OVER_WEIGHT)
    if canary and not serves(observed, "stable", rollout.champion):
        return TrafficSplit(stable=0, canary=100)
    return _carried(observed, rollout.champion)


def _baking(rollout: Rollout, observed: Observation, rules: RolloutRules) -> TrafficSplit:
    """The split of a version that is live: small equal arms are compared, while both exist."""
    version = rollout.candidate.version
    if comparable(rollout, observed) and serves(observed, "stable", version) and rules.served:
        return equal_arms(rules.bake_weight)
    return _carried(observed, version)


def comparable(rollout: Rollout, observed: Observation) -> bool:
    """Whether canary and control both have their versions, so that they can be compared."""
    return serves(observed, "canary", rollout.candidate.version) and serves(
        observed, "control", rollout.champion
    )


def _carried(observed: Observation, version: int) -> TrafficSplit:
    """All traffic to a server that has the version: the stable one if it can, or else another."""
    if version and not serves(observed, "stable", version):
        if serves(observed, "control", version):
            return TrafficSplit(stable=0, control=100)
        if serves(observed, "canary", version):
            return TrafficSplit(stable=0, canary=100)
    return ALL_STABLE


def canary_weight(rollout: Rollout | None, rules: RolloutRules) -> int:
    """The weight of the current step in percent; 0 in phases that are not at a step."""
    if rollout is None or rollout.unserved or rollout.uncompared or not rules.served:
        return 0
    receives_traffic = rollout.phase in (Phase.STEPPING, Phase.PAUSED) or (
        rollout.phase is Phase.AWAITING_APPROVAL and rollout.approval == "before-promotion"
    )
    return rules.weights[rollout.step] if receives_traffic else 0


def weight_in_force(state: RolloutState, rules: RolloutRules) -> int:
    """The candidate's share of the clients' requests in percent; that of its step until the first
    answer of Envoy."""
    return canary_weight(state.rollout, rules) if state.weight is None else state.weight


def candidate_arms(rollout: Rollout, observed: Observation) -> tuple[Arm, ...]:
    """The arms whose requests the candidate answers: the canary, and stable once it has it."""
    if serves(observed, "stable", rollout.candidate.version):
        return ("stable", "canary")
    return ("canary",)


def candidate_weight(state: RolloutState, observed: Observation, split: TrafficSplit) -> int:
    """The candidate's share of the clients' requests under a split, in percent."""
    if state.rollout is None or state.rollout.unserved:
        return 0
    return sum(int(getattr(split, arm)) for arm in candidate_arms(state.rollout, observed))


def desired_loads(state: RolloutState) -> dict[Role, int]:
    """The version that each server must have; servers not listed keep their version."""
    rollout = state.rollout
    if rollout is None:
        if state.experiment is not None and state.experiment.phase in ("preparing", "running"):
            return versions_by_role(state.experiment)
        return {"stable": state.live.version} if state.live is not None else {}
    version, champion = rollout.candidate.version, rollout.champion
    if not champion:
        unapproved = rollout.phase is Phase.AWAITING_APPROVAL  # clients would reach it at once
        return {"stable": version} if state.no_live_version and not unapproved else {}
    if rollout.phase is Phase.PROMOTING and rollout.uncompared:
        return {"stable": version}
    if rollout.phase is Phase.PROMOTING:
        return {"control": champion, "canary": version, "stable": version}
    if rollout.phase is Phase.BAKING:
        return {"stable": version, "control": champion, "canary": version}
    if rollout.phase is Phase.ROLLING_BACK:
        return {"stable": champion, "control": champion}
    return {"stable": champion, "control": champion, "canary": version}


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


def served_anywhere(observed: Observation, version: int) -> bool:
    """Whether one of the servers has this version available."""
    roles: tuple[Role, ...] = ("stable", "control", "canary")
    return any(serves(observed, role, version) for role in roles)


def awaited_reference(state: RolloutState) -> ModelVersion | None:
    """The version whose reference is to be built: of a promotion, or else the live one."""
    rollout = state.rollout
    if rollout is not None and rollout.phase is Phase.PROMOTING:
        return rollout.candidate
    return state.missing_reference
