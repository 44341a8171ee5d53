"""The actions that lead from the observed to the desired state: routes, loads, reference.

Level-triggered: a restart of any process during a rollout is reconciled like any other difference.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.desired import (
    CHANGE_OVER_WEIGHT,
    awaited_reference,
    candidate_weight,
    desired_loads,
    desired_split,
    equal_arms,
    find_server,
    serves,
)
from serving.memory_budget import awaits_memory
from serving.phase import Phase
from serving.ports import (
    ALL_STABLE,
    Action,
    CompareAnswers,
    LoadVersion,
    Observation,
    PublishReference,
    ReplaceServer,
    Role,
    ServerStatus,
    SetTrafficSplit,
    UnloadVersions,
)
from serving.routable import next_split
from serving.rules import RolloutRules
from serving.state import LoadRequest, RolloutState
from streaming.contracts.records import ModelVersion

RETRY_LOAD_SECONDS = 3.0
"""A load that shows no effect is requested again after this long."""


def reconcile(
    state: RolloutState, observed: Observation, rules: RolloutRules, now: float
) -> tuple[RolloutState, tuple[Action, ...]]:
    """The actions that lead from the observed to the desired state: routes, loads, reference."""
    actions: list[Action] = []
    split = next_split(desired_split(state, observed, rules), state, observed, rules)
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


def replaces_control(state: RolloutState, observed: Observation) -> bool:
    """Whether a sick control is to be replaced now: once Envoy confirms that it gets no request."""
    rollout = state.rollout
    if rollout is None or rollout.phase is not Phase.REPLACING or rollout.control_ended:
        return False
    alone = observed.split == ALL_STABLE and serves(observed, "stable", rollout.champion)
    return alone and find_server(observed, "control").reachable


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
        return answering and observed.split != equal_arms(CHANGE_OVER_WEIGHT)
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


def _has_reference(observed: Observation, version: ModelVersion) -> bool:
    return observed.reference is not None and observed.reference.version == version.version


def _compared(observed: Observation) -> bool:
    """Whether the comparison of answers has decided; one that could not is repeated."""
    return observed.answers is not None and observed.answers.outcome in ("pass", "fail")
