"""Generator of taxi trips: the demonstration's ordinary distribution.

The marginal distributions are fitted by eye to Chicago's public taxi trips: fares start at 3.25 and
grow by mile and minute, distances are log-normal, a quarter of the meters report no distance, and
many companies and tracts are missing. No row of that data is included. Tips depend on payment,
distance, hour and company closely enough for a model to learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

INTEGERS = (
    "pickup_community_area",
    "trip_start_month",
    "trip_start_hour",
    "trip_start_day",
    "trip_start_timestamp",
    "trip_seconds",
    "dropoff_community_area",
)
NUMBERS = (
    "fare",
    "trip_miles",
    "pickup_latitude",
    "pickup_longitude",
    "dropoff_latitude",
    "dropoff_longitude",
    "pickup_census_tract",
    "dropoff_census_tract",
)
TEXTS = ("payment_type", "company")

_AREAS = np.array(
    # community area, share, latitude, longitude
    [
        (8, 0.34, 41.899, -87.633),
        (32, 0.23, 41.881, -87.628),
        (28, 0.09, 41.874, -87.664),
        (6, 0.08, 41.944, -87.656),
        (7, 0.06, 41.922, -87.650),
        (76, 0.06, 41.980, -87.914),
        (24, 0.04, 41.901, -87.676),
        (33, 0.02, 41.857, -87.620),
        (3, 0.02, 41.966, -87.656),
        (56, 0.02, 41.793, -87.771),
        (77, 0.01, 41.986, -87.664),
        (22, 0.01, 41.923, -87.699),
        (5, 0.01, 41.948, -87.683),
        (41, 0.01, 41.794, -87.592),
    ]
)
_PAYMENTS = np.array(["Cash", "Credit Card", "No Charge", "Unknown", "Dispute", "Pcard"], object)
_PAYMENT_SHARES = (0.598, 0.39, 0.006, 0.004, 0.001, 0.001)
_COMPANIES = np.array(
    [
        None,
        "Taxi Affiliation Services",
        "Dispatch Taxi Affiliation",
        "Blue Ribbon Taxi Association Inc.",
        "Choice Taxi Association",
        "Northwest Management LLC",
        "KOAM Taxi Association",
        "Top Cab Affiliation",
    ],
    object,
)
_COMPANY_SHARES = (0.343, 0.35, 0.11, 0.075, 0.06, 0.037, 0.016, 0.009)
_HOURS = np.array([4, 4, 3, 2, 1, 1, 1, 2, 4, 4, 5, 4, 5, 5, 5, 5, 5, 6, 6, 7, 6, 6, 6, 5], float)
_FIRST_DAY = 1_357_000_000
"""Start of the range of `trip_start_timestamp` (2013), a feature without drift tests."""


@dataclass(frozen=True, slots=True)
class Trips:
    """Columns of equal length: floats with NaN for missing values, text with None."""

    columns: Mapping[str, NDArray[np.generic]]
    tips: Numbers
    """The outcome in dollars; never part of an event."""

    def __len__(self) -> int:
        return len(self.tips)

    def number(self, name: str) -> Numbers:
        """One numeric column."""
        return np.asarray(self.columns[name], np.float64)

    @property
    def big(self) -> NDArray[np.bool_]:
        """The label: a tip above a fifth of the fare."""
        return self.tips > 0.2 * self.number("fare")


def generate(rng: np.random.Generator, rows: int) -> Trips:
    """Generate `rows` ordinary trips.

    >>> trips = generate(np.random.default_rng(1), 5000)
    >>> bool(0.15 < trips.big.mean() < 0.35)
    True
    """
    pickup, pickup_at = _locations(rng, rows, missing=0.0)
    dropoff, dropoff_at = _locations(rng, rows, missing=0.033)
    driven = np.minimum(rng.lognormal(np.log(2.0), 0.9, rows), 60.0)
    minutes = 2.0 + driven * rng.lognormal(np.log(3.2), 0.35, rows)
    hour = rng.choice(24, rows, p=_HOURS / _HOURS.sum()).astype(float)
    columns: dict[str, NDArray[np.generic]] = {
        "pickup_community_area": pickup,
        "fare": _round(3.25 + 1.8 * driven + 0.12 * minutes, 0.05),
        "trip_start_month": rng.integers(1, 13, rows).astype(float),
        "trip_start_hour": hour,
        "trip_start_day": rng.integers(1, 8, rows).astype(float),
        "trip_start_timestamp": _FIRST_DAY + 900.0 * rng.integers(0, 140_000, rows),
        "pickup_latitude": pickup_at[:, 0],
        "pickup_longitude": pickup_at[:, 1],
        "dropoff_latitude": dropoff_at[:, 0],
        "dropoff_longitude": dropoff_at[:, 1],
        "trip_miles": np.where(rng.random(rows) < 0.25, 0.0, _round(driven, 0.1)),
        "pickup_census_tract": np.full(rows, np.nan),
        "dropoff_census_tract": np.where(
            rng.random(rows) < 0.28, np.nan, 17_031_000_000.0 + 100.0 * np.nan_to_num(dropoff)
        ),
        "payment_type": rng.choice(_PAYMENTS, rows, p=_PAYMENT_SHARES),
        "company": rng.choice(_COMPANIES, rows, p=_COMPANY_SHARES),
        "trip_seconds": np.round(minutes) * 60.0,
        "dropoff_community_area": dropoff,
    }
    return Trips(columns, ordinary_tips(columns, rng))


def ordinary_tips(columns: Mapping[str, NDArray[np.generic]], rng: np.random.Generator) -> Numbers:
    """Tips before the shift: generous by card on short trips, almost none in cash."""
    fare = np.asarray(columns["fare"], float)
    cards = np.asarray(columns["payment_type"]) == "Credit Card"
    return tips_of(fare, rng.random(len(fare)) < ordinary_chance(columns), cards, rng)


def ordinary_chance(columns: Mapping[str, NDArray[np.generic]]) -> Numbers:
    """Probability of a big tip before the shift, trip by trip."""
    fare = np.asarray(columns["fare"], float)
    night = (np.asarray(columns["trip_start_hour"], float) >= 17).astype(float)
    choice = (np.asarray(columns["company"]) == "Choice Taxi Association").astype(float)
    logit = 1.1 - 1.2 * np.log(np.maximum(fare, 3.0) / 8.0) + 0.5 * night - 0.8 * choice
    cards = np.asarray(columns["payment_type"]) == "Credit Card"
    return np.asarray(np.where(cards, _sigmoid(logit), 0.01), np.float64)


def tips_of(
    fare: Numbers, big: NDArray[np.bool_], tipped: NDArray[np.bool_], rng: np.random.Generator
) -> Numbers:
    """Tips in dollars: 21-35 % of the fare where `big`, up to 19 % where only `tipped`, else 0."""
    share = np.where(big, rng.uniform(0.21, 0.35, len(fare)), rng.uniform(0.0, 0.19, len(fare)))
    return np.asarray(np.where(big | tipped, np.round(share * fare, 4), 0.0), np.float64)


def _locations(
    rng: np.random.Generator, rows: int, missing: float
) -> tuple[Numbers, NDArray[np.float64]]:
    chosen = _AREAS[rng.choice(len(_AREAS), rows, p=_AREAS[:, 1] / _AREAS[:, 1].sum())]
    at = np.round(chosen[:, 2:] + rng.normal(0.0, 0.007, (rows, 2)), 6)
    unknown = rng.random(rows) < missing
    area = np.where(unknown, np.nan, chosen[:, 0])
    return area, np.where(unknown[:, None], np.nan, at)


def _round(values: Numbers, step: float) -> Numbers:
    return np.round(np.round(values / step) * step, 2)


def _sigmoid(logit: Numbers) -> Numbers:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)), np.float64)
