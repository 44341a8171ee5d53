"""Seasonal slots (the hour of the day or of the week) and the history of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, assert_never
from zoneinfo import ZoneInfo

from streaming.contracts.model import ModelContract
from streaming.contracts.records import FeatureSummary, SlotSummary, WindowSummary
from streaming.summary import merge_summaries

Season = Literal["none", "hour-of-day", "hour-of-week"]

_MERGED_TOGETHER = 64
"""Feature summaries that a slot holds before it merges them."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def slot_of(at: float, season: Season, zone: str = "UTC") -> int:
    """The slot of a moment: the hour of the day (0-23) or of the week (0-167, from Monday).

    The hour is local time in `zone`, so a season keeps its hours when the clocks change.

    >>> slot_of(0.0, "hour-of-week")  # 1970-01-01 was a Thursday
    72
    >>> slot_of(0.0, "hour-of-day", "America/Chicago"), slot_of(1e9, "none")
    (18, 0)
    """
    match season:
        case "none":
            return 0
        case "hour-of-day":
            return _local_time(at, zone).hour
        case "hour-of-week":
            local = _local_time(at, zone)
            return 24 * local.weekday() + local.hour
        case _:
            assert_never(season)


def slot_name(slot: int, season: Season) -> str:
    """The name of a slot; empty without a season.

    >>> slot_name(72, "hour-of-week"), slot_name(7, "hour-of-day"), slot_name(0, "none")
    ('Thu 00h', '07h', '')
    """
    if season == "none":
        return ""
    day = f"{_DAYS[slot // 24]} " if season == "hour-of-week" else ""
    return f"{day}{slot % 24:02d}h"


def learn_slots(
    windows: Iterable[WindowSummary], contract: ModelContract, season: Season, zone: str = "UTC"
) -> tuple[SlotSummary, ...]:
    """Counts of the judged features by slot; empty without a season.

    A window belongs to the slot of its middle. A repeated window (same record id) counts once.
    """
    learner = SlotLearner(contract=contract, season=season, zone=zone)
    for window in sorted(windows, key=lambda window: (window.window_start, window.record_id)):
        learner.add(window)
    return learner.learnt()


@dataclass(slots=True)
class _SlotCounts:
    """What a slot has so far: features of single windows, merged from time to time."""

    rows: int = 0
    dates: set[str] = field(default_factory=set)
    features: dict[str, list[FeatureSummary]] = field(default_factory=dict)

    def add(self, feature: FeatureSummary) -> None:
        parts = self.features.setdefault(feature.name, [])
        parts.append(feature)
        if len(parts) >= _MERGED_TOGETHER:
            parts[:] = [merge_summaries(parts)]


@dataclass(slots=True, kw_only=True)
class SlotLearner:
    """Adds up windows by slot one by one, so that weeks of windows are never held at once.

    Parameters
    ----------
    contract:
        Of the model; only judged features are counted.
    season, zone:
        The season of the model, and the time zone of its hours.
    """

    contract: ModelContract
    season: Season
    zone: str = "UTC"
    _slots: dict[int, _SlotCounts] = field(init=False, default_factory=dict)
    _ids: set[str] = field(init=False, default_factory=set)
    _judged: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        features = self.contract.features
        self._judged = frozenset(spec.name for spec in features if spec.judged)

    def add(self, window: WindowSummary) -> None:
        """Count a window; one without rows or one that was counted before changes nothing."""
        if self.season == "none" or not window.accepted or window.record_id in self._ids:
            return
        self._ids.add(window.record_id)
        middle = (window.window_start + window.window_end) / 2.0
        counts = self._slots.setdefault(slot_of(middle, self.season, self.zone), _SlotCounts())
        counts.rows += window.accepted
        counts.dates.add(_local_time(middle, self.zone).date().isoformat())
        for feature in window.features:
            if feature.name in self._judged:
                counts.add(feature)

    def learnt(self) -> tuple[SlotSummary, ...]:
        """The slots' counts so far."""
        return tuple(
            SlotSummary(
                slot=slot,
                rows=counts.rows,
                periods=len(counts.dates),
                features=tuple(merge_summaries(parts) for parts in counts.features.values()),
            )
            for slot, counts in sorted(self._slots.items())
        )


def _local_time(at: float, zone: str) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
