"""The scenarios: what each does, what it waits for, and what it promises.

A scenario is data. Each step says in words what it waits for, how long at most, and whose log to
read when it does not come; `act` then changes the world. `breaks` ends a run at once when a promise
can no longer be kept; `checks` are judged at the end, over everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploy.demo import checks
from deploy.demo.checks import Check
from deploy.demo.control import Phase
from deploy.demo.view import View
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import Action


@dataclass(frozen=True, slots=True)
class Switch:
    """Change the traffic."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Predict:
    """Let the clients ask."""


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Let a model server answer late."""

    role: str
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a command, as a person would."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class AddColumn:
    """Let events carry a column that nobody has announced."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Accept the schema change that is proposed, as an engineer would."""

    reason: str


Act = Switch | Predict | SlowDown | Ask | AddColumn | Accept


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Wait for something, then do something."""

    waits_for: str
    """Completes "waits for …"."""
    done: Callable[[View], bool]
    seconds: float
    """At most so long."""
    log: str
    """The process whose log tells why it does not come."""
    then: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One demonstration."""

    name: str
    promise: str
    steps: tuple[Step, ...]
    breaks: Callable[[View], str]
    """Why the run has failed already; empty while it has not."""
    checks: tuple[Callable[[View], Check], ...]


_BIRTH = (
    Step(
        waits_for="the first events in Kafka",
        done=lambda view: view.traffic is not None and view.traffic.history_done,
        seconds=60,
        log="demo-traffic",
    ),
    Step(
        waits_for="the first judged window",
        done=lambda view: bool(view.story.verdicts),
        seconds=180,
        log="flink-taskmanager",
    ),
    Step(
        waits_for="the initial retrain request",
        done=lambda view: bool(view.story.requests),
        seconds=120,
        log="daemon",
    ),
    Step(
        waits_for="version 1",
        done=lambda view: 1 in view.story.versions,
        seconds=360,
        log="worker",
    ),
    Step(
        waits_for="version 1 to be live",
        done=lambda view: view.story.promotion_of(1) is not None,
        seconds=90,
        log="daemon",
        then=(Predict(),),
    ),
    Step(
        waits_for="the first answers to clients",
        done=lambda view: (
            view.traffic is not None and view.traffic.requests - view.traffic.errors >= 50
        ),
        seconds=60,
        log="envoy",
    ),
)


def _judged(count: int, version: int) -> Step:
    return Step(
        waits_for=f"{count} windows judged against version {version}'s reference",
        done=lambda view: len(view.story.against(version)) >= count,
        seconds=60 + 15 * count,
        log="flink-taskmanager",
    )


def _with(step: Step, *then: Act) -> Step:
    return Step(
        waits_for=step.waits_for, done=step.done, seconds=step.seconds, log=step.log, then=then
    )


def _request(seconds: float) -> Step:
    return Step(
        waits_for="the retrain request",
        done=lambda view: bool(view.story.retrains),
        seconds=seconds,
        log="daemon",
    )


def _version_two(*then: Act) -> Step:
    return Step(
        waits_for="version 2",
        done=lambda view: 2 in view.story.versions,
        seconds=420,
        log="worker",
        then=then,
    )


def _promotion() -> Step:
    return Step(
        waits_for="the promotion of version 2",
        done=lambda view: view.story.promotion_of(2) is not None,
        seconds=330,
        log="daemon",
    )


def _second_version(seconds: float) -> tuple[Step, ...]:
    """From a retrain that is asked for within `seconds` to windows judged against its version."""
    return _request(seconds), _version_two(), _promotion(), _judged(3, 2)


SHIFT = Scenario(
    name="shift",
    promise="A shift leads to one retrain, and version 2 goes live without a client noticing.",
    steps=(
        *_BIRTH,
        _with(_judged(3, 1), Switch("shifted")),
        Step(
            waits_for="a drifted window",
            done=lambda view: any(v.outcome == "drifted" for v in view.story.verdicts),
            seconds=120,
            log="flink-taskmanager",
        ),
        *_second_version(180),
    ),
    breaks=checks.broken_loop,
    checks=(
        checks.no_alarm_before_shift,
        checks.suspected_then_drifted,
        checks.one_retrain,
        checks.better_on_shift,
        checks.canary_passed,
        checks.promoted,
        checks.no_client_error,
        checks.stable_afterwards,
        checks.accounted,
    ),
)

CONCEPT = Scenario(
    name="concept",
    promise="The trips stand still, tips change their meaning: labels tell, one retrain follows.",
    steps=(
        *_BIRTH,
        Step(
            waits_for="stable quality of version 1",
            done=lambda view: len(view.story.judged(1, "stable")) >= 2,
            seconds=150,
            log="labels",
            then=(Switch("turned"),),
        ),
        Step(
            waits_for="degraded quality",
            done=lambda view: bool(view.story.judged(1, "degraded")),
            seconds=150,
            log="labels",
        ),
        *_second_version(180),
        Step(
            waits_for="stable quality of version 2",
            done=lambda view: bool(view.story.judged(2, "stable")),
            seconds=150,
            log="labels",
        ),
    ),
    breaks=checks.broken_concept,
    checks=(
        checks.no_drift_alarm,
        checks.concept_found,
        checks.one_retrain,
        checks.better_on_shift,
        checks.canary_passed,
        checks.promoted,
        checks.no_client_error,
        checks.stable_afterwards,
        checks.good_again,
        checks.accounted,
    ),
)

QUIET_WINDOWS = 20

QUIET = Scenario(
    name="quiet",
    promise=f"{QUIET_WINDOWS} windows of ordinary traffic raise no alarm and no retrain.",
    steps=(*_BIRTH, _judged(QUIET_WINDOWS, 1)),
    breaks=checks.broken_peace,
    checks=(checks.no_alarm, checks.no_retrain, checks.accounted),
)

SLOW_CANARY = Scenario(
    name="slow-canary",
    promise="A canary that answers 300 ms late is rolled back and no client sees an error.",
    steps=(
        *_BIRTH,
        _judged(1, 1),
        Step(
            waits_for="version 1 to have settled",
            done=lambda view: view.story.settled,
            seconds=90,
            log="daemon",
            then=(Ask("retrain", "The demonstration wants a second version."),),
        ),
        _request(60),
        _version_two(SlowDown("canary", 300)),
        Step(
            waits_for="a request to the canary",
            done=lambda view: any(status.weight > 0 for status in view.story.rollout_of(2)),
            seconds=120,
            log="daemon",
        ),
        Step(
            waits_for="the rollback of version 2",
            done=lambda view: view.story.rolled_back(2) is not None,
            seconds=330,
            log="daemon",
            then=(SlowDown("canary", 0),),
        ),
    ),
    breaks=checks.broken_rollback,
    checks=(
        checks.rolled_back,
        checks.back_in_time,
        checks.no_client_error,
        checks.accounted,
    ),
)

BROKEN_WINDOWS = 6

BROKEN_SCHEMA = Scenario(
    name="broken-schema",
    promise="A careless producer fills the dead letters, not the training data.",
    steps=(
        *_BIRTH,
        _with(_judged(3, 1), Switch("broken")),
        Step(
            waits_for=f"{BROKEN_WINDOWS} windows of broken traffic",
            done=lambda view: checks.windows_since(view, view.broken_at) >= BROKEN_WINDOWS,
            seconds=150,
            log="flink-taskmanager",
            then=(Switch("ordinary"),),
        ),
    ),
    breaks=checks.broken_schema_trained,
    checks=(
        checks.every_bad_record_explained,
        checks.anomalies_seen,
        checks.no_retrain,
        checks.accounted,
    ),
)

NEW_COLUMN = Scenario(
    name="new-column",
    promise="A column that nobody announced becomes a schema version of job and retrain alike.",
    steps=(
        *_BIRTH,
        _with(_judged(3, 1), AddColumn()),
        Step(
            waits_for="a proposed change of the schema",
            done=lambda view: view.story.offer is not None,
            seconds=120,
            log="daemon",
            then=(Accept("The meters report tolls now."),),
        ),
        Step(
            waits_for="two windows held against version 2 of the schema",
            done=lambda view: len(view.story.held_against(2)) >= 2,
            seconds=90,
            log="flink-taskmanager",
            then=(Ask("retrain", "The schema has a new version."),),
        ),
        *_second_version(60),
    ),
    breaks=checks.broken_column,
    checks=(
        checks.column_named,
        checks.column_accepted,
        checks.same_schema,
        checks.no_drift_alarm,
        checks.one_retrain,
        checks.promoted,
        checks.no_client_error,
        checks.accounted,
    ),
)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (SHIFT, CONCEPT, QUIET, SLOW_CANARY, BROKEN_SCHEMA, NEW_COLUMN)
}


def scenario_named(name: str) -> Scenario:
    """The scenario.

    Raises
    ------
    NotFoundError
        When there is none of that name.
    """
    if name not in SCENARIOS:
        raise NotFoundError(f"There is no scenario {name!r}; known: {', '.join(SCENARIOS)}.")
    return SCENARIOS[name]
