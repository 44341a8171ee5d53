"""Estimates from history how much healthy features vary between days.

The rows of each day are scored against the new reference, in the directions of each feature
(`directions`). The variance of a direction's daily means beyond their sampling error is its
between-day variance (a variance component). It is pooled over features and over the directions of
a test family, because a week of one feature alone gives almost no information. With a season, only
days of the same slot are compared, so that the season itself does not count. The result is then
the variation of an hour, because the judgement assumes an offset for each hour.

Each figure is an upper confidence bound (chi-square, with as many degrees of freedom as days and
independent features give). It is also raised because the days of the reference itself varied. With
too little history for the locations nothing is estimated, and the assumed value stays. Any other
family with too little history has no figure, and the location's is used for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from streaming.baseline.directions import Family, ScoreDirections, score_directions
from streaming.baseline.pooling import (
    DirectionVariance,
    PooledVariance,
    SlotDay,
    direction_variances,
    pool_directions,
)
from streaming.baseline.slots import Season, slot_of
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DayVariance, ReferenceSummary, WindowSummary
from streaming.drift.prepared_reference import PreparedReference, prepare_reference
from streaming.drift.settings import DAY
from streaming.grid import Floats


@dataclass(slots=True, kw_only=True)
class DayVarianceEstimator:
    """Adds up windows by day, or with a season by slot and day; their order does not matter.

    Parameters
    ----------
    reference:
        The new reference.
    contract:
        Of the model.
    season, zone:
        The season of the model, and the time zone of days and hours.
    """

    reference: ReferenceSummary
    contract: ModelContract
    season: Season = "none"
    zone: str = "UTC"
    _prepared: PreparedReference = field(init=False)
    _directions: dict[str, ScoreDirections] = field(init=False)
    _sums: dict[str, dict[SlotDay, tuple[Floats, Floats]]] = field(init=False, default_factory=dict)
    """Sums of scores and numbers of rows of each direction, by feature and day."""
    _window_ids: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._prepared = prepare_reference(self.reference, self.contract)
        self._directions = {
            name: score_directions(feature) for name, feature in self._prepared.features.items()
        }

    def add(self, window: WindowSummary) -> None:
        """Count a window; a repeated window counts once."""
        if window.record_id in self._window_ids:
            return
        self._window_ids.add(window.record_id)
        middle = (window.window_start + window.window_end) / 2.0
        date = datetime.fromtimestamp(middle, UTC).astimezone(ZoneInfo(self.zone)).date()
        slot_day = slot_of(middle, self.season, self.zone), date.isoformat()
        for feature in window.features:
            directions = self._directions.get(feature.name)
            measured = directions.measure(feature) if directions else None
            if measured is None:
                continue
            days = self._sums.setdefault(feature.name, {})
            total = days.get(slot_day)
            days[slot_day] = (
                measured if total is None else (total[0] + measured[0], total[1] + measured[1])
            )

    def estimate(self) -> DayVariance | None:
        """The day variance; None with too little history."""
        variances = {
            name: direction_variances(self._directions[name], days)
            for name, days in self._sums.items()
        }
        location = self._pool(variances, Family.LOCATION)
        if location is None:
            return None

        def sd(family: Family) -> float | None:
            pooled = self._pool(variances, family)
            return None if pooled is None else pooled.sd

        return DayVariance(
            location=location.sd,
            days=location.days,
            features=location.features,
            degrees=round(location.degrees, 1),
            dispersion=sd(Family.DISPERSION),
            shape=sd(Family.SHAPE),
            values=sd(Family.VALUES),
            categories=sd(Family.CATEGORIES),
            missing=sd(Family.MISSING),
        )

    def _pool(
        self, variances: Mapping[str, Sequence[DirectionVariance]], family: Family
    ) -> PooledVariance | None:
        by_feature = {
            name: [
                direction
                for direction in directions
                if direction.family == family and direction.degrees
            ]
            for name, directions in variances.items()
        }
        features = sum(bool(directions) for directions in by_feature.values())
        return pool_directions(
            [direction for directions in by_feature.values() for direction in directions],
            features=features,
            independence=self._independence(features),
            reference_days=self._reference_days(),
        )

    def _reference_days(self) -> int:
        """Number of days in the reference itself."""
        seconds = self.reference.window_end - self.reference.window_start
        return max(1, round(seconds / DAY))

    def _independence(self, features: int) -> float:
        """The part of the features that count as independent."""
        correlation = self._prepared.correlation
        if correlation is None or features < 2:
            return 1.0
        return correlation.effective_features / len(correlation.features)


def estimate_day_variance(
    windows: Iterable[WindowSummary],
    reference: ReferenceSummary,
    contract: ModelContract,
    season: Season = "none",
    zone: str = "UTC",
) -> DayVariance | None:
    """The day variance of `windows` against `reference`; None with too few days."""
    estimator = DayVarianceEstimator(
        reference=reference, contract=contract, season=season, zone=zone
    )
    for window in windows:
        estimator.add(window)
    return estimator.estimate()
