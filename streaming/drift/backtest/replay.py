"""A period judged again: the same windows against the same yardsticks, under other rules.

Pure: the caller brings each window with the reference that was in force then. What comes out is
counted as the simulations count it (`tally`), so a backtest and a study mean the same by an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from streaming.contracts.model import ModelContract
from streaming.contracts.records import ALARMED, DriftOutcome, DriftVerdict, WindowSummary
from streaming.drift.backtest.alarm_count import Rate, Tally, rate
from streaming.drift.history import DriftHistory
from streaming.drift.prepared_reference import PreparedReference
from streaming.drift.settings import DAY, DriftRules
from streaming.drift.verdict import judge_drift


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A change that is known to be true: an alarm in it is right, an alarm elsewhere is false."""

    start: float
    """Seconds since 1970."""
    end: float = inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is kept of one verdict."""

    window_start: float
    window_end: float
    outcome: DriftOutcome
    rows: int
    reference_id: str
    alarmed: Mapping[str, float]
    """Effect of each feature that is suspected or drifted, in standard deviations."""
    drifted: frozenset[str] = frozenset()


class Replay:
    """One set of rules over the windows of a period, in the order the job saw them.

    Parameters
    ----------
    rules:
        Those to be tried.
    contract:
        Of the model.
    """

    def __init__(self, rules: DriftRules, contract: ModelContract) -> None:
        self.rules = rules
        self._contract = contract
        self._history = DriftHistory()
        self._judged: dict[float, Judged] = {}

    def add(
        self, window: WindowSummary, reference: PreparedReference | None, reference_id: str
    ) -> DriftVerdict:
        """Judge a window; one that comes again replaces itself."""
        verdict, self._history = judge_drift(
            window, reference, reference_id, self._history, self.rules, self._contract
        )
        self._judged[window.window_start] = _kept(verdict)
        return verdict

    def judged(self, since: float = -inf, until: float = inf) -> tuple[Judged, ...]:
        """The windows that lie wholly inside [since, until), in time order."""
        inside = (
            one
            for one in self._judged.values()
            if since <= one.window_start and one.window_end <= until
        )
        return tuple(sorted(inside, key=lambda one: one.window_start))


def _kept(verdict: DriftVerdict) -> Judged:
    alarmed = [one for one in verdict.features if one.outcome in ALARMED]
    return Judged(
        window_start=verdict.window_start,
        window_end=verdict.window_end,
        outcome=verdict.outcome,
        rows=verdict.rows,
        reference_id=verdict.reference_id,
        alarmed={one.feature: round(one.effect, 4) for one in alarmed},
        drifted=frozenset(one.feature for one in alarmed if one.outcome == "drifted"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """How long it took to see a shift; None where it was never seen."""

    shift: Shift
    windows: int | None
    """1 = in the first window that holds some of it."""
    events: int | None
    """Rows of those windows."""
    to_drifted: int | None
    """Windows until a retrain was asked for."""
    features: tuple[str, ...]
    """Alarmed in the first alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureAlarms:
    """One feature over the period."""

    feature: str
    windows: int
    """In which it was suspected or drifted."""
    false_windows: int
    """Of these outside the known shifts."""
    largest_effect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a set of rules would have said."""

    windows: int
    inconclusive: int
    alarms: int
    """One cause is one alarm a day (`tally.Tally`)."""
    drifted: int
    """The same of drifted features only: what asks for a retrain."""
    false: Rate
    """Alarms outside the known shifts over what the budget allows for that time."""
    delays: tuple[Delay, ...]
    features: tuple[FeatureAlarms, ...]


def account(judged: Sequence[Judged], rules: DriftRules, shifts: Sequence[Shift] = ()) -> Account:
    """Count a period's verdicts; without shifts all of it counts as quiet.

    An alarm may last for `rules.of` windows after a shift has ended: they remember it.
    """
    alarms, drifted = Tally(rules.of), Tally(rules.of)
    false, quiet = 0, 0.0
    before: Judged | None = None
    for one in judged:
        if before is None or _another_day(before, one):
            afresh = before is None or _forgotten(before, one, rules)
            alarms.new_day(afresh=afresh)
            drifted.new_day(afresh=afresh)
        fresh = alarms.window(one.alarmed)
        drifted.window(one.drifted)
        right = _explained(one, rules, shifts)
        false += bool(fresh) and not right
        if not right and one.outcome != "inconclusive":
            quiet += one.window_end - one.window_start
        before = one
    return Account(
        windows=len(judged),
        inconclusive=sum(one.outcome == "inconclusive" for one in judged),
        alarms=alarms.alarms,
        drifted=drifted.alarms,
        false=rate([false], rules.false_alarms * quiet / rules.period_seconds),
        delays=tuple(delay(judged, shift) for shift in shifts),
        features=_features(judged, rules, shifts),
    )


def delay(judged: Iterable[Judged], shift: Shift) -> Delay:
    """Windows and events from a shift's beginning to the first alarm in it."""
    inside = [one for one in judged if _touches(one, shift)]
    first = next((at for at, one in enumerate(inside) if one.alarmed), None)
    asked = next((at for at, one in enumerate(inside) if one.drifted), None)
    return Delay(
        shift=shift,
        windows=None if first is None else first + 1,
        events=None if first is None else sum(one.rows for one in inside[: first + 1]),
        to_drifted=None if asked is None else asked + 1,
        features=() if first is None else tuple(sorted(inside[first].alarmed)),
    )


def _touches(one: Judged, shift: Shift, more: float = 0.0) -> bool:
    return one.window_end > shift.start and one.window_start < shift.end + more


def _explained(one: Judged, rules: DriftRules, shifts: Sequence[Shift]) -> bool:
    remembered = rules.of * (one.window_end - one.window_start)
    return any(_touches(one, shift, remembered) for shift in shifts)


def _another_day(before: Judged, one: Judged) -> bool:
    """A new day or a new yardstick: what was alarmed before is news again."""
    return (
        before.window_start // DAY != one.window_start // DAY
        or before.reference_id != one.reference_id
    )


def _forgotten(before: Judged, one: Judged, rules: DriftRules) -> bool:
    """Whether the verdict `one` owes nothing to the windows up to `before`."""
    memory = rules.of * (one.window_end - one.window_start)
    return (
        before.reference_id != one.reference_id or one.window_start - before.window_start >= memory
    )


def _features(
    judged: Sequence[Judged], rules: DriftRules, shifts: Sequence[Shift]
) -> tuple[FeatureAlarms, ...]:
    names = {name for one in judged for name in one.alarmed}
    found = []
    for name in names:
        own = [one for one in judged if name in one.alarmed]
        found.append(
            FeatureAlarms(
                feature=name,
                windows=len(own),
                false_windows=sum(not _explained(one, rules, shifts) for one in own),
                largest_effect=max(one.alarmed[name] for one in own),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.windows, one.feature)))
