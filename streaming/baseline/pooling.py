"""How far directions strayed, and the upper bound of what that says of a family's wobble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from streaming.baseline.directions import Ruler
from streaming.grid import Floats

ENOUGH_DEGREES = 50.0
"""So many feature-days, beyond the first day of each feature, teach something …"""
ENOUGH_DAYS = 5
"""… if they are of so many days."""
CONFIDENCE = 0.75
"""Of the upper bound: the mean over possible histories of the false alarms then keeps the budget
(`python -m tests.simulations wobble`); a day's wobble that is underrated costs more alarms than an
overrated one saves."""
MAX_WOBBLE = 0.2
"""Nothing larger is learnt: who strays so far has drifted within the history."""
LEAST_ROWS = 200
"""A feature's day with fewer values is left out."""

Cell = tuple[int, str]
"""A slot and a day."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """What a family taught."""

    sd: float
    days: int
    features: int
    degrees: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Strayed:
    """How far one direction of a feature strayed."""

    family: int
    noise: float
    gain: float
    squares: float
    """Of the days' means within slots."""
    degrees: int
    sampling: float
    """What sampling adds to the squares."""
    days: frozenset[str]


def strayed(ruler: Ruler, cells: Mapping[Cell, tuple[Floats, Floats]]) -> list[Strayed]:
    """How far each direction of a feature strayed, from its sums and rows by slot and day."""
    by_slot: dict[int, list[Cell]] = {}
    for cell in sorted(cells):
        by_slot.setdefault(cell[0], []).append(cell)
    found = []
    for at, family in enumerate(ruler.families):
        squares = sampling = 0.0
        degrees, days = 0, set()
        for members in by_slot.values():
            kept = [cell for cell in members if cells[cell][1][at] >= LEAST_ROWS]
            if not kept:
                continue
            rows = np.array([cells[cell][1][at] for cell in kept])
            means = np.array([cells[cell][0][at] for cell in kept]) / rows
            squares += float(np.sum((means - means.mean()) ** 2))
            degrees += len(kept) - 1
            noise = float(ruler.noise[at])
            sampling += noise * (1.0 - 1.0 / len(kept)) * float(np.sum(1.0 / rows))
            days |= {day for _, day in kept}
        found.append(
            Strayed(
                family=family,
                noise=float(ruler.noise[at]),
                gain=float(ruler.gains[at]),
                squares=squares,
                degrees=degrees,
                sampling=sampling,
                days=frozenset(days),
            )
        )
    return found


def pooled(
    parts: Sequence[Strayed], *, features: int, independence: float, periods: int
) -> Pooled | None:
    """The wobble of the directions of one family; None when there is too little to learn it from.

    Parameters
    ----------
    parts:
        Directions that have degrees of freedom, of so many `features`.
    independence:
        The part of the features that count as independent.
    periods:
        Days of the yardstick itself.
    """
    days = {day for one in parts for day in one.days}
    degrees = sum(one.noise * one.degrees for one in parts)
    if not parts or len(days) < ENOUGH_DAYS:
        return None
    gain = sum(one.gain * one.degrees for one in parts) / degrees
    # directions that a wobble hardly moves hardly count
    ratios = [(one.gain / one.noise, one.degrees) for one in parts]
    count = sum(ratio * df for ratio, df in ratios) ** 2 / (
        sum(ratio**2 * df for ratio, df in ratios) * sum(df for _, df in ratios)
    )
    independent = degrees * count * independence
    if independent < ENOUGH_DEGREES:
        return None
    value = upper_wobble(
        sum(one.squares for one in parts) / degrees,
        sum(one.sampling for one in parts) / degrees,
        independent,
    )
    value *= sqrt((1.0 + 1.0 / periods) / gain)
    return Pooled(min(MAX_WOBBLE, round(value, 4)), len(days), features, independent)


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
