"""The first page: what is live, what is wrong, what is waited for, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.console.context import Console
from deploy.console.states import State, about, state_of, worst
from deploy.projection.reader import Stored
from serving.phase import Phase
from streaming.contracts.records import (
    CanaryVerdict,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The newest verdict of one kind."""

    name: str
    state: State
    reason: str
    record_id: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The first page."""

    models: tuple[ModelSummary, ...]
    tasks: tuple[Task, ...]

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
        yield ModelSummary(
            name=model,
            state=worst([judgement.state for judgement in judgements]),
            live=live.get(model),
            judgements=tuple(judgements),
            rollout=rolling,
            waits_for=_waits_for(console, model, rolling, requests.get(model)),
            ratios=_ratios(console, model),
        )


def _judgement(name: str, row: Stored) -> Judgement:
    return Judgement(
        name=name, state=state_of(row.outcome), reason=row.reason, record_id=row.record_id
    )


def _ratios(console: Console, model: str) -> tuple[float, ...]:
    rows = console.reader.newest(DriftVerdict, model, SPARK_WINDOWS)
    return tuple(row.measure or 0.0 for row in reversed(rows))


def _waits_for(console: Console, model: str, rollout: Stored | None, request: Stored | None) -> str:
    if rollout is not None:
        status = console.reader.record(rollout.record_id, RolloutStatus)
        if status is not None and status.waits_for:
            return f"{status.waits_for} of version {status.version}"
        return f"the rollout of version {rollout.version}: {rollout.outcome.replace('-', ' ')}"
    if request is not None and not _ended(console, request):
        return f"a retrain because of {request.outcome}"
    return ""


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


def _approval_task(console: Console, row: Stored, now: float) -> Task:
    from streaming.contracts.records import ApprovalRequest

    request = console.reader.record(row.record_id, ApprovalRequest)
    due = request.deadline if request is not None else None
    left = "" if due is None else f", {about(due - now)} left"
    stage = row.outcome.replace("-", " ")
    return Task(
        model=row.model,
        text=f"Decide on version {row.version} {stage}{left}",
        link=f"/approvals/{row.record_id}",
        due=due,
    )


def _proposals(console: Console, names: tuple[str, ...]) -> Iterator[Task]:
    for name, row in console.reader.newest_of_each(SchemaProposal, names).items():
        if row.outcome == "open":
            yield Task(
                model=name,
                text=f"Decide on schema proposal {row.subject}: {row.reason}",
                link=f"/models/{name}#schema",
                command=f"driftline schema accept {name} {row.subject}",
            )
