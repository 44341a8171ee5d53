"""Replays logged windows through the drift verdict, under the rules in force and changed ones.

Everything comes from the log and the artifact store: the windows' summaries, the promotion whose
reference each verdict names, and that reference. Promotions are kept for ever, so a window is
judged against the reference that was in force then, however many promotions followed. Windows are
read one by one and judged in the log's order, as the job did, so a period of any length fits into
memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from deploy.app.deployment import Deployment
from deploy.records import reader
from streaming.baseline import SeasonalReference
from streaming.contracts.artifacts import ArtifactReader
from streaming.contracts.errors import DriftlineError, NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DriftVerdict, Promotion, WindowSummary
from streaming.drift import DriftRules, PreparedReference
from streaming.drift.backtest.replay import (
    BacktestResult,
    KnownShift,
    Replay,
    ReplayedWindow,
    count_alarms,
)
from streaming.job.references import read_reference

MAX_WARM_UP = 2_000
"""Largest number of windows that are judged before the period: the runs rule and the CUSUM need
their history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A period of event time, seconds since 1970; windows that lie wholly inside count."""

    since: float = -inf
    until: float = inf


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSetRun:
    """One set of rules and its verdicts on the period."""

    name: str
    rules: DriftRules
    result: BacktestResult
    windows: tuple[ReplayedWindow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleComparison:
    """The runs of one or two sets of rules over the same period."""

    model: str
    runs: tuple[RuleSetRun, ...]
    logged: int
    """Windows of the period that have a logged verdict."""
    agreeing: int
    """Windows whose logged outcome is also that of the rules in force now."""
    lost_references: tuple[int, ...]
    """Versions whose promotion is no longer in the log, or whose reference is no longer in the
    artifact store; their windows are inconclusive."""

    @property
    def differing(self) -> int:
        """Windows on which the first and the last run disagree."""
        pairs = zip(self.runs[0].windows, self.runs[-1].windows, strict=True)
        return sum(before.outcome != after.outcome for before, after in pairs)


class LoggedVerdict(NamedTuple):
    """What a backtest needs of a logged verdict."""

    reference_id: str
    """Id of the promotion whose reference was in force; empty if there was none."""
    reference_version: int
    outcome: str


class ReferenceCache:
    """The references of promotions under one set of rules, each read once."""

    def __init__(
        self,
        store: ArtifactReader,
        promotions: Mapping[str, Promotion],
        contract: ModelContract,
        rules: DriftRules,
    ) -> None:
        self._store = store
        self._promotions = promotions
        self._contract = contract
        self._rules = rules
        self._references: dict[str, SeasonalReference | None] = {}

    def of(self, reference_id: str, window: WindowSummary) -> PreparedReference | None:
        """The reference for a window; None when there was none or it is lost."""
        if reference_id not in self._references:
            self._references[reference_id] = self._read(self._promotions.get(reference_id))
        reference = self._references[reference_id]
        return None if reference is None else reference.at(window.window_start, window.window_end)

    def _read(self, promotion: Promotion | None) -> SeasonalReference | None:
        if promotion is None or promotion.reference is None:
            return None
        try:
            return read_reference(self._store, promotion.reference, self._contract, self._rules)
        except (DriftlineError, OSError):
            return None

    def lost(self, verdicts: Iterable[LoggedVerdict]) -> tuple[int, ...]:
        """Versions whose reference was needed and could not be read.

        Parameters
        ----------
        verdicts:
            The logged verdicts, which name the version of a promotion that is not in the log.
        """
        versions = {verdict.reference_id: verdict.reference_version for verdict in verdicts}
        versions |= {name: promotion.version for name, promotion in self._promotions.items()}
        unread = {name for name, reference in self._references.items() if reference is None}
        return tuple(sorted({versions[name] for name in unread if name and name in versions}))


def backtest(
    log: RecordLog,
    deployments: Mapping[str, Deployment],
    model: str,
    period: Period,
    shifts: Sequence[KnownShift] = (),
) -> RuleComparison:
    """Judge the period once with the drift rules of each deployment.

    Parameters
    ----------
    deployments:
        By the name of the run; they differ in their drift rules only.

    Raises
    ------
    NotFoundError
        When the log holds no window of the period.
    """
    first = next(iter(deployments.values()))
    contract = first.contract(model)
    promotions = {entry.record_id: entry for entry in reader.records(log, Promotion, model)}
    logged = {
        verdict.window_start: LoggedVerdict(
            verdict.reference_id, verdict.reference_version, verdict.outcome
        )
        for verdict in reader.stream(log, DriftVerdict, model)
    }
    rules = {name: deployment.drift_rules(model) for name, deployment in deployments.items()}
    replays = {name: Replay(rule_set, contract) for name, rule_set in rules.items()}
    references = {
        name: ReferenceCache(first.store(), promotions, contract, rule_set)
        for name, rule_set in rules.items()
    }
    for window, reference_id in _windows(log, model, period, logged, promotions):
        for name, replay in replays.items():
            replay.add(window, references[name].of(reference_id, window), reference_id)
    runs = tuple(_run(name, replay, period, shifts) for name, replay in replays.items())
    if not runs[0].windows:
        raise NotFoundError(
            f"The log holds no window of {model} in that period; `driftline drift {model}` shows "
            "the newest ones."
        )
    compared = [window for window in runs[0].windows if window.window_start in logged]
    return RuleComparison(
        model=model,
        runs=runs,
        logged=len(compared),
        agreeing=sum(logged[window.window_start].outcome == window.outcome for window in compared),
        lost_references=next(iter(references.values())).lost(logged.values()),
    )


def _run(name: str, replay: Replay, period: Period, shifts: Sequence[KnownShift]) -> RuleSetRun:
    windows = replay.judged(period.since, period.until)
    result = count_alarms(windows, replay.rules, shifts)
    return RuleSetRun(name=name, rules=replay.rules, result=result, windows=windows)


def _windows(
    log: RecordLog,
    model: str,
    period: Period,
    logged: Mapping[float, LoggedVerdict],
    promotions: Mapping[str, Promotion],
) -> Iterator[tuple[WindowSummary, str]]:
    """The windows of the period and of the warm-up before it, with their references' ids.

    A window without a logged verdict takes the reference of the window before it; if no earlier
    window has one, the newest promotion from before the window's end.
    """
    starts = sorted(start for start in logged if start < period.since)
    begin = starts[-MAX_WARM_UP] if len(starts) >= MAX_WARM_UP else -inf
    last: str | None = None
    for window in reader.stream(log, WindowSummary, model):
        verdict = logged.get(window.window_start)
        last = last if verdict is None else verdict.reference_id
        if begin <= window.window_start and window.window_end <= period.until:
            yield window, _in_force(promotions, window) if last is None else last


def _in_force(promotions: Mapping[str, Promotion], window: WindowSummary) -> str:
    """The id of the newest promotion from before the window's end; empty if there is none."""
    earlier = [entry for entry in promotions.values() if entry.at < window.window_end]
    return max(earlier, key=lambda entry: entry.at).record_id if earlier else ""
