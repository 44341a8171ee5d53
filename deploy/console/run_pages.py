"""Retrains as runs: the list, one run, and several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from deploy.console.context import Console
from deploy.console.pictures import Picture, digest_of
from deploy.console.states import State, about, state_of
from deploy.projection.runs import RunRecords, completed, find_run, newest_runs
from deploy.runs.compare import Comparison, compare
from deploy.views.run_curves import CurveOfRun, curves_headline, curves_of
from retrain.run_view import Run
from streaming.contracts.errors import DriftlineError, NotFoundError
from streaming.contracts.records import RetrainProgress

LISTED = 40
OTHERS = 8
"""Other runs that a run's page offers for a comparison."""
MAX_COMPARED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """The newest runs."""

    model: str
    """The model that is shown; empty for all."""
    runs: tuple[RunRecords, ...]
    problem: str = ""
    """Why runs could not be compared; empty when nothing was asked."""

    @property
    def running(self) -> int:
        """Number of runs that have not ended."""
        return sum(ended_as(entry).name == "active" for entry in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentLine:
    """A component of the newest attempt."""

    name: str
    step: int
    """Number of the step, from 1; 0 where it is not known."""
    state: State
    seconds: float | None
    """None while it runs."""
    share: int
    """Its duration as a share of the longest one, in percent."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialLine:
    """A trial of the search before the training."""

    name: str
    loss: str
    epochs: str
    seconds: str
    ending: str
    values: str
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """One run."""

    records: RunRecords
    run: Run
    state: State
    lacking: str
    """Why parameters, curves and trials are not shown; empty when ML Metadata has the run."""
    components: tuple[ComponentLine, ...]
    steps: int
    """Number of steps of the newest attempt; 0 where it is not known."""
    overdue: bool
    """Whether its deadline has passed without an end."""
    curves: tuple[CurveOfRun, ...]
    picture: Picture | None
    trials: tuple[TrialLine, ...]
    others: tuple[RunRecords, ...]
    next_text: str
    """What a person can do now."""
    command: str
    next_link: str
    """Page where it is done; empty where the command does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePage:
    """Several runs side by side."""

    comparison: Comparison
    names: tuple[str, ...]
    """A short name of each run, in their order."""
    lacking: str
    picture: Picture | None
    curves: tuple[CurveOfRun, ...]


def run_list(console: Console, model: str = "", problem: str = "") -> RunList:
    """Gather the newest runs, of one model where it is named; raises `NotFoundError`."""
    if model and model not in console.models:
        raise NotFoundError(f"{console.file} has no model {model}.")
    models = (model,) if model else console.models
    runs = newest_runs(console.reader, models, LISTED)
    return RunList(model=model, runs=tuple(runs), problem=problem)


def run_page(console: Console, run_id: str) -> RunPage:
    """Gather a run's page; raises `NotFoundError`."""
    records = _visible(console, run_id)
    run, lacking = _completed(console, records)
    others = newest_runs(console.reader, (run.model,), OTHERS + 1)
    curves = curves_of([run])
    text, command = _next(console, records)
    link = _open_approval(console, records)
    return RunPage(
        records=records,
        run=run,
        state=ended_as(records),
        lacking=lacking,
        components=_components(records, run),
        steps=max((entry.steps for entry in records.newest_attempt), default=0),
        overdue=records.state in ("waiting", "running")
        and console.now() > records.request.deadline,
        curves=curves,
        picture=curves_picture([run_id], curves),
        trials=_trials(run.trials),
        others=tuple(entry for entry in others if entry.request.record_id != run_id)[:OTHERS],
        next_text="Its version waits for a decision." if link else text,
        command=command,
        next_link=link,
    )


def compare_page(console: Console, run_ids: Sequence[str]) -> ComparePage:
    """Gather the comparison of runs.

    Raises
    ------
    NotFoundError
        When a run is not known.
    ValueError
        When fewer than two or too many are named.
    """
    names = list(dict.fromkeys(run_ids))
    if not 2 <= len(names) <= MAX_COMPARED:
        raise ValueError(f"Choose two to {MAX_COMPARED} runs to compare; {len(names)} are chosen.")
    completed_runs = [_completed(console, _visible(console, run_id)) for run_id in names]
    runs = [run for run, _ in completed_runs]
    curves = curves_of(runs)
    return ComparePage(
        comparison=compare(runs),
        names=tuple(short_name(run) for run in runs),
        lacking=next((lacking for _, lacking in completed_runs if lacking), ""),
        picture=curves_picture(names, curves),
        curves=curves,
    )


def drawn_curves(console: Console, run_ids: Sequence[str]) -> tuple[CurveOfRun, ...]:
    """The curves of a picture; raises `NotFoundError` when there is nothing to draw."""
    names = list(dict.fromkeys(run_ids))[:MAX_COMPARED]
    curves = curves_of([_completed(console, _visible(console, run_id))[0] for run_id in names])
    if not curves:
        raise NotFoundError("No curve of these runs is recorded.")
    return curves


def curves_picture(run_ids: Sequence[str], curves: tuple[CurveOfRun, ...]) -> Picture | None:
    """The picture of the curves; None without any."""
    if not curves:
        return None
    query = urlencode([*(("run", run_id) for run_id in run_ids), ("v", digest_of(curves))])
    alt = f"Loss by epoch. {curves_headline(curves)}."
    return Picture(path=f"/runs/curves.svg?{query}&variant=", alt=alt)


def short_name(run: Run) -> str:
    """How a run is called in a table.

    >>> short_name(Run(run_id="0123456789abcdef", model="taxi", version=2))
    'version 2'
    >>> short_name(Run(run_id="0123456789abcdef", model="taxi"))
    '01234567'
    """
    return f"version {run.version}" if run.version else run.run_id[:8]


def ended_as(records: RunRecords) -> State:
    """How a run stands."""
    if records.failure is not None and records.version is None:
        return state_of(records.failure.outcome)
    if records.version is not None:
        return state_of("blessed" if records.version.blessed else "not-blessed")
    return state_of("queued" if records.state == "waiting" else "running")


def run_address(run_id: str) -> str:
    """Address of a run's page."""
    return f"/runs/{quote(run_id, safe='')}"


def _visible(console: Console, run_id: str) -> RunRecords:
    records = find_run(console.reader, run_id)
    if not console.sees(records.request.model):
        raise NotFoundError(f"There is no run {run_id}.")
    return records


def _completed(console: Console, records: RunRecords) -> tuple[Run, str]:
    """The run with what ML Metadata adds, and why something is missing."""
    run = records.run
    try:
        recorded = console.recorded(run.run_id)
    except DriftlineError as error:
        return run, str(error)
    if recorded is None:
        return run, "ML Metadata has not recorded this run: its worker has not, or has another one."
    return completed(run, recorded), ""


def _components(records: RunRecords, run: Run) -> tuple[ComponentLine, ...]:
    """The components in order, each in its newest state."""
    newest: dict[str, RetrainProgress] = {}
    for entry in records.newest_attempt:
        newest[entry.component] = entry
    measured = {component.name: component.seconds for component in run.components}
    longest = max([*measured.values(), *(e.seconds for e in newest.values()), 1e-9])
    if not newest:  # the log has dropped the progress
        return tuple(
            ComponentLine(
                name=name, step=0, state=state_of("done"), seconds=seconds,
                share=round(100 * seconds / longest), detail="",
            )
            for name, seconds in measured.items()
        )  # fmt: skip
    return tuple(
        ComponentLine(
            name=name,
            step=entry.step,
            state=state_of(entry.state),
            seconds=entry.seconds if entry.state in ("done", "failed") else None,
            share=round(100 * entry.seconds / longest),
            detail=entry.detail,
        )
        for name, entry in newest.items()
    )


def _trials(trials: Sequence[Mapping[str, Any]]) -> tuple[TrialLine, ...]:
    losses = [loss for trial in trials if isinstance(loss := trial.get("loss"), float)]
    lowest = min(losses, default=None)
    lines = []
    for trial in trials:
        given, loss, seconds = trial.get("values"), trial.get("loss"), trial.get("seconds")
        pairs = given.items() if isinstance(given, dict) else ()
        lines.append(
            TrialLine(
                name=str(trial.get("id", "")),
                loss=f"{loss:.5f}" if isinstance(loss, float) else "–",
                epochs=str(trial.get("epochs", "–")),
                seconds=f"{seconds:.1f}" if isinstance(seconds, float) else "–",
                ending=str(trial.get("ending", "–")),
                values=", ".join(f"{name} = {value}" for name, value in pairs),
                best=isinstance(loss, float) and loss == lowest,
            )
        )
    return tuple(lines)


def _open_approval(console: Console, records: RunRecords) -> str:
    """Page of the open request about the run's version; empty without one."""
    if records.version is None:
        return ""
    subject = (records.version.model, records.version.version)
    for row in console.reader.open_requests():
        if (row.model, row.version) == subject:
            return f"/approvals/{quote(row.record_id, safe='')}"
    return ""


def _next(console: Console, records: RunRecords) -> tuple[str, str]:
    """What a person can do now, and the command."""
    model, state = records.request.model, records.state
    if state in ("waiting", "running"):
        left = records.request.deadline - console.now()
        late = "; its deadline has passed" if left < 0 else f"; at most {about(left)} more"
        return f"It goes on by itself{late}. To end it:", f"driftline retrain {model} --cancel"
    if records.failure is not None and records.version is None:
        return records.failure.advice, f'driftline retrain {model} --reason "…"'
    version = records.version
    assert version is not None
    if records.promotions:
        return "Its version has been live. Why:", f"driftline trace {version.version}"
    if version.blessed:
        return "Its version may be rolled out:", f"driftline rollout status {model}"
    return "Its version is not rolled out. Another try:", f'driftline retrain {model} --reason "…"'
