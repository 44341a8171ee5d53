"""Trips as the applications send them: events, labels, broken events and prediction requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import orjson

from deploy.demo.trips import INTEGERS, NUMBERS, TEXTS, Trips

Breakage = Literal["renamed", "text", "respelled"]

NEW_COLUMN = "tolls"
"""What applications send one day without telling anybody."""

MISSING_INTEGER = -(2**63)
"""How the served model is told that an integer is missing."""


def rows(trips: Trips) -> Iterator[dict[str, Any]]:
    """Each trip as the fields it has; missing ones are left out.

    >>> from deploy.demo.trips import generate
    >>> row = next(rows(generate(np.random.default_rng(1), 1)))
    >>> type(row["fare"]), type(row["trip_seconds"]), "pickup_census_tract" in row
    (<class 'float'>, <class 'int'>, False)
    """
    names = (*INTEGERS, *NUMBERS, *TEXTS)
    whole = frozenset(INTEGERS)
    columns = [trips.columns[name].tolist() for name in names]
    for values in zip(*columns, strict=True):
        row: dict[str, Any] = {}
        for name, value in zip(names, values, strict=True):
            if value is None or value != value:  # noqa: PLR0124  (NaN alone differs from itself)
                continue
            row[name] = int(value) if name in whole else value
        yield row


def event(row: Mapping[str, Any], *, key: tuple[str, str], time: tuple[str, float]) -> bytes:
    """One event as JSON; `key` and `time` are (field, value) pairs."""
    return orjson.dumps({key[0]: key[1], time[0]: time[1], **row})


def extended(row: Mapping[str, Any]) -> dict[str, Any]:
    """The trip with one column more.

    >>> extended({"trip_miles": 12.0})
    {'trip_miles': 12.0, 'tolls': 3.25}
    """
    return {**row, NEW_COLUMN: 3.25 if row.get("trip_miles", 0.0) > 10.0 else 0.0}


def label(
    row: Mapping[str, Any], tips: float, *, key: tuple[str, str], time: tuple[str, float]
) -> bytes:
    """The outcome of a trip, under the same key; `time` is that of the trip.

    With the fare: a tip is big or small only against it.
    """
    return orjson.dumps(
        {
            key[0]: key[1],
            time[0]: time[1],
            "tips": tips,
            "fare": row.get("fare"),
            "trip_start_timestamp": row.get("trip_start_timestamp"),
        }
    )


def prediction(
    version: int, score: float, *, key: tuple[str, str], time: tuple[str, float]
) -> bytes:
    """What a client was answered, under the trip's own key and time."""
    return orjson.dumps({key[0]: key[1], time[0]: time[1], "version": version, "prediction": score})


def score_of(answer: bytes) -> float:
    """The score in the answer to a request for one row.

    >>> score_of(b'{"predictions":[{"probabilities":[0.25]}]}')
    0.25
    >>> score_of(b'{"predictions":[[0.5]]}')
    0.5
    """
    value = orjson.loads(answer)["predictions"]
    while not isinstance(value, int | float):
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return float(value)


def broken(row: Mapping[str, Any], how: Breakage) -> dict[str, Any]:
    """The row as a careless producer sends it.

    ``renamed`` a column that is needed and ``text`` for a number make it unusable; ``respelled``
    renames one that may be missing, so the row counts and the schema's judge must notice.

    >>> broken({"fare": 9.5, "trip_miles": 2.0}, "renamed")
    {'trip_miles': 2.0, 'fare_amount': 9.5}
    >>> broken({"fare": 9.5, "trip_miles": 2.0}, "text")
    {'fare': 9.5, 'trip_miles': '2.0 mi'}
    """
    made = dict(row)
    if how == "renamed":
        made["fare_amount"] = made.pop("fare")
    elif how == "respelled":
        made["taxi_company"] = made.pop("company", "unknown")
    else:
        made["trip_miles"] = f"{made['trip_miles']} mi"
    return made


def predict_body(row: Mapping[str, Any]) -> bytes:
    """A REST predict request for one trip in TensorFlow Serving's row form.

    Missing values travel as the served model expects them: empty text, NaN and the smallest
    int64. NaN is a bare literal there, which strict JSON writers refuse, so it is written here.
    """
    parts = []
    for name in INTEGERS:
        parts.append(f'"{name}":[{int(row.get(name, MISSING_INTEGER))}]')
    for name in NUMBERS:
        value = float(row.get(name, math.nan))
        parts.append(f'"{name}":[{"NaN" if math.isnan(value) else repr(value)}]')
    for name in TEXTS:
        parts.append(f'"{name}":[{orjson.dumps(row.get(name, "")).decode()}]')
    return ('{"instances":[{' + ",".join(parts) + "}]}").encode()


def spread(count: int, start: float, stop: float) -> Sequence[float]:
    """`count` times from `start` (included) to `stop` (excluded), evenly and ascending."""
    times: list[float] = np.linspace(start, stop, count, endpoint=False).tolist()
    return times
