"""Arrays of one dimension, for requests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def floats(*values: float) -> NDArray[Any]:
    """An array of float32."""
    return np.array(values, np.float32)


def integers(*values: int) -> NDArray[Any]:
    """An array of int64."""
    return np.array(values, np.int64)
