"""Seasonal slots (the hour of the day or of the week) and the history of each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, assert_never
from zoneinfo import ZoneInfo

from streaming.contracts.model import ModelContract
from streaming.contracts.records import FeatureSummary, SlotSummary, WindowSummary
from streaming.summary import merge_summaries

Season = Literal["none", "hour-of-day", "hour-of-week"]

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
    if season == "none":
        return ()
    judged = {spec.name for spec in contract.features if spec.judged}
    by_id = {window.record_id: window for window in windows if window.accepted}
    features: dict[int, dict[str, list[FeatureSummary]]] = {}
    rows: dict[int, int] = {}
    periods: dict[int, set[str]] = {}
    for window in sorted(
        by_id.values(), key=lambda window: (window.window_start, window.record_id)
    ):
        middle = (window.window_start + window.window_end) / 2.0
        slot = slot_of(middle, season, zone)
        rows[slot] = rows.get(slot, 0) + window.accepted
        periods.setdefault(slot, set()).add(_local_time(middle, zone).date().isoformat())
        slot_features = features.setdefault(slot, {})
        for feature in window.features:
            if feature.name in judged:
                slot_features.setdefault(feature.name, []).append(feature)
    return tuple(
        SlotSummary(
            slot=slot,
            rows=rows[slot],
            periods=len(periods[slot]),
            features=tuple(merge_summaries(parts) for parts in features[slot].values()),
        )
        for slot in sorted(features)
    )


def _local_time(at: float, zone: str) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
