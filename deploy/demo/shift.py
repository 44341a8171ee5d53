"""The change of the world that the demonstration is about.

Prices rise, trips grow longer, cash gives way to cards, and tipping turns round: card payers now
tip on long trips instead of short ones, and cash payers tip at night. Generated and replayed
trips go through the same function, so a model that learned the old world is wrong in the same
way on both.
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
"""Miles added to every trip after the factor; also to those whose meter said 0."""
CASH_TO_CARD = 0.45
"""Share of the cash payers who now pay by card."""


def shift(trips: Trips, rng: np.random.Generator) -> Trips:
    """The same trips in the changed world; input and result share no array that changed.

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


def turn(trips: Trips, rng: np.random.Generator) -> Trips:
    """The same trips, and tips as in the changed world: only their meaning has changed.

    >>> from deploy.demo.trips import generate
    >>> rng = np.random.default_rng(2)
    >>> before = generate(rng, 4000)
    >>> after = turn(before, rng)
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
    """Chance of a big tip in the changed world.

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
