"""Reads mapped JSON records with Arrow's reader: each path is a column of a nested schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from streaming.contracts.mapper import MappedField, Mapper
from streaming.contracts.mapping import Path
from streaming.contracts.model import FeatureSpec
from streaming.windowing.arrow_json import TYPES, ArrowJsonReader


class NotNested(Exception):
    """The mapping needs the whole document."""


@dataclass(slots=True)
class NestedJsonReader(ArrowJsonReader):
    """Reads the records of one model to a table with one column for each path.

    Raises
    ------
    NotNested
        When two features want different kinds of the same value, or one a value inside another's.
    """

    mapper: Mapper = field(kw_only=True)
    paths: list[Path] = field(init=False)
    """The path of each column of the table, in order; columns are named by their number."""
    _types: dict[Path, pa.DataType] = field(init=False)

    def __post_init__(self) -> None:
        self._types = _types_of(self.contract.features, self.mapper)
        self.paths = list(self._types)
        self.key_column = "/".join(self.mapper.key_path)

    def _read(self, data: bytes) -> pa.Table:
        source: Any = pa.BufferReader(data)
        nested = pj.read_json(
            source,
            read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 64),
            parse_options=pj.ParseOptions(
                explicit_schema=self._nested(), unexpected_field_behavior="ignore"
            ),
        )
        columns = [_at(nested, path).cast(kind) for path, kind in self._types.items()]
        return pa.table(columns, schema=self._schema(pa.string()))

    def _schema(self, key_type: pa.DataType) -> pa.Schema:
        return pa.schema(
            [pa.field(str(number), kind) for number, kind in enumerate(self._types.values())]
        )

    def _nested(self) -> pa.Schema:
        tree: dict[str, Any] = {}
        for path, kind in self._types.items():
            level = tree
            for name in path[:-1]:
                level = level.setdefault(name, {})
            is_key = self.mapper.mapping.key_from == "field" and path == self.mapper.key_path
            level[path[-1]] = self._key_type if is_key else kind
        return pa.schema(_fields(tree))


def _fields(tree: dict[str, Any]) -> list[pa.Field[Any]]:
    return [
        pa.field(name, pa.struct(_fields(kind)) if isinstance(kind, dict) else kind)
        for name, kind in tree.items()
    ]


def _at(table: pa.Table, path: Path) -> Any:
    """The column at a path; null where an object on the way is."""
    column: Any = table.column(path[0]).combine_chunks()
    for name in path[1:]:
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        column = column.flatten()[column.type.get_field_index(name)]
    return column


def _types_of(features: tuple[FeatureSpec, ...], mapper: Mapper) -> dict[Path, pa.DataType]:
    """What Arrow reads at each path."""
    types: dict[Path, pa.DataType] = {}

    def add(path: Path, kind: pa.DataType) -> None:
        if types.setdefault(path, kind) != kind:
            raise NotNested(path)

    mapped = {field.rule.name: field for field in mapper.fields}
    for spec in features:
        mapped_field = mapped.get(spec.name)
        if mapped_field is None:
            add((spec.name,), TYPES[spec.kind])
        else:
            add(mapped_field.path, _type(spec, mapped_field))
    mapping = mapper.mapping
    if mapping.time_format != "broker":
        is_text = mapping.time_format == "rfc3339"
        add(mapper.time_path, pa.string() if is_text else pa.float64())
    if mapping.key_from == "field":
        if mapper.key_path in types:
            raise NotNested(mapper.key_path)
        add(mapper.key_path, pa.string())
    if any(path[:length] in types for path in types for length in range(1, len(path))):
        raise NotNested("inside")
    return types


def _type(spec: FeatureSpec, mapped: MappedField) -> pa.DataType:
    match mapped.rule.rule:
        case "value":
            return TYPES[spec.kind]
        case "boolean":
            return pa.bool_()
        case "decimal":
            return pa.string()
        case "length":
            raise NotNested("length")
        case _:
            return pa.string() if mapped.rule.time_format == "rfc3339" else pa.float64()
