"""The wobble learnt from history: how far healthy features stray from day to day.

Every day's rows are scored against the new yardstick, in the directions of each feature (`rulers`).
What the means of a direction differ by from day to day beyond their sampling error is its wobble,
pooled over the directions of a family (place, spread, shape, values, categories, shares) and over
features: of one feature alone a week says next to nothing. With a season the days of one slot are
compared with each other, so that the season itself is no wobble, and it is the stray of an hour
that is learnt, as the judge then assumes one for each hour.

Few days are widened honestly: each value is an upper confidence bound (chi-square, with as many
degrees as days and *independent* features give), and raised for the days that the yardstick
itself is made of, which strayed as well. Too few teach nothing: without places the assumed value
stays, and any other family is then taken to stray as places do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from streaming.baseline.directions import (
    CATEGORIES,
    PLACE,
    SHAPE,
    SHARES,
    SPREAD,
    VALUES,
    Ruler,
    ruler_of,
)
from streaming.baseline.pooling import Cell, Pooled, Strayed, pooled, strayed
from streaming.baseline.slots import Season, slot_of
from streaming.contracts.model import ModelContract
from streaming.contracts.records import ReferenceSummary, WindowSummary, Wobble
from streaming.drift.prepared_reference import PreparedReference, prepare_reference
from streaming.drift.settings import DAY
from streaming.grid import Floats

_OTHERS = {
    "spread": SPREAD,
    "shape": SHAPE,
    "values": VALUES,
    "categories": CATEGORIES,
    "shares": SHARES,
}


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
    _rulers: dict[str, Ruler] = field(init=False)
    _sums: dict[str, dict[Cell, tuple[Floats, Floats]]] = field(init=False, default_factory=dict)
    """Of each direction the scores and the rows, by feature and day."""
    _seen: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._prepared = prepare_reference(self.reference, self.contract)
        self._rulers = {name: ruler_of(one) for name, one in self._prepared.features.items()}

    def add(self, window: WindowSummary) -> None:
        """Count a window; one that comes twice counts once."""
        if window.record_id in self._seen:
            return
        self._seen.add(window.record_id)
        middle = (window.window_start + window.window_end) / 2.0
        day = datetime.fromtimestamp(middle, UTC).astimezone(ZoneInfo(self.zone)).date()
        cell = slot_of(middle, self.season, self.zone), day.isoformat()
        for feature in window.features:
            ruler = self._rulers.get(feature.name)
            found = ruler.read(feature) if ruler else None
            if found is None:
                continue
            cells = self._sums.setdefault(feature.name, {})
            before = cells.get(cell)
            cells[cell] = found if before is None else (before[0] + found[0], before[1] + found[1])

    def learn(self) -> Wobble | None:
        """The wobble; None when there is too little to learn from."""
        found = {name: strayed(self._rulers[name], cells) for name, cells in self._sums.items()}
        place = self._pooled(found, PLACE)
        if place is None:
            return None
        others = {name: self._pooled(found, family) for name, family in _OTHERS.items()}
        return Wobble(
            sd=place.sd,
            days=place.days,
            features=place.features,
            degrees=round(place.degrees, 1),
            **{name: other.sd for name, other in others.items() if other is not None},
        )

    def _pooled(self, found: Mapping[str, Sequence[Strayed]], family: int) -> Pooled | None:
        mine = {
            name: [one for one in directions if one.family == family and one.degrees]
            for name, directions in found.items()
        }
        features = sum(bool(directions) for directions in mine.values())
        return pooled(
            [one for directions in mine.values() for one in directions],
            features=features,
            independence=self._independence(features),
            periods=self._periods(),
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
