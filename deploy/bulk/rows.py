"""Rows to be predicted, as columns: what is written beside the predictions, and the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.contracts.model import MISSING, FeatureSpec

Column = list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a source, in its order."""

    shown: Mapping[str, Column]
    """Name → values, as they are written beside the predictions."""
    values: Mapping[str, Column]
    """Feature → values; None where one is missing. A feature that the source lacks is absent."""
    problems: Mapping[int, str]
    """Row → why it cannot be predicted."""
    rows: int


Source = Callable[[int], Iterator[Chunk]]
"""The chunks of a source from a number of chunks on."""


def inputs_of(
    chunk: Chunk, features: Sequence[FeatureSpec]
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """The rows that can be predicted, and ``serving_default``'s inputs for them, [rows, 1] each."""
    usable = np.array([row for row in range(chunk.rows) if row not in chunk.problems], np.int64)
    arrays = {}
    for spec in features:
        column = chunk.values.get(spec.name)
        missing = MISSING[spec.kind]
        filled = [
            missing if column is None or column[row] is None else column[row] for row in usable
        ]
        arrays[spec.name] = _array(filled, spec)
    return usable, arrays


def _array(values: Column, spec: FeatureSpec) -> NDArray[Any]:
    if spec.kind == "text":
        # An object array: numpy's own bytes type drops trailing zero bytes.
        array = np.empty(len(values), object)
        array[:] = [text.encode() for text in values]
        return array.reshape(-1, 1)
    kind = np.int64 if spec.kind == "integer" else np.float32
    return np.array(values, kind).reshape(-1, 1)
