"""Reads every port into an `Observation`.

What could not be reached is None or empty in it, and a sentence in `problems`; nothing is raised.
"""

from __future__ import annotations

from msgspec.structs import replace

from serving.desired import awaited_reference, serves
from serving.experiment_control import is_busy
from serving.memory_budget import demand
from serving.phase import BEFORE_LIVE, Phase
from serving.ports import (
    ALL_STABLE,
    NO_HISTORY,
    History,
    Observation,
    PublishedReference,
    Role,
    Scrape,
    ServerStatus,
    ServingPorts,
    TrafficSplit,
)
from serving.query_looks import look_at_queries
from serving.state import RolloutState
from streaming.contracts.errors import DriftlineError
from streaming.contracts.records import PairedComparison

MAX_GAP_SECONDS = 600.0
"""Older scrapes are not requested; cumulative counters bridge the gap."""


def observe(ports: ServingPorts, state: RolloutState, *, now: float) -> Observation:
    """Read every port; takes milliseconds when all of them answer."""
    servers = observe_servers(ports, state, now=now)
    problems = [*servers.problems]
    scrapes = _scrapes(ports, state, problems, now)
    looks = look_at_queries(ports, state, problems, now)
    budget = ports.memory
    memory = None if budget is None else budget.ask(state.model, demand(state), now=now)
    reference = _reference(ports, state)
    history = _history(ports, state, problems)
    files = _files(ports, state, problems)
    return replace(
        servers,
        scrapes=scrapes,
        looks=looks,
        reference=reference,
        answers=_answers(ports, state),
        history=history,
        files=files,
        files_version=state.rollout.candidate.version if files and state.rollout else 0,
        memory=memory,
        problems=tuple(problems),
    )


def observe_servers(ports: ServingPorts, state: RolloutState, *, now: float) -> Observation:
    """Read the split, the model servers, and Envoy's view of them: the next split follows."""
    problems: list[str] = []
    split: TrafficSplit | None = None
    try:
        split = ports.router.current_split()
    except DriftlineError as error:
        problems.append(str(error))
    servers = _servers(ports, state, problems)
    observed = Observation(at=now, split=split, servers=servers)
    healthy = None if _at_rest(state, observed) else _healthy(ports, problems)
    return replace(observed, healthy=healthy, problems=tuple(problems))


def _at_rest(state: RolloutState, observed: Observation) -> bool:
    """Whether no route is to change, so that nobody needs Envoy's view of the servers."""
    version = state.live.version if state.live is not None else 0
    settled = observed.split == ALL_STABLE and serves(observed, "stable", version)
    return settled and state.rollout is None and not is_busy(state)


def _healthy(ports: ServingPorts, problems: list[str]) -> tuple[Role, ...] | None:
    try:
        return ports.router.healthy_servers()
    except DriftlineError as error:
        problems.append(str(error))
        return None


def _servers(
    ports: ServingPorts, state: RolloutState, problems: list[str]
) -> tuple[ServerStatus, ...]:
    """The servers that may have to carry traffic: all, unless the stable one does so alone."""
    stable = _server_status(ports, "stable", problems)
    alone = Observation(at=0.0, servers=(stable,))
    if (
        state.rollout is None
        and not is_busy(state)
        and (state.live is None or serves(alone, "stable", state.live.version))
    ):
        canary: tuple[Role, ...] = () if ports.memory is None else ("canary",)
        return (stable, *(_server_status(ports, role, problems) for role in canary))
    others: tuple[Role, ...] = ("control", "canary")
    return (stable, *(_server_status(ports, role, problems) for role in others))


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
    if rollout is not None and rollout.run_since is not None:
        last, began = rollout.counts.last_scrape, rollout.run_since
        if rollout.phase is Phase.PREPARING:
            began = now - MAX_GAP_SECONDS  # how the live version did before tells its variation
    elif (experiment := state.experiment) is not None and experiment.started_at is not None:
        last, began = experiment.last_scrape, experiment.started_at
    else:
        return ()
    since = max(now - MAX_GAP_SECONDS, last.at if last is not None else began)
    try:
        scrapes = ports.metrics.scrapes(since=since, now=now)
        problems += ports.metrics.notices()
        return scrapes
    except DriftlineError as error:
        problems.append(str(error))
        return ()


def _reference(ports: ServingPorts, state: RolloutState) -> PublishedReference | None:
    version = awaited_reference(state)
    return None if version is None else ports.references.published(version)


def _history(ports: ServingPorts, state: RolloutState, problems: list[str]) -> History | None:
    """The newest promotion of the log, read only before a first version goes live."""
    rollout = state.rollout
    needed = rollout is not None and not rollout.champion and not state.no_live_version
    if ports.promotions is None or not needed:
        return NO_HISTORY
    try:
        return History(newest=ports.promotions.newest())
    except DriftlineError as error:
        problems.append(str(error))
        return None


def _files(ports: ServingPorts, state: RolloutState, problems: list[str]) -> str | None:
    """Digest of the candidate's files, read until it is live or given up."""
    rollout = state.rollout
    if ports.files is None or rollout is None or rollout.phase not in BEFORE_LIVE:
        return None
    try:
        return ports.files.digest(rollout.candidate)
    except DriftlineError as error:
        problems.append(str(error))
        return None


def _answers(ports: ServingPorts, state: RolloutState) -> PairedComparison | None:
    rollout = state.rollout
    if rollout is None or rollout.phase is not Phase.COMPARING:
        return None
    return ports.answers.compared(rollout.candidate, rollout.champion)
