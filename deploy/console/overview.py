"""The first page: what is live, what is wrong, what is waited for, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.console.context import Console
from deploy.console.states import State, about, state_of, worst
from deploy.console.stillness import not_promoted, silence
from deploy.projection.reader import Stored
from serving.phase import Phase
from streaming.contracts.records import (
    CanaryVerdict,
    DeadLetter,
    DriftVerdict,
    Promotion,
    QualityVerdict,
    RetrainFailure,
    RetrainRequest,
    RolloutStatus,
    SchemaProposal,
    SchemaVerdict,
)

SPARK_WINDOWS = 40
_VERDICTS: tuple[tuple[str, type[DriftVerdict | QualityVerdict | SchemaVerdict]], ...] = (
    ("inputs", DriftVerdict),
    ("quality", QualityVerdict),
    ("schema", SchemaVerdict),
)
_COMMANDS = {
    "inputs": "driftline drift",
    "quality": "driftline quality",
    "schema": "driftline schema check",
    "canary": "driftline rollout status",
    "rollout": "driftline rollout status",
}
"""What shows more about a judgement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something that only a person can do."""

    model: str
    text: str
    """What is to be done."""
    link: str
    """Page or place where it is done; empty where a command does it."""
    command: str = ""
    due: float | None = None
    """Until when, seconds since 1970; None without a deadline."""
    decision: bool = False
    """Whether it is a yes or a no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The newest verdict of one kind."""

    name: str
    state: State
    reason: str
    record_id: str
    command: str = ""
    """What shows more; empty where the judgement is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """One model on the first page."""

    name: str
    state: State
    """The state that needs attention first."""
    live: Stored | None
    """The promotion of the live version."""
    judgements: tuple[Judgement, ...]
    """What is judged of its traffic and answers."""
    rollout: Stored | None
    """The newest rollout status while a rollout is in progress."""
    waits_for: str
    """What it waits for, in words; empty for nothing."""
    ratios: tuple[float, ...]
    """Largest effect over its limit of the latest windows, oldest first."""
    dead_letter: Stored | None
    """The newest event that could not be used."""

    @property
    def at_rest(self) -> bool:
        """Whether something is wrong and nothing is under way."""
        return self.state.name in ("bad", "warning") and not self.waits_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The first page."""

    models: tuple[ModelSummary, ...]
    tasks: tuple[Task, ...]

    @property
    def need(self) -> str:
        """What the tasks ask for, in words."""
        what = "decision" if all(task.decision for task in self.tasks) else "task"
        many = len(self.tasks) != 1
        return f"{len(self.tasks)} {what}{'s need' if many else ' needs'} you"

    @property
    def wrong(self) -> tuple[ModelSummary, ...]:
        """Models with a verdict that is not good."""
        return tuple(m for m in self.models if m.state.name in ("bad", "warning"))


def overview(console: Console) -> Overview:
    """Gather the first page."""
    return Overview(models=tuple(summaries(console, console.models)), tasks=tuple(tasks(console)))


def summaries(console: Console, models: tuple[str, ...]) -> Iterator[ModelSummary]:
    """What is live, judged and waited for, by model."""
    reader = console.reader
    live = reader.newest_of_each(Promotion, models)
    statuses = reader.newest_of_each(RolloutStatus, models)
    requests = reader.newest_of_each(RetrainRequest, models)
    verdicts = {kind: reader.newest_of_each(kind, models) for _, kind in _VERDICTS}
    canaries = reader.newest_of_each(CanaryVerdict, models)
    dead_letters = reader.newest_of_each(DeadLetter, models)
    for model in models:
        status = statuses.get(model)
        rolling = status if status is not None and status.outcome != Phase.IDLE else None
        judgements = [
            _judgement(name, row)
            for name, kind in _VERDICTS
            if (row := verdicts[kind].get(model)) is not None
        ]
        canary = canaries.get(model)
        if rolling is not None and canary is not None and canary.subject == rolling.subject:
            judgements.append(_judgement("canary", canary))
        held = _held(console, status)
        if status is not None and not held and not_promoted(status, live.get(model)):
            judgements.append(_judgement("rollout", status, "not-promoted"))
        yield ModelSummary(
            name=model,
            state=worst([judgement.state for judgement in judgements]),
            live=live.get(model),
            dead_letter=dead_letters.get(model),
            judgements=tuple(judgements),
            rollout=rolling,
            waits_for=held
            or _waits_for(console, rolling, requests.get(model))
            or _first_version(live.get(model), verdicts[DriftVerdict].get(model)),
            ratios=_ratios(console, model),
        )


def _judgement(name: str, row: Stored, outcome: str = "") -> Judgement:
    state = state_of(outcome or row.outcome)
    return Judgement(
        name=name,
        state=state,
        reason=row.reason,
        record_id=row.record_id,
        command=f"{_COMMANDS[name]} {row.model}" if state.name in ("bad", "warning") else "",
    )


def _ratios(console: Console, model: str) -> tuple[float, ...]:
    rows = console.reader.newest(DriftVerdict, model, SPARK_WINDOWS)
    return tuple(row.measure or 0.0 for row in reversed(rows))


def _held(console: Console, row: Stored | None) -> str:
    """What a rollout, or a version without one, waits for; empty for nothing."""
    status = None if row is None else console.reader.record(row.record_id, RolloutStatus)
    if status is None or not status.waits_for:
        return ""
    return f"{status.waits_for} of version {status.version}"


def _waits_for(console: Console, rollout: Stored | None, request: Stored | None) -> str:
    if rollout is not None:
        return f"the rollout of version {rollout.version}: {rollout.outcome.replace('-', ' ')}"
    if request is not None and not _ended(console, request):
        return f"a retrain because of {request.outcome}"
    return ""


def _first_version(live: Stored | None, drift: Stored | None) -> str:
    """What a model waits for that has no version yet; empty when it has one."""
    if live is not None:
        return ""
    if drift is None:
        return "events: no window was judged yet"
    return "its first version: a retrain begins once enough labelled rows have come"


def _ended(console: Console, request: Stored) -> bool:
    """Whether a retrain request has its version or its failure."""
    from streaming.contracts.records import ModelVersion

    kinds = (ModelVersion, RetrainFailure)
    return any(console.reader.of_subject(kind, request.record_id, 1) for kind in kinds)


def tasks(console: Console, model: str | None = None) -> Iterator[Task]:
    """What needs a person, the most urgent first.

    Parameters
    ----------
    model:
        Only the tasks of this model; None for all.
    """
    now = console.now()
    requests = sorted(console.reader.open_requests(), key=lambda row: row.at)
    for row in requests:
        if row.model in console.models and model in (None, row.model):
            yield _approval_task(console, row, now)
    names = console.models if model is None else (model,)
    for name, status in console.reader.newest_of_each(RolloutStatus, names).items():
        if status.outcome == Phase.PAUSED:
            yield Task(
                model=name,
                text=f"The rollout of version {status.version} is paused: {status.reason}",
                link=f"/models/{name}#rollout",
                command=f"driftline rollout resume {name}",
            )
    for name, failure in console.reader.newest_of_each(RetrainFailure, names).items():
        newer = console.reader.newest(RetrainRequest, name)
        needs_people = failure.outcome != "cancelled"  # a person ended it and knows
        if needs_people and newer and newer[0].record_id == failure.subject:
            yield Task(
                model=name,
                text=f"The retrain failed: {failure.reason}"
                if failure.outcome == "failed"
                else f"The retrain waits for more labelled rows: {failure.reason}",
                link=f"/records/{failure.record_id}",
                command=f'driftline retrain {name} --reason "…"',
            )
    yield from _proposals(console, names)
    for name, row in console.reader.newest_of_each(DriftVerdict, names).items():
        text = silence(console.settings.models[name].window.size, row.at, now)
        if text:
            command = f"driftline job status {name}"
            yield Task(model=name, text=text, link=f"/models/{name}#drift", command=command)


def _approval_task(console: Console, row: Stored, now: float) -> Task:
    from streaming.contracts.records import ApprovalRequest

    request = console.reader.record(row.record_id, ApprovalRequest)
    due = request.deadline if request is not None else None
    left = "" if due is None else f", {about(due - now)} left"
    stage = row.outcome.replace("-", " ")
    text, command = f"Decide on version {row.version} {stage}{left}", ""
    overdue = due is not None and now >= due
    if overdue:
        text = (
            f"The deadline to decide on version {row.version} has passed, and the daemon has not "
            "ended the request: see whether it runs"
        )
        command = "driftline status"
    return Task(
        model=row.model,
        text=text,
        link=f"/approvals/{row.record_id}",
        command=command,
        due=due,
        decision=not overdue,
    )


def _proposals(console: Console, names: tuple[str, ...]) -> Iterator[Task]:
    for name, row in console.reader.newest_of_each(SchemaProposal, names).items():
        if row.outcome == "open":
            yield Task(
                model=name,
                text=f"Decide on schema proposal {row.subject}: {row.reason}",
                link=f"/models/{name}#schema",
                command=f"driftline schema accept {name} {row.subject}",
                decision=True,
            )
