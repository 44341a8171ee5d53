"""Records for the pages on runs, schedules, experiments and people, beside the control loop's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as with_fields
from pathlib import Path

from deploy.console.context import Console
from deploy.projection.runs import newest_runs
from retrain.run_view import Run, RunArtifact, RunCurve
from serving.phase import Phase
from streaming.contracts.experiment_assignment import with_id
from streaming.contracts.experiment_records import (
    ExperimentArm,
    ExperimentArmCounts,
    ExperimentEffect,
    ExperimentPhase,
)
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    Action,
    Command,
    CommandReply,
    ExperimentCounts,
    ExperimentDefinition,
    ExperimentLook,
    ExperimentStatus,
    GateResult,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RolloutStatus,
)
from tests.deploy.console.consoles import console_on
from tests.deploy.console.scenario import MODEL

STEPS = ("Examples", "Statistics", "Schema", "Transform", "Trainer", "Evaluator", "Publish")
FAILED, RUNNING, SCHEDULED = "run-failed", "run-running", "run-scheduled"
"""Ids of retrains."""
USERS = (1210, 640)
PEOPLE: tuple[tuple[str, Action, str, str, bool | None], ...] = (
    ("olaf", "retrain", "new tariff", "", True),
    ("petra", "promote", "the night shift asked for it", "digest-2", False),
    ("vera", "pause", "waiting for the holidays to end", "", None),
)
"""Who, what, why, over which digest, and whether it was accepted; None: no answer."""


def request(name: str, at: float, *, cause: str = "manual", who: str = "") -> RetrainRequest:
    return RetrainRequest(
        record_id=name, model=MODEL, at=at, cause=cause, reason="Labelled rows suffice.",  # type: ignore[arg-type]
        events=(), labels=(), window_start=at - 600, window_end=at, base_version=1,
        deadline=at + 600, proposed_by=who,
    )  # fmt: skip


def progress(name: str, at: float, *, until: int, state: str, detail: str = "") -> list[Record]:
    """The steps of an attempt; the last one is in `state`."""
    records: list[Record] = []
    for number, component in enumerate(STEPS[:until], start=1):
        for stage in ("started", "done" if number < until else state):
            last = number == until and stage == state
            records.append(
                RetrainProgress(
                    record_id=f"{name}-{number}-{stage}", model=MODEL, at=at + 3.0 * number,
                    request_id=name, attempt=1, worker="worker-1", component=component,
                    state=stage, step=number, steps=len(STEPS),  # type: ignore[arg-type]
                    seconds=1.5 * number if stage in ("done", "failed") else 0.0,
                    detail=detail if last else "",
                )
            )  # fmt: skip
    return records


def retrains(now: float) -> list[Record]:
    """One that failed, one by schedule that waits, and one that runs."""
    failure = RetrainFailure(
        record_id="failure", model=MODEL, at=now - 380, request_id=FAILED, component="Trainer",
        reason="The loss is no number after epoch 3.", advice="Look at the newest examples.",
    )  # fmt: skip
    detail = "The loss is no number after epoch 3."
    return [
        request(SCHEDULED, now - 7000, cause="schedule"),
        request(FAILED, now - 400, who="olaf"),
        *progress(FAILED, now - 400, until=5, state="failed", detail=detail),
        failure,
        request(RUNNING, now - 60),
        *progress(RUNNING, now - 60, until=4, state="started"),
    ]


def commands(now: float) -> list[Record]:
    records: list[Record] = []
    for number, (who, action, reason, digest, accepted) in enumerate(PEOPLE):
        at = now - 300 + 10 * number
        command = Command(
            record_id=f"command-{who}", model=MODEL, at=at, action=action, reason=reason, who=who,
            role="operator", channel="api", digest=digest, version=2 if digest else 0,
        )  # fmt: skip
        records.append(command)
        if accepted is not None:
            reply = CommandReply(
                record_id=f"reply-{who}", model=MODEL, at=at + 1, command_id=command.record_id,
                accepted=accepted, reason="It is done." if accepted else "Conflict: stale digest.",
            )  # fmt: skip
            records.append(reply)
    return records


def planned(begin: float, end: float) -> ExperimentDefinition:
    arms = (
        ExperimentArm(name="champion", version=1, share=2000),
        ExperimentArm(name="v2", version=2, share=1000),
    )
    definition = ExperimentDefinition(
        experiment_id="", arms=arms, user_header="x-user-id", user_field="user_id", begin=begin,
        end=end, metric="log_loss", minimum_effect=0.01, alpha=0.05, user_seconds=600.0,
        label_seconds=60.0, min_users=200, errors_pp=1.0, slow_pp=2.0,
    )  # fmt: skip
    return with_id(definition, MODEL)


def status(
    definition: ExperimentDefinition, phase: ExperimentPhase, reason: str, at: float
) -> ExperimentStatus:
    return ExperimentStatus(
        record_id=f"experiment-{definition.experiment_id[:8]}-{phase}", model=MODEL, at=at,
        definition=definition, phase=phase, outcome="no-gain" if phase == "ended" else "", winner=0,
        reason=reason, started_at=definition.begin + 20, ends_at=None,
        stopped_at=definition.end if phase == "ended" else None,
    )  # fmt: skip


def effect(look: int) -> ExperimentEffect:
    half = 0.05 / (look + 1)
    return ExperimentEffect(
        arm="v2", difference=0.012, low=0.012 - half, high=0.012 + half, users=80 * look,
        champion_users=160 * look, outcome="", reason="Nothing is proven yet.",
    )  # fmt: skip


def looks(definition: ExperimentDefinition) -> Iterator[ExperimentLook]:
    """Six looks; the last one's sample ratio fails."""
    for number in range(1, 7):
        at = definition.begin + 600 * number
        arms = tuple(
            ExperimentArmCounts(
                arm=name, users=users * number // 6, counted=users * number // 8, predictions=9,
                unlabelled=3, crossed=1,
            )
            for name, users in zip(("champion", "v2"), USERS, strict=True)
        )  # fmt: skip
        counts = ExperimentCounts(
            record_id=f"counts-{number}", model=MODEL, at=at,
            experiment_id=definition.experiment_id, arms=arms, waiting=4,
        )  # fmt: skip
        ratio = GateResult(
            gate="sample_ratio", outcome="fail" if number == 6 else "pass",
            reason="1210 and 640 users where 1233 and 617 were planned.", query="users by arm",
            n=1850, limit=0.001,
        )  # fmt: skip
        yield ExperimentLook(
            record_id=f"look-{number}", model=MODEL, at=at, outcome="", reason="It goes on.",
            experiment_id=definition.experiment_id, effects=(effect(number),), gates=(ratio,),
            counts=counts,
        )  # fmt: skip


def experiments(now: float) -> list[Record]:
    """One that has ended and one that runs."""
    old, new = planned(now - 90_000, now - 4000), planned(now - 3700, now + 20_000)
    return [
        status(old, "ended", "A gain of 0.01 is excluded.", now - 4000),
        status(new, "running", "Users meet their arms.", now - 3600),
        *looks(new),
    ]


def canary(now: float) -> list[Record]:
    """The weights of a rollout, for the picture with one axis."""
    return [
        RolloutStatus(
            record_id=f"weight-{weight}", model=MODEL, at=now - 200 + weight, rollout_id="earlier",
            version=2, champion=1, phase=Phase.STEPPING, weight=weight, step=0,
            reason=f"every gate passed at {weight} %", ends_at=now + 500,
        )
        for weight in (5, 25, 50)
    ]  # fmt: skip


def recorded(run_id: str) -> Run | None:
    """What ML Metadata adds to a run; of the failed one it knows nothing."""
    if run_id == FAILED:
        return None
    loss = tuple(0.7 * 0.8**epoch + 0.2 for epoch in range(12))
    return Run(
        run_id=run_id,
        model=MODEL,
        parameters={"learning_rate": 0.003 if run_id == RUNNING else 0.01, "layers": "64, 32"},
        curve=RunCurve(loss=loss, val_loss=tuple(value + 0.02 * i for i, value in enumerate(loss))),
        trials=(
            {"id": 1, "loss": 0.41, "epochs": 3, "seconds": 2.5, "ending": "stopped early",
             "values": {"learning_rate": 0.1}},
            {"id": 2, "loss": 0.33, "epochs": 9, "seconds": 7.5, "ending": "done",
             "values": {"learning_rate": 0.01}},
        ),
        artifacts=(RunArtifact(kind="Model", uri="file:///runs/model"),),
    )  # fmt: skip


def records(now: float) -> list[Record]:
    """All of them."""
    return [*retrains(now), *commands(now), *experiments(now), *canary(now)]


def operating(log: MemoryLog, folder: Path, *, now: float, **options: object) -> Console:
    """A console with these records, a schedule, and what ML Metadata has."""
    log.append(records(now))
    console = console_on(log, folder, now=now, **options)  # type: ignore[arg-type]
    models = dict(console.settings.models)
    retrain = models[MODEL].retrain.model_copy(
        update={"schedule": "0 3 * * 1", "schedule_zone": "Europe/Berlin"}
    )
    models[MODEL] = models[MODEL].model_copy(update={"retrain": retrain})
    settings = console.settings.model_copy(update={"models": models})
    return with_fields(console, settings=settings, recorded=recorded)


def finished_run(console: Console) -> str:
    """Id of a run that has published a version."""
    runs = newest_runs(console.reader, (MODEL,), 9)
    return next(entry.request.record_id for entry in runs if entry.version is not None)
