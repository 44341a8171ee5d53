"""Types of columns, and what readers of fetches return."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
}
"""Kind of a feature → type of its column."""

Indices = NDArray[np.int64]
Run = tuple[Indices, pa.Table]
"""Positions in the fetch, and a table with one row for each."""
