"""Between-day variances of directions, and the pooled upper bound for a test family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from streaming.baseline.directions import Family, ScoreDirections
from streaming.grid import Floats

MIN_DEGREES = 50.0
"""Minimum feature-days, beyond the first day of each feature, for an estimate."""
MIN_DAYS = 5
"""Minimum number of different days for an estimate."""
CONFIDENCE = 0.75
"""Confidence of the upper bound. With it the mean false alarms over possible histories keep the
budget (`python -m tests.simulations day-variation`). A variance that is underestimated costs more
false alarms than an overestimated one saves."""
MAX_BETWEEN_DAY_SD = 0.2
"""Largest estimate; a feature that varies more has drifted within the history."""
MIN_ROWS = 200
"""A feature's day with fewer values is left out."""

SlotDay = tuple[int, str]
"""A seasonal slot and a date."""


@dataclass(frozen=True, slots=True)
class PooledVariance:
    """The estimate for a test family."""

    sd: float
    days: int
    features: int
    degrees: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionVariance:
    """Between-day sum of squares of one direction of a feature."""

    family: Family
    noise: float
    gain: float
    squares: float
    """Sum of squared deviations of the daily means from their slot's mean."""
    degrees: int
    sampling: float
    """Expected contribution of sampling to the sum of squares."""
    days: frozenset[str]


def direction_variances(
    directions: ScoreDirections, sums: Mapping[SlotDay, tuple[Floats, Floats]]
) -> list[DirectionVariance]:
    """The between-day variance of each direction.

    Parameters
    ----------
    sums:
        Sums of the scores, and the number of rows, by slot and day.
    """
    by_slot: dict[int, list[SlotDay]] = {}
    for slot_day in sorted(sums):
        by_slot.setdefault(slot_day[0], []).append(slot_day)
    variances = []
    for at, family in enumerate(directions.families):
        squares = sampling = 0.0
        degrees, days = 0, set()
        noise = float(directions.noise[at])
        for slot_days in by_slot.values():
            kept = [slot_day for slot_day in slot_days if sums[slot_day][1][at] >= MIN_ROWS]
            if not kept:
                continue
            rows = np.array([sums[slot_day][1][at] for slot_day in kept])
            means = np.array([sums[slot_day][0][at] for slot_day in kept]) / rows
            squares += float(np.sum((means - means.mean()) ** 2))
            degrees += len(kept) - 1
            sampling += noise * (1.0 - 1.0 / len(kept)) * float(np.sum(1.0 / rows))
            days |= {day for _, day in kept}
        variances.append(
            DirectionVariance(
                family=family,
                noise=noise,
                gain=float(directions.gains[at]),
                squares=squares,
                degrees=degrees,
                sampling=sampling,
                days=frozenset(days),
            )
        )
    return variances


def pool_directions(
    directions: Sequence[DirectionVariance],
    *,
    features: int,
    independence: float,
    reference_days: int,
) -> PooledVariance | None:
    """The estimate for a test family; None with too little history.

    Parameters
    ----------
    directions:
        The family's directions that have degrees of freedom.
    features:
        Number of features that have such directions.
    independence:
        The part of the features that count as independent.
    reference_days:
        Number of days in the reference, whose mean varies as well.
    """
    days = {day for direction in directions for day in direction.days}
    degrees = sum(direction.noise * direction.degrees for direction in directions)
    if not directions or len(days) < MIN_DAYS:
        return None
    gain = sum(direction.gain * direction.degrees for direction in directions) / degrees
    # directions with a small gain carry little information
    ratios = [(direction.gain / direction.noise, direction.degrees) for direction in directions]
    efficiency = sum(ratio * df for ratio, df in ratios) ** 2 / (
        sum(ratio**2 * df for ratio, df in ratios) * sum(df for _, df in ratios)
    )
    effective_degrees = degrees * efficiency * independence
    if effective_degrees < MIN_DEGREES:
        return None
    sd = upper_bound_sd(
        sum(direction.squares for direction in directions) / degrees,
        sum(direction.sampling for direction in directions) / degrees,
        effective_degrees,
    )
    sd *= sqrt((1.0 + 1.0 / reference_days) / gain)
    return PooledVariance(
        min(MAX_BETWEEN_DAY_SD, round(sd, 4)), len(days), features, effective_degrees
    )


def upper_bound_sd(variance: float, sampling: float, degrees: float) -> float:
    """Upper confidence bound of the between-day standard deviation.

    Parameters
    ----------
    variance:
        Pooled variance of the daily means within features.
    sampling:
        The part of it that sampling alone is expected to cause.
    degrees:
        Degrees of freedom of `variance`.

    Examples
    --------
    >>> [round(upper_bound_sd(0.0026, 0.0001, degrees), 3) for degrees in (20, 100, 1000)]
    [0.057, 0.053, 0.051]
    """
    lower = float(special.chdtri(degrees, CONFIDENCE)) / degrees
    return sqrt(max(0.0, variance / lower - sampling))
