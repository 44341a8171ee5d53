"""What time, servers, counters and labels make of an experiment: one pure function per phase.

Each phase ends by itself: a scheduled experiment begins or is too late, servers that do not load
and an Envoy that does not confirm end it as error, a running one ends at its time, and the labels
of its latest users are waited for with a limit. Blind guardrails and a silent label service end it
as error, with all users back at the champion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from serving.experiment_rules import ExperimentRules
from serving.experiments.arms import arms_of, user_split
from serving.experiments.endings import Ending
from serving.experiments.guardrails import add_scrapes
from serving.experiments.look import look_at, look_record
from serving.experiments.state import Experiment
from serving.ports import Observation, Role
from streaming.contracts.experiment_records import ExperimentOutcome, ExperimentPhase
from streaming.contracts.records import ExperimentCounts, ExperimentLook, GateResult

SETTLE_SECONDS = 900.0
"""How long the last record of the label service is waited for, after it is due."""

Step = tuple[Experiment, tuple[ExperimentLook, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentInput:
    """What an experiment is advanced with."""

    model: str
    live_version: int
    """The version that is live; 0 for none."""
    loaded: Callable[[Role, int], bool]
    """Whether a server has this version available and no other."""
    observed: Observation
    rules: ExperimentRules
    now: float
    watched: float
    """Seconds since the last call in which the daemon was watching."""
    ways_to_go_live: Mapping[int, str] = field(default_factory=dict)
    """The command that makes a version live, by version, for those that have one."""


def advance(experiment: Experiment, given: ExperimentInput) -> Step:
    """The experiment after the present observation, with the record of a look if one is due."""
    experiment = replace(experiment, phase_seconds=experiment.phase_seconds + given.watched)
    champion = experiment.definition.arms[0].version
    if given.live_version != champion and experiment.phase not in ("settling", "ended"):
        reason = (
            f"Version {given.live_version} is live now, not version {champion} that the "
            "experiment compares with."
        )
        return ended(experiment, "error", reason, given.now), ()
    return _PHASES[experiment.phase](experiment, given)


def ends_at(experiment: Experiment, rules: ExperimentRules, now: float) -> float | None:
    """When the present phase ends by itself, seconds since 1970; None for an ended experiment."""
    definition = experiment.definition
    if experiment.phase == "scheduled":
        return definition.begin if now < definition.begin else definition.end
    if experiment.phase == "preparing":
        return now + max(0.0, rules.prepare_seconds - experiment.phase_seconds)
    if experiment.phase == "running":
        return definition.end
    if experiment.phase == "settling":
        return _settled_at(experiment) + SETTLE_SECONDS
    return None


def add_counts(experiment: Experiment, counts: ExperimentCounts) -> Experiment:
    """Take over the newest counts of the label service.

    Counts that fall mean that the service no longer sees the beginning of the experiment.
    """
    if counts.experiment_id != experiment.experiment_id or experiment.phase == "ended":
        return experiment
    before = experiment.counts
    if before is not None and counts.at <= before.at:
        return experiment
    if len(counts.arms) != len(experiment.definition.arms):
        return experiment
    if before is not None and _users(counts) < _users(before):
        reason = (
            f"The label service counts {_users(counts)} users, after {_users(before)} before: the "
            "topic of the predictions no longer holds the beginning of the experiment."
        )
        return ended(experiment, "error", reason, counts.at)
    return replace(experiment, counts=counts, uncounted_seconds=0.0)


def ended(
    experiment: Experiment,
    outcome: ExperimentOutcome,
    reason: str,
    now: float,
    *,
    winner: int = 0,
) -> Experiment:
    """The experiment at its end; all users go back to the champion."""
    return _enter(
        experiment,
        "ended",
        reason,
        outcome=outcome,
        winner=winner,
        stopped_at=_stopped_at(experiment, now),
    )


def _stopped_at(experiment: Experiment, now: float) -> float | None:
    if experiment.started_at is None:
        return None
    return now if experiment.stopped_at is None else experiment.stopped_at


def _enter(
    experiment: Experiment, phase: ExperimentPhase, reason: str, **changes: object
) -> Experiment:
    return replace(experiment, phase=phase, phase_seconds=0.0, reason=reason, **changes)


def _users(counts: ExperimentCounts) -> int:
    return sum(arm.users for arm in counts.arms)


def _scheduled(experiment: Experiment, given: ExperimentInput) -> Step:
    definition = experiment.definition
    if given.now >= definition.end:
        reason = "Its time had passed before it could begin."
        return ended(experiment, "error", reason, given.now), ()
    if given.now >= definition.begin:
        return _enter(experiment, "preparing", "The servers load the versions of the arms."), ()
    return experiment, ()


def _prepare(experiment: Experiment, given: ExperimentInput) -> Step:
    missing = [
        f"version {arm.version} on the {where} server"
        for where, arm in arms_of(experiment)
        if not given.loaded(_role(where), arm.version)
    ]
    if not missing:
        reason = "Users meet their arms as soon as Envoy confirms the routes."
        return _enter(experiment, "running", reason), ()
    if experiment.phase_seconds >= given.rules.prepare_seconds:
        reason = (
            f"After {experiment.phase_seconds:.0f} s these were not loaded: {', '.join(missing)}. "
            "See the model servers' logs."
        )
        return ended(experiment, "error", reason, given.now), ()
    return experiment, ()


def _role(where: str) -> Role:
    roles: dict[str, Role] = {"stable": "stable", "canary": "canary", "control": "control"}
    return roles[where]


def _run(experiment: Experiment, given: ExperimentInput) -> Step:
    rules, now = given.rules, given.now
    if experiment.started_at is None:
        return _start(experiment, given)
    experiment = replace(
        experiment,
        silent_seconds=experiment.silent_seconds + given.watched,
        uncounted_seconds=experiment.uncounted_seconds + given.watched,
    )
    experiment = add_scrapes(experiment, given.observed.scrapes, rules)
    blind = _blind(experiment, rules)
    if blind:
        return ended(experiment, "error", blind, now), ()
    counts, dropped = experiment.counts, experiment.dropped
    experiment, end, gates = look_at(experiment, rules, final=False)
    if end is not None:
        return _finish(experiment, end, gates, given)
    if _time_is_over(experiment, now):
        wait = experiment.definition.user_seconds + experiment.definition.label_seconds
        reason = f"Its time is over; the labels of the latest users come within {wait:.0f} s."
        return _enter(experiment, "settling", reason, stopped_at=now), ()
    new = experiment.dropped != dropped
    if new:
        taken = ", ".join(name for name in experiment.dropped if name not in dropped)
        experiment = replace(experiment, reason=f"{taken} was taken out. {_progress(experiment)}")
    counted = counts is not None and counts.at > experiment.looked_at
    if new or counted or now - experiment.looked_at >= rules.look_seconds:
        reason = _progress(experiment)
        look = look_record(experiment, gates, model=given.model, reason=reason, now=now)
        return replace(experiment, looked_at=now), (look,)
    return experiment, ()


def _time_is_over(experiment: Experiment, now: float) -> bool:
    """Whether users have met their arms long enough, also by a clock that went back."""
    definition = experiment.definition
    length = definition.end - definition.begin
    return now >= definition.end or experiment.phase_seconds >= length


def _start(experiment: Experiment, given: ExperimentInput) -> Step:
    """Wait for Envoy's confirmation."""
    if given.observed.split == user_split(experiment):
        reason = "Users meet their arms."
        return replace(experiment, started_at=given.now, reason=reason), ()
    if experiment.phase_seconds >= given.rules.prepare_seconds:
        reason = f"Envoy did not confirm the routes within {experiment.phase_seconds:.0f} s."
        return ended(experiment, "error", reason, given.now), ()
    return experiment, ()


def _progress(experiment: Experiment) -> str:
    if not experiment.effects:
        return "No counts of the label service yet."
    return " ".join(effect.reason for effect in experiment.effects)


def _blind(experiment: Experiment, rules: ExperimentRules) -> str:
    """Why the experiment cannot be watched; empty if it can."""
    if experiment.silent_seconds >= rules.silent_seconds:
        return (
            f"Envoy's counters have not come for {experiment.silent_seconds:.0f} s, so the "
            "guardrails are blind. Is Prometheus up?"
        )
    if experiment.uncounted_seconds >= rules.uncounted_seconds:
        return (
            f"The label service has counted nothing for {experiment.uncounted_seconds:.0f} s. Is "
            "it up, and does the model have a predictions topic?"
        )
    return ""


def _settled_at(experiment: Experiment) -> float:
    definition = experiment.definition
    stopped = definition.end if experiment.stopped_at is None else experiment.stopped_at
    return stopped + definition.user_seconds + definition.label_seconds


def _settle(experiment: Experiment, given: ExperimentInput) -> Step:
    """Wait for the labels of the latest users, then look for the last time."""
    due = _settled_at(experiment)
    counts = experiment.counts
    complete = counts is not None and counts.at >= due and not counts.waiting
    waited = experiment.phase_seconds - experiment.definition.user_seconds
    waited -= experiment.definition.label_seconds
    late = given.now >= due + SETTLE_SECONDS or waited >= SETTLE_SECONDS
    if not complete and not late:
        return experiment, ()
    experiment, end, gates = look_at(experiment, given.rules, final=True)
    assert end is not None  # a final look decides
    return _finish(experiment, end, gates, given)


def _finish(
    experiment: Experiment, end: Ending, gates: tuple[GateResult, ...], given: ExperimentInput
) -> Step:
    reason = end.reason
    if end.winner:
        command = given.ways_to_go_live.get(end.winner)
        way = (
            f"`{command}` makes it so."
            if command
            else "it has to be published again, because its rollout is long over."
        )
        reason = f"{reason} It is not live by that: {way}"
    experiment = ended(experiment, end.outcome, reason, given.now, winner=end.winner)
    look = look_record(experiment, gates, model=given.model, reason=reason, now=given.now)
    return experiment, (look,)


def _keep(experiment: Experiment, given: ExperimentInput) -> Step:
    return experiment, ()


_PHASES: dict[ExperimentPhase, Callable[[Experiment, ExperimentInput], Step]] = {
    "scheduled": _scheduled,
    "preparing": _prepare,
    "running": _run,
    "settling": _settle,
    "ended": _keep,
}
