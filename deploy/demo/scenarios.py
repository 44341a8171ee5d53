"""The scenarios as data: what each one waits for, does and promises.

A step waits for a condition and then performs its actions. It states how long it waits at most and
whose log explains a timeout. `Scenario.failure` ends a run early when a promise can no longer be
kept; `Scenario.checks` are evaluated at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from deploy.app.suggestion import did_you_mean
from deploy.demo import checks, failures
from deploy.demo.control import TrafficPhase
from deploy.demo.names import SCENARIO_NAMES
from deploy.demo.state import Check, DemoState
from streaming.contracts.errors import NotFoundError
from streaming.contracts.records import Action


@dataclass(frozen=True, slots=True)
class SwitchTraffic:
    """Change the phase of the traffic."""

    phase: TrafficPhase


@dataclass(frozen=True, slots=True)
class StartPredictions:
    """Let the clients send prediction requests."""


@dataclass(frozen=True, slots=True)
class DelayServer:
    """Delay the responses of a model server; 0 ends the delay."""

    role: str
    latency_ms: int


@dataclass(frozen=True, slots=True)
class SendCommand:
    """Send a command in the name of a person."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class AddColumn:
    """Add an unannounced column to every event."""


@dataclass(frozen=True, slots=True)
class AcceptSchemaChange:
    """Accept the open schema proposal."""

    reason: str


@dataclass(frozen=True, slots=True)
class Approve:
    """Approve the open request about a version, in the name of the demonstration."""

    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class ShowDecisionPage:
    """Say where a person decides on the open request about a version."""

    version: int


StepAction = (
    SwitchTraffic
    | StartPredictions
    | DelayServer
    | SendCommand
    | AddColumn
    | AcceptSchemaChange
    | Approve
    | ShowDecisionPage
)


@dataclass(frozen=True, slots=True)
class ScenarioStep:
    """A condition to wait for, and the actions that follow."""

    waits_for: str
    """Completes the sentence "waiting for …"."""
    done: Callable[[DemoState], bool]
    _: KW_ONLY
    seconds: float
    """Longest wait; the run fails after it."""
    log: str
    """Process whose log explains a timeout."""
    actions: tuple[StepAction, ...] = ()
    by_person: bool = False
    """Whether a person has to act; the screen then shows where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One demonstration."""

    name: str
    promise: str
    steps: tuple[ScenarioStep, ...]
    failure: Callable[[DemoState], str]
    """Reason why the run has failed already; empty while it has not."""
    checks: tuple[Callable[[DemoState], Check], ...]


_BOOTSTRAP = (
    ScenarioStep(
        "the first events in Kafka",
        lambda state: state.traffic is not None and state.traffic.history_done,
        seconds=60,
        log="demo-traffic",
    ),
    ScenarioStep(
        "the first judged window",
        lambda state: bool(state.timeline.verdicts),
        seconds=180,
        log="flink-taskmanager",
    ),
    ScenarioStep(
        "the initial retrain request",
        lambda state: bool(state.timeline.requests),
        seconds=120,
        log="daemon",
    ),
    ScenarioStep(
        "version 1",
        lambda state: 1 in state.timeline.versions,
        seconds=360,
        log="worker",
    ),
    ScenarioStep(
        "version 1 to be live",
        lambda state: state.timeline.promotion_of(1) is not None,
        seconds=90,
        log="daemon",
        actions=(StartPredictions(),),
    ),
    ScenarioStep(
        "the first responses to clients",
        lambda state: (
            state.traffic is not None and state.traffic.requests - state.traffic.errors >= 50
        ),
        seconds=60,
        log="envoy",
    ),
)
"""From an empty stack to version 1 that answers clients."""


def _judged_windows(count: int, version: int, *actions: StepAction) -> ScenarioStep:
    return ScenarioStep(
        f"{count} window{'s' * (count > 1)} judged against version {version}'s reference",
        lambda state: len(state.timeline.judged_against(version)) >= count,
        seconds=60 + 15 * count,
        log="flink-taskmanager",
        actions=actions,
    )


def _quality(outcome: str, version: int, count: int, *actions: StepAction) -> ScenarioStep:
    return ScenarioStep(
        f"{outcome} quality of version {version}",
        lambda state: len(state.timeline.quality_of(version, outcome)) >= count,
        seconds=150,
        log="labels",
        actions=actions,
    )


def _retrain_request(seconds: float) -> ScenarioStep:
    return ScenarioStep(
        "the retrain request",
        lambda state: bool(state.timeline.retrains),
        seconds=seconds,
        log="daemon",
    )


def _version_two(*actions: StepAction) -> ScenarioStep:
    return ScenarioStep(
        "version 2",
        lambda state: 2 in state.timeline.versions,
        seconds=420,
        log="worker",
        actions=actions,
    )


def _second_version(seconds: float) -> tuple[ScenarioStep, ...]:
    """From a retrain request within `seconds` to windows judged against version 2."""
    promotion = ScenarioStep(
        "the promotion of version 2",
        lambda state: state.timeline.promotion_of(2) is not None,
        seconds=330,
        log="daemon",
    )
    return _retrain_request(seconds), _version_two(), promotion, _judged_windows(3, 2)


SHIFT = Scenario(
    name="shift",
    promise="A shift leads to one retrain, and version 2 goes live without a client error.",
    steps=(
        *_BOOTSTRAP,
        _judged_windows(3, 1, SwitchTraffic("shifted")),
        ScenarioStep(
            "a drifted window",
            lambda state: any(v.outcome == "drifted" for v in state.timeline.verdicts),
            seconds=120,
            log="flink-taskmanager",
        ),
        *_second_version(180),
    ),
    failure=failures.fails_shift,
    checks=(
        checks.no_alarm_before_shift,
        checks.suspected_then_drifted,
        checks.one_retrain,
        checks.better_on_shift,
        checks.canary_passed,
        checks.promoted,
        checks.no_client_error,
        checks.stable_afterwards,
        checks.every_event_counted,
    ),
)

CONCEPT = Scenario(
    name="concept",
    promise="Inputs are unchanged but the label relationship shifts; late labels reveal concept "
    "drift and one retrain follows.",
    steps=(
        *_BOOTSTRAP,
        _quality("stable", 1, 2, SwitchTraffic("concept_shift")),
        _quality("degraded", 1, 1),
        *_second_version(180),
        _quality("stable", 2, 1),
    ),
    failure=failures.fails_concept,
    checks=(
        checks.no_drift_alarm,
        checks.concept_found,
        checks.one_retrain,
        checks.better_on_shift,
        checks.canary_passed,
        checks.promoted,
        checks.no_client_error,
        checks.stable_afterwards,
        checks.stable_quality_again,
        checks.every_event_counted,
    ),
)

QUIET_WINDOWS = 20
"""Number of windows in `quiet`."""

QUIET = Scenario(
    name="quiet",
    promise=f"{QUIET_WINDOWS} windows of ordinary traffic raise no alarm and no retrain.",
    steps=(*_BOOTSTRAP, _judged_windows(QUIET_WINDOWS, 1)),
    failure=failures.fails_quiet,
    checks=(checks.no_alarm, checks.no_retrain, checks.every_event_counted),
)

SLOW_CANARY = Scenario(
    name="slow-canary",
    promise="A canary that answers 300 ms late is rolled back, and no client receives an error.",
    steps=(
        *_BOOTSTRAP,
        _judged_windows(1, 1),
        ScenarioStep(
            "version 1's rollout to end",
            lambda state: state.timeline.rollout_idle,
            seconds=90,
            log="daemon",
            actions=(SendCommand("retrain", "The demonstration wants a second version."),),
        ),
        _retrain_request(60),
        _version_two(DelayServer("canary", 300)),
        ScenarioStep(
            "a request to the canary",
            lambda state: any(status.weight > 0 for status in state.timeline.rollout_of(2)),
            seconds=120,
            log="daemon",
        ),
        ScenarioStep(
            "the rollback of version 2",
            lambda state: state.timeline.rolled_back_at(2) is not None,
            seconds=330,
            log="daemon",
            actions=(DelayServer("canary", 0),),
        ),
    ),
    failure=failures.fails_slow_canary,
    checks=(
        checks.rolled_back,
        checks.rolled_back_in_time,
        checks.no_client_error,
        checks.every_event_counted,
    ),
)

BROKEN_WINDOWS = 6
"""Number of windows with a broken producer in `broken-schema`."""

BROKEN_SCHEMA = Scenario(
    name="broken-schema",
    promise="A broken producer fills the dead letters, not the training data.",
    steps=(
        *_BOOTSTRAP,
        _judged_windows(3, 1, SwitchTraffic("broken")),
        ScenarioStep(
            f"{BROKEN_WINDOWS} windows of broken traffic",
            lambda state: checks.windows_since(state, state.broken_at) >= BROKEN_WINDOWS,
            seconds=150,
            log="flink-taskmanager",
            actions=(SwitchTraffic("ordinary"),),
        ),
    ),
    failure=failures.fails_broken_schema,
    checks=(
        checks.every_bad_record_explained,
        checks.anomalies_named,
        checks.no_retrain,
        checks.every_event_counted,
    ),
)

NEW_COLUMN = Scenario(
    name="new-column",
    promise="An unannounced column becomes a schema version that stream job and retrain share.",
    steps=(
        *_BOOTSTRAP,
        _judged_windows(3, 1, AddColumn()),
        ScenarioStep(
            "a proposed change of the schema",
            lambda state: state.timeline.open_proposal is not None,
            seconds=120,
            log="daemon",
            actions=(AcceptSchemaChange("The meters report tolls now."),),
        ),
        ScenarioStep(
            "two windows validated against version 2 of the schema",
            lambda state: len(state.timeline.validated_against(2)) >= 2,
            seconds=90,
            log="flink-taskmanager",
            actions=(SendCommand("retrain", "The schema has a new version."),),
        ),
        *_second_version(60),
    ),
    failure=failures.fails_new_column,
    checks=(
        checks.column_named,
        checks.column_accepted,
        checks.same_schema,
        checks.no_drift_alarm,
        checks.one_retrain,
        checks.promoted,
        checks.no_client_error,
        checks.every_event_counted,
    ),
)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (SHIFT, CONCEPT, QUIET, SLOW_CANARY, BROKEN_SCHEMA, NEW_COLUMN)
}


def scenario_named(name: str) -> Scenario:
    """Look a scenario up.

    Raises
    ------
    NotFoundError
        When there is no scenario of that name.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    known = ", ".join(SCENARIO_NAMES)
    hint = did_you_mean(name, SCENARIO_NAMES)
    raise NotFoundError(f"There is no scenario {name!r}; known: {known}.{hint}")
