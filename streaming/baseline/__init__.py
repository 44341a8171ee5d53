"""The baseline of a version: its reference, seasonal references and day variance.

`merge.build_reference` adds up the windows that a version was trained on. `learn_slots` sorts
windows of the past into seasonal slots (the hour of the day or week), and `SeasonalReference` gives
the reference of a window's slot, shrunk towards the reference of all hours.
`DayVarianceEstimator` estimates from the same windows how much healthy features vary between days.
"""

from streaming.baseline.day_variance import DayVarianceEstimator, estimate_day_variance
from streaming.baseline.seasonal import SeasonalReference
from streaming.baseline.slots import Season, SlotLearner, learn_slots, slot_name, slot_of

__all__ = [
    "DayVarianceEstimator",
    "Season",
    "SeasonalReference",
    "SlotLearner",
    "estimate_day_variance",
    "learn_slots",
    "slot_name",
    "slot_of",
]
