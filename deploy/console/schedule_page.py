"""The schedules: when retrains are due, the windows of experiments, and what ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.config.settings import ModelSettings
from deploy.config.units import format_schedule
from deploy.console.context import Console
from deploy.console.states import State, state_of
from deploy.projection.reader import Stored
from deploy.projection.runs import newest_runs
from retrain.schedule import next_due
from serving.phase import Phase
from streaming.contracts.records import (
    ApprovalRequest,
    CommandReply,
    ExperimentStatus,
    ModelVersion,
    Promotion,
    RetrainFailure,
    RetrainRequest,
    RolloutStatus,
)

TIMES = 3
"""Due times of a schedule that are shown."""
EXPERIMENTS = 20
_REQUESTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleLine:
    """The schedule of a model's retrains."""

    model: str
    schedule: str
    """The period or cron expression; empty for none."""
    zone: str
    """Time zone of a cron expression; empty for a period."""
    due: tuple[float, ...]
    """The next due times, seconds since 1970, soonest first."""
    overdue: bool
    """Whether the first of them has passed: the retrain waits."""
    waits_for: str
    """Its last reply about why it waits; empty without one."""
    last: Stored | None
    """The newest retrain request that the schedule made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentWindow:
    """When an experiment runs."""

    status: ExperimentStatus
    state: State
    begin: int
    """Begin of its bar, in percent of the shown time."""
    width: int
    """Length of its bar, in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Something that ends by itself if nobody does anything."""

    at: float
    model: str
    what: str
    then: str
    """What happens then."""
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePage:
    """Everything that happens by the clock."""

    schedules: tuple[ScheduleLine, ...]
    experiments: tuple[ExperimentWindow, ...]
    now_at: int
    """The present in percent of the time that the experiments' bars show."""
    endings: tuple[Ending, ...]
    """Soonest first."""

    @property
    def soonest(self) -> ScheduleLine | None:
        """The schedule that is due first; None without any."""
        planned = [line for line in self.schedules if line.due]
        return min(planned, key=lambda line: line.due[0], default=None)


def schedule_page(console: Console) -> SchedulePage:
    """Gather the schedules."""
    schedules = tuple(
        _schedule(console, name, console.settings.models[name]) for name in console.models
    )
    windows, now_at = _windows(console)
    return SchedulePage(
        schedules=schedules,
        experiments=windows,
        now_at=now_at,
        endings=tuple(sorted(_endings(console), key=lambda ending: ending.at)),
    )


def _schedule(console: Console, model: str, settings: ModelSettings) -> ScheduleLine:
    rules = settings.retrain_rules()
    schedule = settings.retrain.schedule
    due = _due(console, model, rules.schedule_seconds, rules.schedule_cron, rules.schedule_zone)
    requests = console.reader.newest(RetrainRequest, model, _REQUESTS)
    replies = [
        row for row in console.reader.of_subject(CommandReply, "schedule") if row.model == model
    ]
    overdue = bool(due) and due[0] <= console.now()
    return ScheduleLine(
        model=model,
        schedule="" if schedule is None else format_schedule(schedule),
        zone=rules.schedule_zone if rules.schedule_cron else "",
        due=due,
        overdue=overdue,
        waits_for=replies[0].reason if overdue and replies and replies[0].at >= due[0] else "",
        last=next((row for row in requests if row.outcome == "schedule"), None),
    )


def _due(console: Console, model: str, period: float, cron: str, zone: str) -> tuple[float, ...]:
    """The due times after the last retrain or promotion, as the daemon counts them."""
    kinds = (Promotion, RetrainRequest, ModelVersion, RetrainFailure)
    newest = [row.at for kind in kinds for row in console.reader.newest(kind, model)]
    if not newest:
        return ()  # the first version comes as soon as there are rows
    times: list[float] = []
    since: float | None = max(newest)
    while since is not None and len(times) < TIMES:
        since = next_due(since, period=period, cron=cron, zone=zone)
        if since is not None:
            times.append(since)
        if not cron:
            break  # the one after that depends on the end of the next retrain
    return tuple(times)


def _windows(console: Console) -> tuple[tuple[ExperimentWindow, ...], int]:
    statuses = [status for name in console.models for status in experiments_of(console, name)]
    chosen = sorted(statuses, key=lambda status: -status.definition.begin)[:EXPERIMENTS]
    if not chosen:
        return (), 0
    now = console.now()
    start = min([now, *(status.definition.begin for status in chosen)])
    stop = max([now, *(status.definition.end for status in chosen)])
    span = max(stop - start, 1.0)

    def percent(at: float) -> int:
        return round(100 * (min(max(at, start), stop) - start) / span)

    windows = tuple(
        ExperimentWindow(
            status=status,
            state=state_of(status.outcome or status.phase),
            begin=percent(status.definition.begin),
            width=max(1, percent(_end(status)) - percent(status.definition.begin)),
        )
        for status in chosen
    )
    return windows, percent(now)


def _end(status: ExperimentStatus) -> float:
    return status.stopped_at if status.stopped_at is not None else status.definition.end


def experiments_of(console: Console, model: str) -> list[ExperimentStatus]:
    """The newest status of each experiment of a model, the newest experiment first."""
    newest: dict[str, Stored] = {}
    for row in console.reader.newest(ExperimentStatus, model, 10 * EXPERIMENTS):
        newest.setdefault(row.subject, row)
    return console.reader.full(list(newest.values()), ExperimentStatus)


def _endings(console: Console) -> Iterator[Ending]:
    reader = console.reader
    for row in reader.open_requests():
        request = reader.record(row.record_id, ApprovalRequest)
        if request is not None and row.model in console.models:
            yield Ending(
                at=request.deadline,
                model=row.model,
                what=f"the approval of version {row.version} {row.outcome.replace('-', ' ')}",
                then=request.on_deadline,
                link=f"/approvals/{row.record_id}",
            )
    statuses = reader.newest_of_each(RolloutStatus, console.models)
    for status in reader.full(list(statuses.values()), RolloutStatus):
        if status.phase in (Phase.IDLE, Phase.AWAITING_APPROVAL):
            continue  # the request to approve is listed
        if status.ends_at is not None:
            yield Ending(
                at=status.ends_at,
                model=status.model,
                what=f"the phase {status.phase.replace('-', ' ')} of version {status.version}",
                then="The rollout goes on or ends, as its gates say.",
                link=f"/models/{status.model}#rollout",
            )
    for model in console.models:
        for entry in newest_runs(reader, (model,), 1):
            if entry.state in ("waiting", "running"):
                yield Ending(
                    at=entry.request.deadline,
                    model=model,
                    what=f"the retrain because of {entry.request.cause}",
                    then="Its worker counts as lost, and the retrain as failed.",
                    link=f"/runs/{entry.request.record_id}",
                )
    for model in console.models:
        for experiment in experiments_of(console, model):
            if experiment.ends_at is not None:
                yield Ending(
                    at=experiment.ends_at,
                    model=model,
                    what=f"the experiment, {experiment.phase}",
                    then="It goes on to its next phase, or ends.",
                    link=f"/models/{model}/experiments"
                    f"?experiment={experiment.definition.experiment_id}",
                )
