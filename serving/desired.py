"""The desired state of the outside in each phase, and the actions that lead to it.

Level-triggered: nothing here depends on how the state was reached or on earlier actions. A restart
of any process during a rollout is reconciled like any other difference.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.experiments.arms import user_split, versions_by_role
from serving.memory_budget import awaits_memory
from serving.phase import Phase
from serving.ports import (
    ALL_STABLE,
    Action,
    Arm,
    CompareAnswers,
    LoadVersion,
    Observation,
    PublishReference,
    ReplaceServer,
    Role,
    ServerStatus,
    SetTrafficSplit,
    TrafficSplit,
    UnloadVersions,
)
from serving.rules import RolloutRules
from serving.state import LoadRequest, Rollout, RolloutState
from streaming.contracts.records import ModelVersion

CHANGE_OVER_WEIGHT = 50
"""Weight of canary and control while the stable server changes over: all traffic, compared."""

RETRY_LOAD_SECONDS = 3.0
"""A load that shows no effect is requested again after this long."""


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
        return _equal_arms(weight)
    if rollout.phase is Phase.PROMOTING and rollout.champion and not rollout.unserved:
        return _changing_over(rollout, observed, rules)
    if rollout.phase is Phase.BAKING:
        return _baking(rollout, observed, rules)
    return _carried(observed, rollout.champion)


def _equal_arms(weight: int) -> TrafficSplit:
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
        return _equal_arms(CHANGE_OVER_WEIGHT)
    if canary and not serves(observed, "stable", rollout.champion):
        return TrafficSplit(stable=0, canary=100)
    return _carried(observed, rollout.champion)


def _baking(rollout: Rollout, observed: Observation, rules: RolloutRules) -> TrafficSplit:
    """The split of a version that is live: small equal arms are compared, while both exist."""
    version = rollout.candidate.version
    if comparable(rollout, observed) and serves(observed, "stable", version) and rules.served:
        return _equal_arms(rules.bake_weight)
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


def reconcile(
    state: RolloutState, observed: Observation, rules: RolloutRules, now: float
) -> tuple[RolloutState, tuple[Action, ...]]:
    """The actions that lead from the observed to the desired state: routes, loads, reference."""
    actions: list[Action] = []
    split = desired_split(state, observed, rules)
    if observed.split != split:
        actions.append(SetTrafficSplit(split=split))
    if observed.split is not None:  # else the weight in force is not known; the latest one stays
        in_force = split if split != state.split else observed.split
        state = replace(state, weight=candidate_weight(state, observed, in_force))
    earlier = {(request.role, request.version): request for request in state.load_requests}
    load_requests: list[LoadRequest] = []
    for role, version in desired_loads(state).items():
        request = earlier.get((role, version))
        server = find_server(observed, role)
        deferred = _load_deferred(state, observed, role, rules)
        if _due(request, now) and _needs_load(server, version) and not deferred:
            actions.append(LoadVersion(role=role, version=version))
            first_at = now if request is None else request.first_at
            request = LoadRequest(role=role, version=version, first_at=first_at, last_at=now)
        if request is not None:
            load_requests.append(request)
    if rules.memory_limited and state.rollout is None and _holds_any(observed, "canary"):
        actions.append(UnloadVersions(role="canary"))
    if replaces_control(state, observed):
        actions.append(ReplaceServer(role="control"))
    awaited = awaited_reference(state)
    if awaited is not None and not _has_reference(observed, awaited):
        actions.append(PublishReference(version=awaited))
    rollout = state.rollout
    if rollout is not None and rollout.phase is Phase.COMPARING and not _compared(observed):
        actions.append(CompareAnswers(version=rollout.candidate, champion=rollout.champion))
    state = replace(state, load_requests=tuple(load_requests), split=split)
    return state, tuple(actions)


def _due(request: LoadRequest | None, now: float) -> bool:
    """Whether to ask for a load, again or at first; a clock that went back asks again too."""
    return request is None or not 0.0 <= now - request.last_at < RETRY_LOAD_SECONDS


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


def replaces_control(state: RolloutState, observed: Observation) -> bool:
    """Whether a sick control is to be replaced now: once Envoy confirms that it gets no request."""
    rollout = state.rollout
    if rollout is None or rollout.phase is not Phase.REPLACING or rollout.control_ended:
        return False
    alone = observed.split == ALL_STABLE and serves(observed, "stable", rollout.champion)
    return alone and find_server(observed, "control").reachable


def served_anywhere(observed: Observation, version: int) -> bool:
    """Whether one of the servers has this version available."""
    roles: tuple[Role, ...] = ("stable", "control", "canary")
    return any(serves(observed, role, version) for role in roles)


def _holds_any(observed: Observation, role: Role) -> bool:
    """Whether a server has a version that takes memory."""
    return any(entry.state != "ended" for entry in find_server(observed, role).versions)


def _load_deferred(
    state: RolloutState, observed: Observation, role: Role, rules: RolloutRules
) -> bool:
    """Whether a load must wait.

    The canary's load time is judged, so the control's load must not compete; where the control
    never gets its version, the canary loads after half of the time limit. It never takes up the
    candidate while it carries traffic in place of a stable server that is away. The stable server
    changes over only when Envoy has confirmed that its requests go to the compared arms, unless a
    person has said that it need not be compared.
    """
    rollout = state.rollout
    if awaits_memory(rollout, rules):
        return True
    if _met_by_users(state, observed):
        return role != "stable"
    if rollout is None and state.experiment is not None:
        return role != "stable" and _in_use(observed, role)
    if rollout is None or not rollout.champion:
        return False
    if (role, rollout.phase) == ("control", Phase.ROLLING_BACK) and rules.memory_limited:
        return not rollout.memory_granted  # it was given up before it had any
    carrying = observed.split is None or observed.split.canary > 0
    if role == "canary" and carrying and serves(observed, "canary", rollout.champion):
        return True
    if (role, rollout.phase) == ("control", Phase.PREPARING):
        return observed.split is None  # users of an experiment that has ended may still meet it
    if (role, rollout.phase) == ("canary", Phase.PREPARING):
        in_time = rollout.phase_seconds < rules.prepare_seconds / 2
        return carrying or (in_time and not serves(observed, "control", rollout.champion))
    if (role, rollout.phase) == ("stable", Phase.PROMOTING) and rules.served:
        ungated = rollout.unserved or rollout.uncompared or bool(rollout.forced)
        answering = serves(observed, "stable", rollout.champion) and not ungated
        return answering and observed.split != _equal_arms(CHANGE_OVER_WEIGHT)
    return False


def _met_by_users(state: RolloutState, observed: Observation) -> bool:
    """Whether Envoy still has an experiment in force that is over: its arms keep their versions."""
    split, experiment = observed.split, state.experiment
    if split is None or split.experiment is None:
        return False
    if experiment is None or experiment.phase != "running":
        return True
    return split.experiment.salt != experiment.experiment_id


def _in_use(observed: Observation, role: Role) -> bool:
    """Whether the server has clients' requests that no experiment gives it: then it keeps its
    version. Where Envoy does not answer, it may have."""
    split = observed.split
    return split is None or (split.experiment is None and int(getattr(split, role)) > 0)


def _needs_load(server: ServerStatus, version: int) -> bool:
    if not server.reachable:
        return False
    states = {status.version: status.state for status in server.versions}
    if states.get(version) == "loading":
        return False
    available = {number for number, state in states.items() if state == "available"}
    return available != {version}


def awaited_reference(state: RolloutState) -> ModelVersion | None:
    """The version whose reference is to be built: of a promotion, or else the live one."""
    rollout = state.rollout
    if rollout is not None and rollout.phase is Phase.PROMOTING:
        return rollout.candidate
    return state.missing_reference


def _has_reference(observed: Observation, version: ModelVersion) -> bool:
    return observed.reference is not None and observed.reference.version == version.version


def _compared(observed: Observation) -> bool:
    """Whether the comparison of answers has decided; one that could not is repeated."""
    return observed.answers is not None and observed.answers.outcome in ("pass", "fail")
