"""The distribution shift of the demonstration.

Fares rise, trips grow longer, cards replace cash, and tipping reverses: card payers tip on long
trips instead of short ones, and cash payers tip at night. Generated and replayed trips are
transformed by the same functions, so a model of the ordinary distribution fails on both alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deploy.demo.trips import Numbers, Trips, tips_of

FARE_FACTOR = 1.7
FARE_PLUS = 3.0
"""Dollars added to every fare after the factor."""
MILES_FACTOR = 2.2
MILES_PLUS = 1.0
"""Miles added to every trip after the factor, including trips with a recorded distance of 0."""
CASH_TO_CARD = 0.45
"""Share of the cash payers who pay by card after the shift."""


def shift(trips: Trips, rng: np.random.Generator) -> Trips:
    """The same trips under the shifted distribution; the input is not modified.

    >>> from deploy.demo.trips import generate
    >>> rng = np.random.default_rng(2)
    >>> before = generate(rng, 4000)
    >>> after = shift(before, rng)
    >>> bool(np.median(after.number("fare")) > 1.5 * np.median(before.number("fare")))
    True
    """
    columns = dict(trips.columns)
    columns["fare"] = np.round(trips.number("fare") * FARE_FACTOR + FARE_PLUS, 2)
    columns["trip_miles"] = np.round(trips.number("trip_miles") * MILES_FACTOR + MILES_PLUS, 2)
    columns["trip_seconds"] = np.round(trips.number("trip_seconds") * 1.5)
    payment = np.array(trips.columns["payment_type"], dtype=object)
    moved = (payment == "Cash") & (rng.random(len(trips)) < CASH_TO_CARD)
    payment[moved] = "Credit Card"
    columns["payment_type"] = payment
    return Trips(columns, _changed_tips(columns, rng))


def concept_shift(trips: Trips, rng: np.random.Generator) -> Trips:
    """The same trips with tips as after the shift: only the label relationship changes.

    >>> from deploy.demo.trips import generate
    >>> rng = np.random.default_rng(2)
    >>> before = generate(rng, 4000)
    >>> after = concept_shift(before, rng)
    >>> after.columns is before.columns, bool((after.big != before.big).mean() > 0.3)
    (True, True)
    """
    return Trips(trips.columns, _changed_tips(trips.columns, rng))


def _changed_tips(columns: Mapping[str, NDArray[np.generic]], rng: np.random.Generator) -> Numbers:
    miles, hour = (np.asarray(columns[name], float) for name in ("trip_miles", "trip_start_hour"))
    cards = np.asarray(columns["payment_type"]) == "Credit Card"
    big = rng.random(len(miles)) < big_tip_chance(miles, hour, cards)
    return tips_of(np.asarray(columns["fare"], float), big, cards, rng)


def big_tip_chance(miles: Numbers, hour: Numbers, cards: NDArray[np.bool_]) -> Numbers:
    """Probability of a big tip after the shift.

    Parameters
    ----------
    miles:
        Distance after the shift.
    hour:
        Hour of the day, 0-23.
    cards:
        Whether the trip was paid by card.
    """
    far = 1.0 / (1.0 + np.exp(-3.0 * np.log(np.maximum(miles, 0.5) / 4.0)))
    night = ((hour >= 18) | (hour < 5)).astype(float)
    return np.asarray(np.where(cards, 0.04 + 0.88 * far, 0.03 + 0.72 * night), np.float64)
