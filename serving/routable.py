"""Holds a change of routes back until Envoy itself can use the servers that gain by it.

A model server has a version before Envoy's next health check sees it, about a second later
on a quiet machine. A request that is routed there in between is answered by Envoy: "no
healthy upstream". So a server gains requests only once Envoy holds it healthy, and what is
not known never gains any.

Nothing that takes requests from a candidate waits: the arms have another server to fall back on,
and a version that does harm must leave the traffic at once.
"""

from __future__ import annotations

from serving.desired import candidate_weight, find_server
from serving.ports import ALL_STABLE, Observation, Role, TrafficSplit
from serving.rules import RolloutRules
from serving.state import RolloutState

_ROLES: tuple[Role, ...] = ("stable", "control", "canary")


def next_split(
    desired: TrafficSplit, state: RolloutState, observed: Observation, rules: RolloutRules
) -> TrafficSplit:
    """The desired split, or the one in force while a server that would gain by it is not healthy.

    Parameters
    ----------
    desired:
        The split that the phase requires.
    state:
        Its split stands in for the one in force while Envoy does not answer.
    """
    return in_force(state, observed) if unready(desired, state, observed, rules) else desired


def unready(
    desired: TrafficSplit, state: RolloutState, observed: Observation, rules: RolloutRules
) -> tuple[Role, ...]:
    """The servers that the desired split waits for; empty if it may be set."""
    current = in_force(state, observed)
    if not rules.served or desired == current:
        return ()
    if candidate_weight(state, observed, desired) < candidate_weight(state, observed, current):
        return ()
    return tuple(
        role
        for role in _ROLES
        if _share(desired, role) > _share(current, role) and not _usable(observed, role)
    )


def in_force(state: RolloutState, observed: Observation) -> TrafficSplit:
    """The split that Envoy has, or else the one that it was told last."""
    return observed.split or state.split or ALL_STABLE


def is_healthy(observed: Observation, role: Role) -> bool:
    """Whether Envoy holds the server healthy; False where that is not known."""
    return observed.healthy is not None and role in observed.healthy


def _usable(observed: Observation, role: Role) -> bool:
    """Whether requests that are routed to the server's arm are answered.

    Where the stable server has no version, its arm falls back on the control server, which holds
    the champion. One that has a version is waited for: what falls back counts as its error.
    """
    if role != "stable" or is_healthy(observed, role):
        return is_healthy(observed, role)
    versions = find_server(observed, "stable").versions
    empty = not any(entry.state == "available" for entry in versions)
    return empty and is_healthy(observed, "control")


def _share(split: TrafficSplit, role: Role) -> float:
    """The share of the clients' requests that a server gets, in percent.

    The stable server has all requests without a user in an experiment, and takes over those of an
    arm that ends: it gains nothing by that.
    """
    if split.experiment is None or role == "stable":
        return float(getattr(split, role))
    return sum(arm.share for arm in split.experiment.arms if arm.arm == role) / 100
