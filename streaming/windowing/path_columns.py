"""Columns by path to the table of a model: features, time and key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streaming.contracts.event_times import PER_SECOND
from streaming.contracts.mapper import MappedField, Mapper
from streaming.contracts.mapping import Path
from streaming.contracts.model import FeatureKind, FeatureSpec, ModelContract
from streaming.windowing.column_types import TYPES, Indices, Run
from streaming.windowing.document_columns import RecordAt, broker_times, record_keys
from streaming.windowing.typed_columns import Odd, converted, key_column, seconds_column, typed


def table_of(
    contract: ModelContract,
    mapper: Mapper,
    by_path: Mapping[Path, pa.Array[Any]],
    positions: Indices,
    record_at: RecordAt,
    odd: Odd,
) -> pa.Table:
    """The table of some records; rows that the row rule decides are added to `odd`.

    Parameters
    ----------
    by_path:
        Path → the values there, null where a record has none.
    positions:
        Position of each record in the fetch.
    """
    mapped, mapping = {field.rule.name: field for field in mapper.fields}, mapper.mapping
    table: dict[str, Any] = {}

    def column(path: Path) -> pa.Array[Any]:
        return by_path.get(path, pa.nulls(len(positions)))

    for spec in contract.features:
        mapped_field = mapped.get(spec.name)
        values = column((spec.name,) if mapped_field is None else mapped_field.path)
        table[spec.name] = _feature(values, spec, mapped_field, odd)
    if mapping.time_format == "broker":
        table[contract.time] = broker_times(positions, record_at)
    else:
        table[contract.time] = _times(column(mapper.time_path), mapping.time_format, odd)
    if mapping.key_from == "field":
        table[contract.key] = _keys(column(mapper.key_path), odd)
    else:
        table[contract.key] = record_keys(mapper, positions, record_at, odd)
    return pa.table(table)


def without_odd(run: Run, odd: Odd) -> tuple[Run, list[int]]:
    """The rows that are not odd, and the positions of those that are."""
    positions, table = run
    if not odd:
        return run, []
    usable = np.ones(len(positions), np.bool_)
    usable[list(odd)] = False
    kept = table.filter(pa.array(usable)).combine_chunks()
    return (positions[usable], kept), positions[~usable].tolist()


def _feature(
    column: pa.Array[Any], spec: FeatureSpec, mapped: MappedField | None, odd: Odd
) -> pa.Array[Any]:
    rule = "value" if mapped is None else mapped.rule.rule
    if mapped is not None and rule != "value":
        return typed(converted(column.to_pylist(), mapped.convert, odd), spec.kind, odd)
    return _of_kind(column, spec.kind, odd)


def _of_kind(column: pa.Array[Any], kind: FeatureKind, odd: Odd) -> pa.Array[Any]:
    """A column in a feature's kind; values of another kind are left to the row rule."""
    if column.type == TYPES[kind]:
        return column
    if kind == "number" and pa.types.is_int64(column.type):
        numbers: pa.Array[Any] = pc.cast(column, pa.float64(), safe=False)
        return numbers
    odd.update(np.flatnonzero(np.asarray(column.is_valid())).tolist())
    nothing: pa.Array[Any] = pa.nulls(len(column), TYPES[kind])  # type: ignore[call-overload]
    return nothing


def _times(column: pa.Array[Any], time_format: str, odd: Odd) -> pa.Array[Any]:
    if time_format == "rfc3339" or not (
        pa.types.is_int64(column.type) or pa.types.is_float64(column.type)
    ):
        return seconds_column(column.to_pylist(), time_format, odd)
    numbers = column.to_numpy(zero_copy_only=False).astype(np.float64)
    with np.errstate(invalid="ignore"):  # a signalling NaN is no time, which is told below
        seconds = numbers / PER_SECOND[time_format]
    odd.update(np.flatnonzero(~np.isfinite(seconds)).tolist())
    return pa.array(seconds)


def _keys(column: pa.Array[Any], odd: Odd) -> pa.Array[Any]:
    if pa.types.is_string(column.type) and column.null_count == 0:
        return column
    return key_column(column.to_pylist(), odd)
