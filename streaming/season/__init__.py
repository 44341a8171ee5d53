"""Seasons: the hour of the day or week as part of the yardstick.

`learn_slots` sorts windows of the past into slots; `SeasonalReference` gives the yardstick of a
window's slot, shrunk towards the whole and with the error that this leaves.
"""

from streaming.season.slots import Season, learn_slots, slot_name, slot_of
from streaming.season.yardstick import SeasonalReference

__all__ = ["Season", "SeasonalReference", "learn_slots", "slot_name", "slot_of"]
