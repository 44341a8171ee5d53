"""Cells to typed columns; a cell of another kind is left to the row rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streaming.contracts.event_times import PER_SECOND, seconds_of
from streaming.contracts.model import FeatureKind
from streaming.contracts.values import is_missing
from streaming.windowing.column_types import TYPES

_ALLOWED: dict[FeatureKind, frozenset[type]] = {
    "integer": frozenset({int, type(None)}),
    "number": frozenset({float, int, type(None)}),
    "text": frozenset({str, type(None)}),
}
_INT64 = 2**63
_EXACT = 2**53
"""Arrow takes larger integers for numbers only where a float holds them exactly."""

Odd = set[int]
"""Positions of rows that the row rule decides."""


def typed(cells: Sequence[Any], kind: FeatureKind, odd: Odd) -> pa.Array[Any]:
    """A column of a feature's kind; positions of cells that do not fit are added to `odd`."""
    allowed = _ALLOWED[kind]
    if not set(map(type, cells)) <= allowed:
        cells = _without(cells, lambda cell: type(cell) not in allowed, odd)
    try:
        return pa.array(cells, TYPES[kind])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        return pa.array(_without(cells, _does_not_fit(kind), odd), TYPES[kind])


def _does_not_fit(kind: FeatureKind) -> Callable[[Any], bool]:
    if kind == "integer":
        return lambda cell: cell is not None and not -_INT64 <= cell < _INT64
    if kind == "number":
        return lambda cell: isinstance(cell, int) and abs(cell) > _EXACT
    return lambda cell: cell is not None and not cell.isascii()


def _without(cells: Sequence[Any], is_odd: Callable[[Any], bool], odd: Odd) -> list[Any]:
    positions = [at for at, cell in enumerate(cells) if is_odd(cell)]
    odd.update(positions)
    kept = list(cells)
    for at in positions:
        kept[at] = None
    return kept


def converted(cells: Sequence[Any], convert: Callable[[Any], Any], odd: Odd) -> list[Any]:
    """The cells as `convert` reads them; positions of those that it refuses are added to `odd`."""
    results: list[Any] = [None] * len(cells)
    for at, cell in enumerate(cells):
        if is_missing(cell):
            continue
        try:
            results[at] = convert(cell)
        except (ValueError, OverflowError):
            odd.add(at)
    return results


def seconds_column(cells: Sequence[Any], time_format: str, odd: Odd) -> pa.Array[Any]:
    """Times in seconds since 1970; positions of cells that are no times are added to `odd`."""
    if time_format != "rfc3339" and set(map(type, cells)) == {float}:
        numbers = np.array(cells, np.float64) / PER_SECOND[time_format]
        odd.update(np.flatnonzero(~np.isfinite(numbers)).tolist())
        return pa.array(numbers)
    seconds = [seconds_of(cell, time_format) for cell in cells]
    odd.update(at for at, second in enumerate(seconds) if second is None)
    return pa.array(seconds, pa.float64())


def key_column(cells: Sequence[Any], odd: Odd) -> pa.Array[Any]:
    """Keys as text; positions of cells that are no keys are added to `odd`."""
    types = set(map(type, cells))
    if types == {str}:
        return typed(cells, "text", odd)
    if types == {int}:
        cells = [str(cell) if -_INT64 <= cell < _INT64 else None for cell in cells]
    else:
        cells = [cell if type(cell) is str else None for cell in cells]
    odd.update(at for at, cell in enumerate(cells) if cell is None)
    return typed(cells, "text", odd)
