"""Windows in which every column has changed in one way, to compare what two checkouts make of them.

Each change takes the reference's kind of rows and is the same for the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Generator = np.random.Generator
Texts = npt.NDArray[Any]


def _some(rng: Generator, rows: int, share: float) -> npt.NDArray[np.bool_]:
    return rng.random(rows) < share


def _heavy(values: Floats, rng: Generator, share: float) -> Floats:
    """A part of the rows has one value that the reference hardly knows."""
    value = float(np.nanmean(values)) * 1.000123 + 0.123
    return np.where(_some(rng, len(values), share), value, values)


NUMBERS: dict[str, Callable[[Floats, Generator], Floats]] = {
    "quiet": lambda x, _: x,
    "shifted": lambda x, _: x + 0.6 * np.nanstd(x),
    "slightly shifted": lambda x, _: x + 0.15 * np.nanstd(x),
    "stretched": lambda x, _: np.nanmean(x) + 1.7 * (x - np.nanmean(x)),
    "factor": lambda x, _: 1.609 * x,
    "heavy value": lambda x, rng: _heavy(x, rng, 0.2),
    "light value": lambda x, rng: _heavy(x, rng, 0.015),
    "zeros": lambda x, rng: np.where(_some(rng, len(x), 0.3), 0.0, x),
    "not finite": lambda x, rng: np.where(_some(rng, len(x), 0.1), np.nan, x),
    "infinite": lambda x, rng: np.where(_some(rng, len(x), 0.02), -np.inf, x),
    "negative": lambda x, _: -x,
    "rounded": lambda x, _: np.rint(x),
    "cut": lambda x, _: np.minimum(x, np.nanmedian(x)),
    "outliers": lambda x, rng: np.where(_some(rng, len(x), 0.01), 1e300 * x, x),
    "constant": lambda x, _: np.full(len(x), x[0]),
    "tiny numbers": lambda x, rng: np.where(_some(rng, len(x), 0.05), -4e-310, x),
    "narrow": lambda x, _: 41.8 + 0.001 * x,
    "narrow and zero": lambda x, rng: np.where(_some(rng, len(x), 0.1), 0.0, 1e9 + x),
}
"""Changes of a column of numbers."""
TEXTS: dict[str, Callable[[Texts, Generator], Texts]] = {
    "shifted": lambda x, rng: np.where(_some(rng, len(x), 0.3), x[0], x),
    "heavy value": lambda x, rng: np.where(_some(rng, len(x), 0.2), "unknown", x),
    "light value": lambda x, rng: np.where(_some(rng, len(x), 0.015), "unknown", x),
    "zeros": lambda x, rng: np.where(_some(rng, len(x), 0.2), "", x),
    "negative": lambda x, _: np.array([str(value).upper() for value in x]),
    "outliers": lambda x, rng: np.array(
        [f"{v}-{n}" for v, n in zip(x, rng.random(len(x)), strict=True)]
    ),
    "constant": lambda x, _: np.full(len(x), x[0]),
}
"""Changes of a column of texts; the others leave them as they are."""
MISSING = {"missing": 0.1, "mostly missing": 0.7, "slightly missing": 0.01, "all missing": 1.1}
"""Shares of missing values."""
CHANGES = (*NUMBERS, *MISSING)


def changed(batch: pa.RecordBatch, change: str) -> pa.RecordBatch:
    """The rows of `batch` with this change in every column."""
    rng = np.random.default_rng(batch.num_rows)
    columns = []
    for column in batch.columns:
        if change in MISSING:
            lost = _some(rng, len(column), MISSING[change]).tolist()
            kept = zip(column.to_pylist(), lost, strict=True)
            columns.append(
                pa.array([None if is_lost else value for value, is_lost in kept], column.type)
            )
        elif pa.types.is_string(column.type):
            texts = np.array(column.fill_null("none").to_pylist(), dtype=object)
            if change in TEXTS:
                texts = TEXTS[change](texts, rng)
            columns.append(pa.array(texts.tolist()))
        else:
            numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            numbers = NUMBERS[change](numbers, rng)
            if pa.types.is_integer(column.type):
                whole = np.clip(np.nan_to_num(np.rint(numbers)), -(2**60), 2**60)
                columns.append(pa.array(whole.astype(np.int64)).cast(column.type))
            else:
                columns.append(pa.array(numbers, from_pandas=False))
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)
