"""One look at a running experiment: sample ratio, assignment, guardrails, effect of each arm.

A look that finds the measurement itself broken has the outcome *error*, whatever the effects say.
"""

from __future__ import annotations

from math import log

from msgspec.structs import replace

from serving.experiment_rules import ExperimentRules
from serving.experiments.endings import Ending, ending, latched
from serving.experiments.guardrails import judge
from serving.experiments.interval import effect
from serving.experiments.sample_ratio import log_ratio_evidence
from serving.experiments.state import ArmGuard, Experiment
from streaming.contracts.codec import with_text_id
from streaming.contracts.experiment_records import ExperimentArmCounts
from streaming.contracts.records import ExperimentCounts, ExperimentLook, GateResult
from streaming.contracts.rollout_records import GateOutcome, GateSample

MIN_PREDICTIONS = 100
"""Predictions of an arm below which the share that another version answered is not judged."""


def look_at(
    experiment: Experiment, rules: ExperimentRules, *, final: bool
) -> tuple[Experiment, Ending | None, tuple[GateResult, ...]]:
    """The experiment with its effects and dropped arms, its end if it has come, and the gates."""
    gates = _guardrails(experiment, rules)
    failed = [gate for gate in gates if gate.outcome == "fail"]
    dropped = {gate.gate.partition("_")[2] for gate in failed}
    counts = experiment.counts
    if counts is not None:
        measured = _measurement(experiment, counts, rules)
        gates = (*measured, *gates)
        errors = [gate for gate in measured if gate.outcome == "error"]
        if errors:
            reason = " ".join(gate.reason for gate in errors)
            return experiment, Ending("error", 0, f"It cannot be judged. {reason}"), gates
        champion, *others = counts.arms
        effects = [effect(arm, champion, experiment.definition) for arm in others]
        experiment = replace(experiment, effects=latched(experiment.effects, effects))
    dropped |= {entry.arm for entry in experiment.effects if entry.outcome == "worse"}
    new = tuple(sorted(dropped - set(experiment.dropped)))
    experiment = replace(experiment, dropped=(*experiment.dropped, *new))
    end = ending(
        experiment.definition.arms[1:], experiment.effects, experiment.dropped, final=final
    )
    if failed and end is not None:
        guard_reasons = " ".join(gate.reason for gate in failed)
        end = end._replace(reason=f"{end.reason} {guard_reasons}".strip())
    return experiment, end, gates


def look_record(
    experiment: Experiment, gates: tuple[GateResult, ...], *, model: str, reason: str, now: float
) -> ExperimentLook:
    """The record of a look."""
    record = ExperimentLook(
        record_id="",
        model=model,
        at=now,
        caused_by=experiment.caused_by[:1],
        experiment_id=experiment.experiment_id,
        outcome=experiment.outcome,
        reason=reason,
        effects=experiment.effects,
        gates=gates,
        counts=experiment.counts,
    )
    return with_text_id(record, "experiment-look", experiment.experiment_id)


def _guardrails(experiment: Experiment, rules: ExperimentRules) -> tuple[GateResult, ...]:
    guards = {guard.arm: guard for guard in experiment.guards}
    return tuple(
        gate
        for arm in experiment.definition.arms[1:]
        if arm.name not in experiment.dropped
        for gate in judge(experiment, guards.get(arm.name, ArmGuard(arm=arm.name)), rules)
    )


def _measurement(
    experiment: Experiment, counts: ExperimentCounts, rules: ExperimentRules
) -> tuple[GateResult, ...]:
    """The gates of the measurement itself; users of a dropped arm are no longer counted on."""
    kept = [
        (arm, entry)
        for arm, entry in zip(experiment.definition.arms, counts.arms, strict=True)
        if arm.name not in experiment.dropped
    ]
    shares = [arm.share for arm, _ in kept]
    gates = []
    if len(kept) > 1:
        seen = [entry.users for _, entry in kept]
        labelled = [entry.counted for _, entry in kept]
        gates += [
            _ratio("sample_ratio", "met", seen, shares, rules, full=counts.full),
            _ratio("labelled_ratio", "have labels in", labelled, shares, rules),
        ]
    return (*gates, *(_assignment(entry, rules) for _, entry in kept))


def _ratio(
    name: str,
    did: str,
    users: list[int],
    shares: list[int],
    rules: ExperimentRules,
    *,
    full: bool = False,
) -> GateResult:
    evidence = log_ratio_evidence(users, shares)
    wrong = evidence >= log(1.0 / rules.ratio_alpha)
    planned = " : ".join(f"{share / 100:g} %" for share in shares)
    counted = " : ".join(str(count) for count in users)
    return GateResult(
        gate=name,
        outcome="error" if wrong else "pass" if sum(users) else "insufficient",
        reason=f"Users that {did} the arms: {counted}, planned {planned}"
        + ("; users are lost in an arm, so the arms cannot be compared." if wrong else ".")
        + (" The label service holds no further users." if full else ""),
        query="users counted by the label service since the experiment began",
        n=sum(users),
        limit=rules.ratio_alpha,
        samples=(GateSample(name="log_evidence", value=evidence),),
    )


def _assignment(counts: ExperimentArmCounts, rules: ExperimentRules) -> GateResult:
    n, crossed = counts.predictions, counts.crossed
    share = crossed / max(1, n)
    outcome: GateOutcome = "insufficient" if n < MIN_PREDICTIONS else "pass"
    advice = "."
    if outcome == "pass" and share > rules.max_crossed:
        outcome = "error"
        advice = (
            ": the applications must send the user's header with the same text as the field of "
            "the prediction, or the arm's server was away."
        )
    return GateResult(
        gate=f"assignment_{counts.arm}",
        outcome=outcome,
        reason=f"{crossed} of {n} predictions for users of {counts.arm} came from another version"
        f"{advice}",
        query="predictions counted by the label service since the experiment began",
        n=n,
        limit=rules.max_crossed,
    )
