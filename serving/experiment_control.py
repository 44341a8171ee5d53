"""The experiment within the state of a model's rollouts: commands, ticks, and who goes first.

An experiment and a rollout use the same servers and routes, so there is one at a time. An
experiment is refused while a version is rolled out; a version that comes while users meet the arms
is queued; a rollback ends the experiment at once. While only labels are waited for, a rollout may
begin. A winner goes live by a rollout that a person starts.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from serving.desired import serves
from serving.experiments.checks import refusal
from serving.experiments.phases import ExperimentInput, add_counts, advance, ended, ends_at
from serving.experiments.state import Experiment
from serving.ports import Observation
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.codec import with_text_id
from streaming.contracts.experiment_records import ExperimentPhase
from streaming.contracts.ids import record_id
from streaming.contracts.records import (
    Command,
    ExperimentCounts,
    ExperimentDefinition,
    ExperimentStatus,
    Record,
)

Outcome = tuple[RolloutState, bool, str]
"""State after the command, whether it was accepted, and the reason."""


def is_busy(state: RolloutState) -> bool:
    """Whether an experiment uses the servers, so that no rollout begins."""
    experiment = state.experiment
    return experiment is not None and experiment.phase in ("preparing", "running")


def experiment_phase(
    state: RolloutState, rules: RolloutRules, now: float
) -> tuple[ExperimentPhase, float | None, bool]:
    """Phase of the experiment, when it ends by itself, and whether a version waits for it."""
    experiment = state.experiment
    if experiment is None:
        return "ended", None, False
    waits = is_busy(state) and state.queued_version is not None
    return experiment.phase, ends_at(experiment, rules.experiments, now), waits


def waits_for_end(state: RolloutState) -> str:
    """Why a rollout cannot begin while an experiment is in progress."""
    assert state.experiment is not None
    return (
        f"experiment {state.experiment.experiment_id} is {state.experiment.phase}; stop it first: "
        f"`driftline experiment stop {state.model}`."
    )


def start_experiment(
    state: RolloutState, command: Command, *, rules: RolloutRules, now: float
) -> Outcome:
    """Start or schedule an experiment, unless something else goes first."""
    definition = command.experiment
    if definition is None:
        return state, False, "The command says no experiment."
    if state.experiment is not None:  # one that has ended still has to be written
        known = state.experiment
        return state, False, f"Conflict: experiment {known.experiment_id} is {known.phase}."
    refused = _refused(state, definition, command, rules, now)
    if refused:
        return state, False, refused
    begins = definition.begin > now
    reason = f"{command.who} started it: {command.reason}"
    experiment = Experiment(
        definition=definition,
        phase="scheduled" if begins else "preparing",
        reason=reason,
        caused_by=(command.record_id,),
    )
    return replace(state, experiment=experiment, load_requests=()), True, reason


def _refused(
    state: RolloutState,
    definition: ExperimentDefinition,
    command: Command,
    rules: RolloutRules,
    now: float,
) -> str:
    if not rules.served:
        return "This deployment does not serve the model, so users cannot meet its versions."
    if state.rollout is not None:
        return (
            f"Conflict: version {state.rollout.candidate.version} is being rolled out; an "
            "experiment can start when that has ended."
        )
    if state.live is None:
        return "No version is live, so there is no champion to compare with."
    reason = refusal(
        definition,
        model=state.model,
        live_version=state.live.version,
        rules=rules.experiments,
        now=now,
    )
    if reason:
        return reason
    versions = [arm.version for arm in definition.arms]
    for rejection in state.rejections:
        candidate = rejection.candidate
        if candidate.version not in versions:
            continue
        digests = [arm.digest for arm in definition.arms if arm.version == candidate.version]
        if digests[0] and digests[0] != candidate.artifact.digest:
            return f"Conflict: the artifact of version {candidate.version} is another one."
        if rejection.cause == "fail" and not command.force:
            return (
                f"Conflict: version {candidate.version} failed its rollout: {rejection.reason} "
                "Give --force and a --reason to let users meet it all the same."
            )
    if command.force and not command.reason.strip():
        return "A forced start needs a reason."
    return ""


def stop_experiment(state: RolloutState, command: Command, *, now: float) -> Outcome:
    """End the experiment; all users go back to the champion at once."""
    experiment = state.experiment
    if experiment is None or experiment.phase == "ended":
        return state, False, f"{state.model} has no experiment that could be stopped."
    if command.subject and command.subject != experiment.experiment_id:
        return (
            state,
            False,
            f"Conflict: experiment {experiment.experiment_id} is {experiment.phase}, not "
            f"{command.subject}.",
        )
    reason = f"{command.who} stopped it: {command.reason}"
    after = ended(experiment, "stopped", reason, now)
    after = replace(after, caused_by=(*after.caused_by, command.record_id))
    return replace(state, experiment=after), True, reason


def end_for_rollback(state: RolloutState, reason: str, now: float) -> RolloutState:
    """The state with its experiment ended, because its champion is taken back."""
    if state.experiment is None or state.experiment.phase in ("settling", "ended"):
        return state
    return replace(state, experiment=ended(state.experiment, "stopped", reason, now))


def count_users(state: RolloutState, counts: ExperimentCounts) -> RolloutState:
    """Take over counts of the label service."""
    if state.experiment is None:
        return state
    return replace(state, experiment=add_counts(state.experiment, counts))


def advance_experiment(
    state: RolloutState,
    observed: Observation,
    *,
    rules: RolloutRules,
    now: float,
    watched: float,
) -> tuple[RolloutState, list[Record]]:
    """Advance the experiment; its records are a look, and its status if that has changed."""
    experiment = state.experiment
    if experiment is None:
        return state, []
    in_time = now < experiment.definition.end
    if state.rollout is not None and experiment.phase == "scheduled" and in_time:
        return _with_status(state, rules, now)  # it waits for the rollout
    given = ExperimentInput(
        model=state.model,
        live_version=state.live.version if state.live is not None else 0,
        loaded=lambda role, version: serves(observed, role, version),
        observed=observed,
        rules=rules.experiments,
        now=now,
        watched=watched,
        ways_to_go_live=_ways_to_go_live(state),
    )
    experiment, looks = advance(experiment, given)
    state, statuses = _with_status(replace(state, experiment=experiment), rules, now)
    return state, [*looks, *statuses]


def _ways_to_go_live(state: RolloutState) -> dict[int, str]:
    """The command that makes a version live: a rollout with all gates, or the way back."""
    ways = {
        entry.candidate.version: f"driftline rollout retry {state.model} {entry.candidate.version}"
        for entry in state.rejections
    }
    if state.previous is not None and state.live_candidate is not None:
        ways[state.previous.version] = f"driftline rollout rollback {state.model}"
    return ways


def _with_status(
    state: RolloutState, rules: RolloutRules, now: float
) -> tuple[RolloutState, list[Record]]:
    """The status record of the experiment if its content has changed; an ended one is let go."""
    experiment = state.experiment
    assert experiment is not None
    content = (
        experiment.experiment_id,
        experiment.phase,
        experiment.outcome,
        experiment.dropped,
        experiment.started_at,
        experiment.reason,
    )
    key = record_id("experiment-status", state.model, *content)
    records: list[Record] = []
    if key != state.experiment_key:
        records.append(status_record(experiment, rules, model=state.model, now=now))
        state = replace(state, experiment_key=key)
    if experiment.phase == "ended":
        state = _with_retryable_winner(replace(state, experiment=None), experiment)
    return state, records


def _with_retryable_winner(state: RolloutState, experiment: Experiment) -> RolloutState:
    """Let the winner be rolled out again without force: what it was given up for is outdated."""
    won = f"It won experiment {experiment.experiment_id}."
    return replace(
        state,
        rejections=tuple(
            replace(entry, cause="superseded", reason=f"{won} {entry.reason}")
            if experiment.winner and entry.candidate.version == experiment.winner
            and entry.cause == "person"
            else entry
            for entry in state.rejections
        ),
    )  # fmt: skip


def status_record(
    experiment: Experiment, rules: RolloutRules, *, model: str, now: float
) -> ExperimentStatus:
    """The status of an experiment."""
    record = ExperimentStatus(
        record_id="",
        model=model,
        at=now,
        caused_by=experiment.caused_by,
        definition=experiment.definition,
        phase=experiment.phase,
        outcome=experiment.outcome,
        winner=experiment.winner,
        reason=experiment.reason,
        started_at=experiment.started_at,
        stopped_at=experiment.stopped_at,
        ends_at=ends_at(experiment, rules.experiments, now),
        dropped=experiment.dropped,
        effects=experiment.effects,
    )
    return with_text_id(record, "experiment-status", experiment.experiment_id)


def resumed(state: RolloutState, statuses: Sequence[ExperimentStatus]) -> RolloutState:
    """The state with the experiment that the log knows and a lost state does not.

    What its guardrails had counted is lost. Users keep their arms, which follow from its id.
    """
    newest = max(statuses, key=lambda status: status.at, default=None)
    if newest is None or newest.phase == "ended":
        return state
    return replace(
        state,
        experiment=Experiment(
            definition=newest.definition,
            phase=newest.phase,
            reason=f"{newest.reason} (taken over from the log)",
            started_at=newest.started_at,
            stopped_at=newest.stopped_at,
            dropped=newest.dropped,
            effects=newest.effects,
            caused_by=newest.caused_by,
        ),
    )
