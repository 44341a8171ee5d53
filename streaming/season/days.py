"""The wobble learnt from history: how far healthy features stray from day to day.

Every day's rows are scored against the new yardstick (location, in standard deviations); what the
means of a feature differ by from day to day beyond their sampling error is its wobble, pooled over
features: of one alone a week says next to nothing. With a season the days of one slot are compared
with each other, so that the season itself is no wobble, and it is the stray of an hour that is
learnt, as the judge then assumes one for each hour.

Few days are widened honestly: the value is an upper confidence bound (chi-square, with as many
degrees as days and *independent* features give), and raised for the days that the yardstick
itself is made of, which strayed as well. Too few teach nothing, and the assumed value
stays. Categories have no location; their wobble is taken to be the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import sqrt
from zoneinfo import ZoneInfo

import numpy as np
from scipy import special

from streaming.contracts.model import ModelContract
from streaming.contracts.records import ReferenceSummary, WindowSummary, Wobble
from streaming.drift.prepared import PreparedReference, prepare_reference
from streaming.drift.rules import DAY
from streaming.drift.scores import LOCATION
from streaming.season.slots import Season, slot_of

ENOUGH_DEGREES = 50.0
"""So many feature-days, beyond the first day of each feature, teach something …"""
ENOUGH_DAYS = 5
"""… if they are of so many days."""
CONFIDENCE = 0.75
"""Of the upper bound: the mean over possible histories of the false alarms then keeps the budget
(`python -m tests.study.wobble`); a day's wobble that is underrated costs more alarms than an
overrated one saves."""
MOST_WOBBLE = 0.2
"""Nothing larger is learnt: who strays so far has drifted within the history."""
LEAST_ROWS = 200
"""A feature's day with fewer values is left out."""

_Cell = tuple[int, str]


@dataclass(slots=True, kw_only=True)
class Days:
    """Adds up windows by day (with a season by slot and day); order does not matter.

    Parameters
    ----------
    reference:
        The new yardstick.
    """

    reference: ReferenceSummary
    contract: ModelContract
    season: Season = "none"
    zone: str = "UTC"
    _prepared: PreparedReference = field(init=False)
    _sums: dict[str, dict[_Cell, tuple[float, int]]] = field(init=False, default_factory=dict)
    _seen: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._prepared = prepare_reference(self.reference, self.contract)

    def add(self, window: WindowSummary) -> None:
        """Count a window; one that comes twice counts once."""
        if window.record_id in self._seen:
            return
        self._seen.add(window.record_id)
        middle = (window.window_start + window.window_end) / 2.0
        day = datetime.fromtimestamp(middle, UTC).astimezone(ZoneInfo(self.zone)).date()
        cell = slot_of(middle, self.season, self.zone), day.isoformat()
        for feature in window.features:
            known = self._prepared.features.get(feature.name)
            if known is None or known.numbers is None or feature.grid is None:
                continue
            numbers = known.numbers
            if not numbers.usable[LOCATION] or feature.grid.pivot != numbers.pivot:
                continue
            columns, _ = numbers.columns(np.array(feature.grid.buckets, np.int64))
            score = float(numbers.scores[LOCATION, columns] @ np.array(feature.grid.counts, float))
            cells = self._sums.setdefault(feature.name, {})
            total, rows = cells.get(cell, (0.0, 0))
            cells[cell] = total + score, rows + sum(feature.grid.counts)

    def learn(self) -> Wobble | None:
        """The wobble; None when there is too little to learn from."""
        squares = degrees = sampling = 0.0
        days: set[str] = set()
        features = 0
        for cells in self._sums.values():
            found = _of_feature(cells)
            squares, degrees = squares + found[0], degrees + found[1]
            sampling += found[2]
            features += found[1] > 0
            days |= {day for (_, day), (_, rows) in cells.items() if rows >= LEAST_ROWS}
        independent = degrees * self._independence(features)
        if len(days) < ENOUGH_DAYS or independent < ENOUGH_DEGREES:
            return None
        value = upper_wobble(squares / degrees, sampling / degrees, independent)
        value *= sqrt(1.0 + 1.0 / self._periods())
        return Wobble(
            sd=min(MOST_WOBBLE, round(value, 4)),
            days=len(days),
            features=features,
            degrees=round(independent, 1),
        )

    def _periods(self) -> int:
        """Days of the yardstick itself: their mean strays too, and stays as it is."""
        seconds = self.reference.window_end - self.reference.window_start
        return max(1, round(seconds / DAY))

    def _independence(self, features: int) -> float:
        """The part of the features that count as independent."""
        together = self._prepared.together
        if together is None or features < 2:
            return 1.0
        return together.effective_features / len(together.features)


def upper_wobble(variance: float, sampling: float, degrees: float) -> float:
    """Upper bound of the wobble, as a standard deviation.

    Parameters
    ----------
    variance:
        Of the days' means within features, pooled.
    sampling:
        What their rows alone would make of it.
    degrees:
        Of freedom of `variance`.

    Examples
    --------
    >>> [round(upper_wobble(0.0026, 0.0001, degrees), 3) for degrees in (20, 100, 1000)]
    [0.057, 0.053, 0.051]
    """
    lower = float(special.chdtri(degrees, CONFIDENCE)) / degrees
    return sqrt(max(0.0, variance / lower - sampling))


def _of_feature(cells: dict[_Cell, tuple[float, int]]) -> tuple[float, float, float]:
    """Squares within slots, their degrees of freedom, and what sampling adds to them."""
    by_slot: dict[int, list[tuple[float, int]]] = {}
    for (slot, _), (total, rows) in sorted(cells.items()):
        if rows >= LEAST_ROWS:
            by_slot.setdefault(slot, []).append((total / rows, rows))
    squares = degrees = sampling = 0.0
    for found in by_slot.values():
        means = np.array([mean for mean, _ in found])
        squares += float(np.sum((means - means.mean()) ** 2))
        degrees += len(found) - 1
        sampling += (1.0 - 1.0 / len(found)) * sum(1.0 / rows for _, rows in found)
    return squares, degrees, sampling


def learn_wobble(
    windows: Iterable[WindowSummary],
    reference: ReferenceSummary,
    contract: ModelContract,
    season: Season = "none",
    zone: str = "UTC",
) -> Wobble | None:
    """The wobble of the days of `windows`, against `reference`; None where they are too few."""
    days = Days(reference=reference, contract=contract, season=season, zone=zone)
    for window in windows:
        days.add(window)
    return days.learn()
