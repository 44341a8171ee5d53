"""Looks at the users' queries that are due, for canary and control; a part of `observe`."""

from __future__ import annotations

from serving.evidence.queries import QueryLook, due
from serving.evidence.rules import QueryGate
from serving.phase import Phase
from serving.ports import GateQueries, ServingPorts
from serving.state import Rollout, RolloutState
from streaming.contracts.errors import DriftlineError, TemporaryError

_CLIENT_PHASES = (Phase.STEPPING, Phase.PAUSED, Phase.AWAITING_APPROVAL)
"""Phases in which clients may reach canary and control."""


def look_at_queries(
    ports: ServingPorts, state: RolloutState, problems: list[str], now: float
) -> tuple[QueryLook, ...]:
    """The looks that are due; what went wrong is added to `problems`.

    The first look comes one interval after the weight was confirmed, so that ranges of that length
    cover this weight only. Once the metrics store does not answer, the other gates of this tick do
    not wait for it again.
    """
    rollout = state.rollout
    if ports.queries is None or rollout is None or rollout.run_since is None:
        return ()
    rules = ports.queries.rules
    if rollout.phase not in _CLIENT_PHASES or now - rollout.run_since < rules.look_seconds:
        return ()
    looks: list[QueryLook] = []
    down = ""
    for gate in rules.queries:
        if not due(rollout.evidence.queries, gate.name, now=now, rules=rules):
            continue
        if down:
            looks.append(_refused(gate, down, now))
            continue
        try:
            looks.append(_look(ports.queries, gate, state.model, rollout, now))
        except DriftlineError as error:
            looks.append(_refused(gate, str(error), now))
            problems.append(f"Gate {gate.name}: {error}")
            down = str(error) if isinstance(error, TemporaryError) else ""
    return tuple(looks)


def _look(
    queries: GateQueries, gate: QueryGate, model: str, rollout: Rollout, now: float
) -> QueryLook:
    canary = gate.rendered(arm="canary", model=model, version=rollout.candidate.version)
    control = gate.rendered(arm="control", model=model, version=rollout.champion)
    return QueryLook(
        gate=gate.name,
        at=now,
        canary=queries.value(canary, now=now),
        control=queries.value(control, now=now),
    )


def _refused(gate: QueryGate, problem: str, now: float) -> QueryLook:
    return QueryLook(
        gate=gate.name, at=now, canary=None, control=None, problem=problem, refused=True
    )
