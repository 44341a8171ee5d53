"""Encodes trips as events, labels, broken events and prediction requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import orjson

from deploy.demo.trips import INTEGERS, NUMBERS, TEXTS, Trips
from streaming.contracts.requests import answer_for_one_row

Breakage = Literal["renamed", "text", "respelled"]

NEW_COLUMN = "tolls"
"""The unannounced column of the scenario `new-column`."""

MISSING_INTEGER = -(2**63)
"""Encoding of a missing integer in a prediction request."""


def rows(trips: Trips) -> Iterator[dict[str, Any]]:
    """The fields of each trip; missing values are left out.

    >>> import numpy as np
    >>> from deploy.demo.trips import generate
    >>> row = next(rows(generate(np.random.default_rng(1), 1)))
    >>> type(row["fare"]), type(row["trip_seconds"]), "pickup_census_tract" in row
    (<class 'float'>, <class 'int'>, False)
    """
    names = (*INTEGERS, *NUMBERS, *TEXTS)
    integers = frozenset(INTEGERS)
    columns = [trips.columns[name].tolist() for name in names]
    for values in zip(*columns, strict=True):
        row: dict[str, Any] = {}
        for name, value in zip(names, values, strict=True):
            if value is None or value != value:  # noqa: PLR0124  (NaN alone differs from itself)
                continue
            row[name] = int(value) if name in integers else value
        yield row


def event(row: Mapping[str, Any], *, key: tuple[str, str], time: tuple[str, float]) -> bytes:
    """One event as JSON; `key` and `time` are (field, value) pairs."""
    return orjson.dumps({key[0]: key[1], time[0]: time[1], **row})


def with_new_column(row: Mapping[str, Any]) -> dict[str, Any]:
    """The trip with the unannounced column.

    >>> with_new_column({"trip_miles": 12.0})
    {'trip_miles': 12.0, 'tolls': 3.25}
    """
    return {**row, NEW_COLUMN: 3.25 if row.get("trip_miles", 0.0) > 10.0 else 0.0}


def label(
    row: Mapping[str, Any], tips: float, *, key: tuple[str, str], time: tuple[str, float]
) -> bytes:
    """The label of a trip, under the trip's key and time.

    It includes the fare, because the label compares the tip with the fare.
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
    version: int, response: bytes, *, key: tuple[str, str], time: tuple[str, float]
) -> bytes:
    """A served prediction, under the key and time of its trip.

    `response` is the server's to a request for one row.

    >>> prediction(2, b'{"predictions":[{"probabilities":[0.25]}]}', key=("k", "a"), time=("t", 1))
    b'{"k":"a","t":1,"version":2,"prediction":0.25}'
    """
    served = {"version": version, "prediction": answer_for_one_row(response)}
    return orjson.dumps({key[0]: key[1], time[0]: time[1], **served})


def broken(row: Mapping[str, Any], how: Breakage) -> dict[str, Any]:
    """The row with a producer's fault.

    ``renamed`` renames a required column and ``text`` sends text for a number: both make the row
    unusable. ``respelled`` renames an optional column, so the row is counted and only schema
    validation can notice.

    >>> broken({"fare": 9.5, "trip_miles": 2.0}, "renamed")
    {'trip_miles': 2.0, 'fare_amount': 9.5}
    >>> broken({"fare": 9.5, "trip_miles": 2.0}, "text")
    {'fare': 9.5, 'trip_miles': '2.0 mi'}
    """
    result = dict(row)
    if how == "renamed":
        result["fare_amount"] = result.pop("fare")
    elif how == "respelled":
        result["taxi_company"] = result.pop("company", "unknown")
    else:
        result["trip_miles"] = f"{result['trip_miles']} mi"
    return result


def predict_body(row: Mapping[str, Any]) -> bytes:
    """A REST predict request for one trip in TensorFlow Serving's row form.

    Missing values are encoded as the served model expects: empty text, NaN and the smallest int64.
    TensorFlow Serving reads NaN as a bare literal, which strict JSON encoders refuse to write, so
    the body is built here.
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
