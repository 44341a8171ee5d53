"""Seasons: the hour of the day or week as part of the yardstick.

`learn_slots` sorts windows of the past into slots; `SeasonalReference` gives the yardstick of a
window's slot, shrunk towards the whole and with the error that this leaves. `Days` learns from
the same windows how far healthy features stray (the wobble).
"""

from streaming.baseline.day_variance import Days, learn_wobble
from streaming.baseline.seasonal import SeasonalReference
from streaming.baseline.slots import Season, learn_slots, slot_name, slot_of

__all__ = [
    "Days",
    "Season",
    "SeasonalReference",
    "learn_slots",
    "learn_wobble",
    "slot_name",
    "slot_of",
]
