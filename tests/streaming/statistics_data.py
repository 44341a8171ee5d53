"""Contracts, rows and windows for the tests of summaries and drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streaming import summary
from streaming.baseline.merge import build_reference
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import ReferenceSummary, WindowSummary
from tests.taxi_excerpt import EXCERPT, read_rows

SECONDS = 5.0

Change = Callable[[npt.NDArray[Any], np.random.Generator], npt.NDArray[Any]]


def contract(*features: FeatureSpec, **settings: Any) -> ModelContract:
    defaults: dict[str, Any] = {
        "model": "m",
        "module": "none",
        "events_topic": "e",
        "labels_topic": "l",
        "key": "k",
        "time": "t",
        "window_seconds": SECONDS,
    }
    return ModelContract(**defaults | settings, features=features)


def number(name: str, **settings: Any) -> FeatureSpec:
    return FeatureSpec(name=name, kind="number", **settings)


def integer(name: str, **settings: Any) -> FeatureSpec:
    return FeatureSpec(name=name, kind="integer", **settings)


def text(name: str, **settings: Any) -> FeatureSpec:
    return FeatureSpec(name=name, kind="text", categorical=True, **settings)


TRIPS = contract(
    *(number(name) for name in ("normal", "lognormal", "pareto", "zeros", "poisson", "uniform")),
    number("far"),
    integer("seconds"),
    integer("zone", categorical=True),
    text("payment"),
    text("company"),
    number("mostly_missing"),
)
"""Twelve features of all kinds that matter."""


def _zipf(size: int) -> npt.NDArray[np.float64]:
    weights = 1.0 / np.arange(1, size + 1)
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


_GENERATORS: Mapping[str, Callable[[np.random.Generator, int], npt.NDArray[Any]]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(2, 1, n),
    "pareto": lambda rng, n: rng.pareto(1.5, n) + 1,
    "zeros": lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(1, 0.6, n)),
    "poisson": lambda rng, n: rng.poisson(3, n).astype(float),
    "uniform": lambda rng, n: rng.random(n),
    "far": lambda rng, n: rng.normal(100, 1, n),
    "seconds": lambda rng, n: (rng.gamma(2, 400, n) // 60 * 60).astype(np.int64),
    "zone": lambda rng, n: rng.choice(77, n, p=_zipf(77)),
    "payment": lambda rng, n: rng.choice(
        ["Cash", "Card", "Unknown", "Free"], n, p=[0.55, 0.4, 0.04, 0.01]
    ),
    "company": lambda rng, n: np.array([f"c{i}" for i in range(60)])[
        rng.choice(60, n, p=_zipf(60))
    ],
    "mostly_missing": lambda rng, n: rng.normal(size=n),
}


def trips(
    rng: np.random.Generator,
    rows: int,
    *,
    change: Mapping[str, Change] | None = None,
    missing: Mapping[str, float] | None = None,
) -> pa.RecordBatch:
    """Rows of `TRIPS` with 1 % of each value missing; `change` and `missing` are by feature."""
    columns = []
    for spec in TRIPS.features:
        values = _GENERATORS[spec.name](rng, rows)
        if change and spec.name in change:
            values = change[spec.name](values, rng)
        default = 0.7 if spec.name == "mostly_missing" else 0.01
        mask = rng.random(rows) < (missing or {}).get(spec.name, default)
        columns.append(pa.array(values, mask=mask))
    return pa.RecordBatch.from_arrays(columns, names=[spec.name for spec in TRIPS.features])


def window(
    index: int, batch: pa.RecordBatch, of: ModelContract = TRIPS, **fields: Any
) -> WindowSummary:
    """The summary of window `index`."""
    features = summary.finish(summary.add(summary.start(of), batch))
    values: dict[str, Any] = {
        "record_id": f"w{index}",
        "model": of.model,
        "at": (index + 1) * SECONDS,
        "window_start": index * SECONDS,
        "window_end": (index + 1) * SECONDS,
        "accepted": batch.num_rows,
        "dead_letters": 0,
        "late": 0,
        "offsets_read": batch.num_rows,
        "offsets": (),
        "features": features,
    }
    return WindowSummary(**(values | fields))


def reference(batch: pa.RecordBatch, of: ModelContract = TRIPS) -> ReferenceSummary:
    """A reference of these rows."""
    return build_reference([window(-1, batch, of)], model=of.model, version=1, at=0.0)


TAXI_CONTRACT = contract(
    number("fare"),
    number("trip_miles"),
    number("pickup_latitude"),
    number("pickup_longitude"),
    number("dropoff_latitude"),
    number("dropoff_longitude"),
    integer("trip_seconds"),
    integer("trip_start_hour", categorical=True),
    integer("pickup_community_area", categorical=True),
    integer("dropoff_community_area", categorical=True),
    text("payment_type"),
    text("company"),
)


def taxi(path: Path = EXCERPT) -> pa.RecordBatch:
    """The real trips of a CSV file, by default those of the excerpt."""
    rows = read_rows(path)
    columns: list[pa.Array[Any]] = []
    for spec in TAXI_CONTRACT.features:
        raw = [row[spec.name] or None for row in rows]
        if spec.kind == "text":
            columns.append(pa.array(raw, pa.string()))
        elif spec.kind == "integer":
            integers = [None if value is None else int(float(value)) for value in raw]
            columns.append(pa.array(integers, pa.int64()))
        else:
            numbers = [None if value is None else float(value) for value in raw]
            columns.append(pa.array(numbers, pa.float64()))
    names = [spec.name for spec in TAXI_CONTRACT.features]
    return pa.RecordBatch.from_arrays(columns, names=names)
