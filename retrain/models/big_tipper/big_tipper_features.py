"""How each input is turned into numbers. Nothing here is learnt from data.

Scales, buckets and hashes are constants, on purpose: a retrained version then differs from the
live one by its weights alone, the layout never shifts below a trained embedding, and Transform
needs no pass over the data.
"""

from __future__ import annotations

from typing import NamedTuple

LABEL = "big_tipper"
TIPS = "tips"
FARE = "fare"
BIG_TIP_RATIO = 0.2
"""A tip above this share of the fare is a big one."""


class LogScale(NamedTuple):
    """x → (log(1 + max(x, 0)) - middle) / width: near 0 ± 1 on ordinary trips."""

    middle: float
    width: float


class Place(NamedTuple):
    """x → (x - centre) * scale; a missing place is the centre."""

    centre: float
    scale: float


LOG_SCALES: dict[str, LogScale] = {
    "fare": LogScale(2.3, 0.6),
    "trip_miles": LogScale(0.8, 0.8),
    "trip_seconds": LogScale(6.3, 0.8),
}
PLACES: dict[str, Place] = {
    "pickup_latitude": Place(41.9, 20.0),
    "pickup_longitude": Place(-87.65, 20.0),
    "dropoff_latitude": Place(41.9, 20.0),
    "dropoff_longitude": Place(-87.65, 20.0),
}
HASHED: dict[str, int] = {"payment_type": 64, "company": 128}
"""Text → hash bucket; the empty text, which is also a missing one, has a bucket like any other."""
SMALL_INTEGERS: dict[str, int] = {
    "trip_start_month": 14,
    "trip_start_day": 9,
    "trip_start_hour": 26,
    "pickup_community_area": 80,
    "dropoff_community_area": 80,
}
"""Integer x → x + 1, held within 0 … size - 1: 0 is missing, the last one is anything larger."""

INTEGERS = frozenset({"trip_seconds", *SMALL_INTEGERS})
"""Inputs that arrive as int64; the numbers arrive as float, the hashed ones as text."""


def transformed(name: str) -> str:
    """What an input is called behind Transform; a feature must not shadow its own input."""
    return f"{name}_x"


def numeric_names() -> list[str]:
    """Transformed names of the float inputs of the net, in its order."""
    return [transformed(name) for name in (*LOG_SCALES, *PLACES)]


def bucket_sizes() -> dict[str, int]:
    """Transformed name of each bucketed input, and how many buckets it has."""
    return {transformed(name): size for name, size in (HASHED | SMALL_INTEGERS).items()}
