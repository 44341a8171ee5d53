"""Constants that turn each input into numbers. Nothing here is learnt from data.

Scales, buckets and hashes are constant so that a retrained version differs from the live one by its
weights alone, the layout below a trained embedding never changes, and Transform needs no pass over
the data.
"""

from __future__ import annotations

from typing import NamedTuple

LABEL = "big_tipper"
TIPS = "tips"
FARE = "fare"
BIG_TIP_RATIO = 0.2
"""Share of the fare above which a tip is a big one."""


class LogScale(NamedTuple):
    """x → (log(1 + max(x, 0)) - middle) / width: near 0 ± 1 on ordinary trips."""

    middle: float
    width: float


class Coordinate(NamedTuple):
    """x → (x - centre) * scale; a missing coordinate becomes the centre."""

    centre: float
    scale: float


LOG_SCALES: dict[str, LogScale] = {
    "fare": LogScale(2.3, 0.6),
    "trip_miles": LogScale(0.8, 0.8),
    "trip_seconds": LogScale(6.3, 0.8),
}
COORDINATES: dict[str, Coordinate] = {
    "pickup_latitude": Coordinate(41.9, 20.0),
    "pickup_longitude": Coordinate(-87.65, 20.0),
    "dropoff_latitude": Coordinate(41.9, 20.0),
    "dropoff_longitude": Coordinate(-87.65, 20.0),
}
HASHED: dict[str, int] = {"payment_type": 64, "company": 128}
"""Text → hash bucket. The empty text, which also represents a missing one, has its own bucket."""
SMALL_INTEGERS: dict[str, int] = {
    "trip_start_month": 14,
    "trip_start_day": 9,
    "trip_start_hour": 26,
    "pickup_community_area": 80,
    "dropoff_community_area": 80,
}
"""Integer x → x + 1, clipped to 0 … size - 1: 0 is missing, the last bucket is anything larger."""

INTEGERS = frozenset({"trip_seconds", *SMALL_INTEGERS})
"""Inputs of type int64; the other numbers are floats, the hashed inputs are text."""


def transformed(name: str) -> str:
    """Name of an input after Transform; a feature must not have the name of its input."""
    return f"{name}_x"


def numeric_names() -> list[str]:
    """Transformed names of the net's float inputs, in the net's order."""
    return [transformed(name) for name in (*LOG_SCALES, *COORDINATES)]


def bucket_sizes() -> dict[str, int]:
    """Transformed name of each bucketed input → number of its buckets."""
    return {transformed(name): size for name, size in (HASHED | SMALL_INTEGERS).items()}
