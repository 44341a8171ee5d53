"""Replays logged windows through the judge, under the rules in force and under changed ones.

Everything comes from the log and the artifact store: the windows' summaries, the promotion whose
reference each verdict named, and that reference. Windows are read one by one and judged in the
log's order, as the job did, so a period of any length fits into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from deploy.app.deployment import Deployment
from deploy.records import reader
from streaming.baseline import SeasonalReference
from streaming.contracts.errors import DriftlineError, NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DriftVerdict, Promotion, WindowSummary
from streaming.drift import DriftRules, PreparedReference
from streaming.drift.backtest.replay import Account, Judged, Replay, Shift, account
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.references import read_reference

MAX_WARM_UP = 2_000
"""So many windows before the period, at most, are judged first: 3 of 5 and the slow lane look
back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Event time, seconds since 1970; windows that lie wholly inside count."""

    since: float = -inf
    until: float = inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One set of rules and what it would have said."""

    name: str
    rules: DriftRules
    account: Account
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """Both arms beside each other."""

    model: str
    arms: tuple[Arm, ...]
    logged: int
    """Windows of the period that have a logged verdict; …"""
    agreeing: int
    """… and those whose logged outcome is that of the rules in force now."""
    lost_references: tuple[int, ...]
    """Versions whose reference is no longer in the artifact store: their windows are
    inconclusive."""

    @property
    def differing(self) -> int:
        """Windows on which the first and the last arm disagree."""
        pairs = zip(self.arms[0].judged, self.arms[-1].judged, strict=True)
        return sum(one.outcome != other.outcome for one, other in pairs)


class Yardsticks:
    """The references of promotions under one set of rules."""

    def __init__(
        self,
        store: ArtifactStore,
        promotions: Mapping[str, Promotion],
        contract: ModelContract,
        rules: DriftRules,
    ) -> None:
        self._store = store
        self._promotions = promotions
        self._contract = contract
        self._rules = rules
        self._made: dict[str, SeasonalReference | None] = {}

    def of(self, reference_id: str, window: WindowSummary) -> PreparedReference | None:
        """The yardstick for a window; None where there was none or it is lost."""
        if reference_id not in self._made:
            self._made[reference_id] = self._read(self._promotions.get(reference_id))
        made = self._made[reference_id]
        return None if made is None else made.at(window.window_start, window.window_end)

    def _read(self, promotion: Promotion | None) -> SeasonalReference | None:
        if promotion is None or promotion.reference is None:
            return None
        try:
            return read_reference(self._store, promotion.reference, self._contract, self._rules)
        except (DriftlineError, OSError):
            return None

    @property
    def lost(self) -> tuple[int, ...]:
        """Versions whose reference was asked for and is not there."""
        return tuple(
            sorted(
                self._promotions[name].version
                for name, made in self._made.items()
                if made is None and name in self._promotions
            )
        )


def backtest(
    log: RecordLog,
    houses: Mapping[str, Deployment],
    model: str,
    period: Period,
    shifts: Sequence[Shift] = (),
) -> Backtest:
    """Judge the period once for each of the `houses` (by the name of the arm).

    Raises
    ------
    NotFoundError
        When the log holds no window of the period.
    """
    first = next(iter(houses.values()))
    contract = first.contract(model)
    promotions = {one.record_id: one for one in reader.records(log, Promotion, model)}
    logged = {
        one.window_start: (one.reference_id, one.outcome)
        for one in reader.stream(log, DriftVerdict, model)
    }
    rules = {name: deployment.drift_rules(model) for name, deployment in houses.items()}
    replays = {name: Replay(one, contract) for name, one in rules.items()}
    yardsticks = {
        name: Yardsticks(first.store(), promotions, contract, one) for name, one in rules.items()
    }
    for window, reference_id in _windows(log, model, period, logged):
        for name, replay in replays.items():
            replay.add(window, yardsticks[name].of(reference_id, window), reference_id)
    arms = []
    for name, replay in replays.items():
        judged = replay.judged(period.since, period.until)
        arms.append(
            Arm(
                name=name,
                rules=rules[name],
                account=account(judged, rules[name], shifts),
                judged=judged,
            )
        )
    if not arms[0].judged:
        raise NotFoundError(
            f"The log holds no window of {model} in that period; `driftline drift {model}` shows "
            "the newest ones."
        )
    known = [one for one in arms[0].judged if one.window_start in logged]
    return Backtest(
        model=model,
        arms=tuple(arms),
        logged=len(known),
        agreeing=sum(logged[one.window_start][1] == one.outcome for one in known),
        lost_references=next(iter(yardsticks.values())).lost,
    )


def _windows(
    log: RecordLog, model: str, period: Period, logged: Mapping[float, tuple[str, str]]
) -> Iterator[tuple[WindowSummary, str]]:
    """The windows of the period and those before it that its verdicts remember, each with the id
    of its reference; one without a verdict takes that of the window before it."""
    starts = sorted(start for start in logged if start < period.since)
    begin = starts[-MAX_WARM_UP] if len(starts) >= MAX_WARM_UP else -inf
    reference_id = ""
    for window in reader.stream(log, WindowSummary, model):
        reference_id, _ = logged.get(window.window_start, (reference_id, ""))
        if begin <= window.window_start and window.window_end <= period.until:
            yield window, reference_id
