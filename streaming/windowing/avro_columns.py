"""Reads Avro payloads of one schema to columns, field by field for all records at once.

Each record keeps a position of its own in the joined payloads and never passes its own end, so a
bad record cannot shift another. What is not read here, such as a record that ends early or late, is
left to the row rule, record by record. Encoding: Apache Avro 1.12 specification, "Binary encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from streaming.contracts.mapping import Path
from streaming.windowing.record_bytes import Bools, NotColumnar, RecordBytes

_DECIMAL_BYTES = 7
"""Longer decimals are left to the row rule; seven bytes and a sign fit into 64 bits."""
_EXACT = 2**53
_MAX_SCALE = 22
"""Up to this power of ten a float is exact, so the quotient is rounded once."""
_FIXED: dict[str, tuple[int, str]] = {
    "double": (8, "<f8"),
    "float": (4, "<f4"),
    "boolean": (1, "u1"),
}


class AvroColumns(RecordBytes):
    """The columns of Avro payloads of one schema."""

    def read(self, schema: Any) -> None:
        """Read all records of a schema whose named types are written out.

        Raises
        ------
        NotColumnar
            When the schema has a part that is read row by row only.
        """
        self._value(schema, (), self.good)
        self.good = self.good & (self.at == self.ends)

    def _value(self, schema: Any, path: Path, present: Bools) -> None:
        """Read a value in the records where it is `present`."""
        if isinstance(schema, list):
            self._union(schema, path, present)
            return
        kind = schema if isinstance(schema, str) else schema["type"]
        logical = isinstance(schema, dict) and schema.get("logicalType")
        if kind == "record":
            for part in schema["fields"]:
                self._value(part["type"], (*path, part["name"]), present)
        elif logical:
            self._decimal(schema, path, present)
        elif kind in _FIXED:
            self._fixed(kind, path, present)
        elif kind in ("int", "long"):
            self.keep(path, self.zigzag(present), present)
        elif kind == "enum":
            self._enum(schema["symbols"], path, present)
        elif kind == "string":
            self._text(path, present)
        elif kind == "null":
            self.columns[path] = pa.nulls(len(present))
        else:
            raise NotColumnar(kind)

    def _union(self, branches: list[Any], path: Path, present: Bools) -> None:
        """A union of null and at most one other kind."""
        others = [index for index, branch in enumerate(branches) if branch != "null"]
        if len(others) != 1 or len(branches) > 2:
            raise NotColumnar("union")
        index = self.zigzag(present)
        self.refuse(present & ((index < 0) | (index >= len(branches))))
        self._value(branches[others[0]], path, present & (index == others[0]))

    def _fixed(self, kind: str, path: Path, present: Bools) -> None:
        size, dtype = _FIXED[kind]
        numbers = self.numbers(present, size, dtype)
        if kind == "boolean":
            self.refuse(present & (numbers > 1))
            numbers = numbers == 1
        with np.errstate(invalid="ignore"):  # a signalling NaN is a missing value like any other
            wide = numbers.astype(np.float64) if kind == "float" else numbers
        self.keep(path, wide, present)

    def _enum(self, symbols: Sequence[str], path: Path, present: Bools) -> None:
        index = self.zigzag(present)
        self.refuse(present & ((index < 0) | (index >= len(symbols))))
        inside = np.clip(index, 0, len(symbols) - 1).astype(np.int32)
        names = pa.array(list(symbols), pa.string())
        places: Any = pa.array(inside, mask=~present)
        coded = pa.DictionaryArray.from_arrays(places, names)
        self.columns[path] = coded.cast(pa.string())

    def _text(self, path: Path, present: Bools) -> None:
        self.columns[path] = self.text(present, self.zigzag(present))

    def _decimal(self, schema: Any, path: Path, present: Bools) -> None:
        """A decimal, in bytes or fixed: a big-endian integer divided by a power of ten."""
        scale, precision = schema.get("scale", 0), schema["precision"]
        if schema["logicalType"] != "decimal" or not 0 <= scale <= _MAX_SCALE:
            raise NotColumnar("decimal")
        is_fixed = schema["type"] == "fixed"
        fixed = np.full(len(present), schema.get("size", 0))
        starts, sizes = self.take(present, fixed if is_fixed else self.zigzag(present))
        self.refuse(present & ((sizes == 0) | (sizes > _DECIMAL_BYTES)))
        number = np.where(self.data[starts] >= 128, -1, 0).astype(np.int64)
        for index in range(_DECIMAL_BYTES):
            byte = self.data[np.minimum(starts + index, len(self.data) - 1)].astype(np.int64)
            number = np.where(index < sizes, number * 256 + byte, number)
        limit = min(_EXACT, 10**precision)
        self.refuse(present & (np.abs(number) >= limit))
        self.keep(path, number / 10.0**scale, present)


def check_path(schema: Any, path: Path) -> None:
    """Raise `NotColumnar` unless a path leads to a value, or to a name that a record lacks."""
    for name in path:
        schema = _branch(schema)
        if not isinstance(schema, dict) or schema["type"] != "record":
            raise NotColumnar("path")
        kinds = {part["name"]: part["type"] for part in schema["fields"]}
        if name not in kinds:
            return
        schema = kinds[name]
    schema = _branch(schema)
    if isinstance(schema, dict) and schema["type"] == "record":
        raise NotColumnar("path")


def _branch(schema: Any) -> Any:
    """The kind of a union beside null."""
    if isinstance(schema, list):
        return next((branch for branch in schema if branch != "null"), "null")
    return schema
