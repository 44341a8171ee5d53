"""Judges a past period again: the same windows and references, under other rules.

Pure: the caller passes each window with the reference that was in force then. Alarms are counted as
in the simulations (`alarm_count`), so an alarm means the same in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from streaming.contracts.model import ModelContract
from streaming.contracts.records import ALARMED, DriftOutcome, DriftVerdict, WindowSummary
from streaming.drift.backtest.alarm_count import AlarmCounter, AlarmRate, alarm_rate
from streaming.drift.history import DriftHistory
from streaming.drift.prepared_reference import PreparedReference
from streaming.drift.settings import DAY, DriftRules
from streaming.drift.verdict import judge_drift


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownShift:
    """A period with a known change: an alarm inside is correct, an alarm outside is false."""

    start: float
    """Seconds since 1970."""
    end: float = inf
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedWindow:
    """The part of one verdict that is kept for counting."""

    window_start: float
    window_end: float
    outcome: DriftOutcome
    rows: int
    reference_id: str
    alarmed: Mapping[str, float]
    """Features that are suspected or drifted, with their effect in standard deviations."""
    drifted: frozenset[str] = frozenset()
    """Features that are drifted."""


class Replay:
    """One set of rules applied to the windows of a period, in the order the job saw them.

    Parameters
    ----------
    rules:
        The rules to try.
    contract:
        The contract of the model.
    """

    def __init__(self, rules: DriftRules, contract: ModelContract) -> None:
        self.rules = rules
        self._contract = contract
        self._history = DriftHistory()
        self._windows: dict[float, ReplayedWindow] = {}

    def add(
        self, window: WindowSummary, reference: PreparedReference | None, reference_id: str
    ) -> DriftVerdict:
        """Judge a window. If it was added before, the new verdict replaces the old one."""
        verdict, self._history = judge_drift(
            window, reference, reference_id, self._history, self.rules, self._contract
        )
        self._windows[window.window_start] = _replayed(verdict)
        return verdict

    def judged(self, since: float = -inf, until: float = inf) -> tuple[ReplayedWindow, ...]:
        """The windows that lie completely inside [since, until), in time order."""
        inside = (
            window
            for window in self._windows.values()
            if since <= window.window_start and window.window_end <= until
        )
        return tuple(sorted(inside, key=lambda window: window.window_start))


def _replayed(verdict: DriftVerdict) -> ReplayedWindow:
    alarmed = [feature for feature in verdict.features if feature.outcome in ALARMED]
    return ReplayedWindow(
        window_start=verdict.window_start,
        window_end=verdict.window_end,
        outcome=verdict.outcome,
        rows=verdict.rows,
        reference_id=verdict.reference_id,
        alarmed={feature.feature: round(feature.effect, 4) for feature in alarmed},
        drifted=frozenset(feature.feature for feature in alarmed if feature.outcome == "drifted"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionDelay:
    """Time from the start of a known shift to its detection; None if it was never detected."""

    shift: KnownShift
    windows: int | None
    """Number of windows until the first alarm; 1 means the first window that overlaps the shift."""
    events: int | None
    """Number of rows of these windows."""
    windows_to_drifted: int | None
    """Number of windows until the outcome `drifted`, which requests a retrain."""
    features: tuple[str, ...]
    """Features of the first alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureAlarms:
    """Alarms of one feature over the period."""

    feature: str
    windows: int
    """Number of windows in which it was suspected or drifted."""
    false_windows: int
    """Number of these windows that no known shift explains."""
    largest_effect: float
    """In standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """Alarms and detection delays of one set of rules over a period."""

    windows: int
    inconclusive: int
    alarms: int
    """Number of alarms; one cause is one alarm a day (`AlarmCounter`)."""
    drifted: int
    """Number of alarms with a drifted feature, which request a retrain."""
    false: AlarmRate
    """Alarms outside the known shifts in relation to the budget of that time."""
    delays: tuple[DetectionDelay, ...]
    features: tuple[FeatureAlarms, ...]


def count_alarms(
    windows: Sequence[ReplayedWindow], rules: DriftRules, shifts: Sequence[KnownShift] = ()
) -> BacktestResult:
    """Count the alarms of a period. Without known shifts, all alarms count as false.

    An alarm may continue for `rules.of` windows after the end of a shift, because verdicts look
    back on as many windows.
    """
    alarms, drifted = AlarmCounter(rules.of), AlarmCounter(rules.of)
    false_alarms, quiet_seconds = 0, 0.0
    previous: ReplayedWindow | None = None
    for window in windows:
        if previous is None or _starts_day(previous, window):
            reset = previous is None or _history_lost(previous, window, rules)
            alarms.new_day(reset=reset)
            drifted.new_day(reset=reset)
        new = alarms.window(window.alarmed)
        drifted.window(window.drifted)
        explained = _explained(window, rules, shifts)
        false_alarms += bool(new) and not explained
        if not explained and window.outcome != "inconclusive":
            quiet_seconds += window.window_end - window.window_start
        previous = window
    return BacktestResult(
        windows=len(windows),
        inconclusive=sum(window.outcome == "inconclusive" for window in windows),
        alarms=alarms.alarms,
        drifted=drifted.alarms,
        false=alarm_rate([false_alarms], rules.false_alarms * quiet_seconds / rules.period_seconds),
        delays=tuple(detection_delay(windows, shift) for shift in shifts),
        features=_feature_alarms(windows, rules, shifts),
    )


def detection_delay(windows: Iterable[ReplayedWindow], shift: KnownShift) -> DetectionDelay:
    """Windows and events from the start of a shift to the first alarm in it."""
    inside = [window for window in windows if _overlaps(window, shift)]
    first = next((at for at, window in enumerate(inside) if window.alarmed), None)
    drifted = next((at for at, window in enumerate(inside) if window.drifted), None)
    return DetectionDelay(
        shift=shift,
        windows=None if first is None else first + 1,
        events=None if first is None else sum(window.rows for window in inside[: first + 1]),
        windows_to_drifted=None if drifted is None else drifted + 1,
        features=() if first is None else tuple(sorted(inside[first].alarmed)),
    )


def _overlaps(window: ReplayedWindow, shift: KnownShift, extension: float = 0.0) -> bool:
    return window.window_end > shift.start and window.window_start < shift.end + extension


def _explained(window: ReplayedWindow, rules: DriftRules, shifts: Sequence[KnownShift]) -> bool:
    """Whether a known shift lies in the windows that the verdict looks back on."""
    lookback = rules.of * (window.window_end - window.window_start)
    return any(_overlaps(window, shift, lookback) for shift in shifts)


def _starts_day(previous: ReplayedWindow, window: ReplayedWindow) -> bool:
    """Whether a day or a reference starts, so that a repeated alarm counts as new."""
    return (
        previous.window_start // DAY != window.window_start // DAY
        or previous.reference_id != window.reference_id
    )


def _history_lost(previous: ReplayedWindow, window: ReplayedWindow, rules: DriftRules) -> bool:
    """Whether the verdict on `window` looks back on nothing up to `previous`."""
    lookback = rules.of * (window.window_end - window.window_start)
    return (
        previous.reference_id != window.reference_id
        or window.window_start - previous.window_start >= lookback
    )


def _feature_alarms(
    windows: Sequence[ReplayedWindow], rules: DriftRules, shifts: Sequence[KnownShift]
) -> tuple[FeatureAlarms, ...]:
    names = {name for window in windows for name in window.alarmed}
    result = []
    for name in names:
        alarmed = [window for window in windows if name in window.alarmed]
        result.append(
            FeatureAlarms(
                feature=name,
                windows=len(alarmed),
                false_windows=sum(not _explained(window, rules, shifts) for window in alarmed),
                largest_effect=max(window.alarmed[name] for window in alarmed),
            )
        )
    return tuple(sorted(result, key=lambda alarms: (-alarms.windows, alarms.feature)))
