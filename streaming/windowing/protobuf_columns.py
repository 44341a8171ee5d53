"""Reads Protobuf messages of one type to columns, field by field for all records at once.

Writers put fields in the order of their numbers, each once; a record that does not, or that has
fields of a newer schema, is left to the row rule. Encoding: protobuf.dev, "Encoding".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.contracts.mapping import Path
from streaming.windowing.record_bytes import Bools, NotColumnar, RecordBytes

_MAX_FIELDS = 2_000
"""A type with more fields, all messages inside it included, has no columns; one that holds itself
has fields without end."""
_MAX_DEPTH = 32
"""Levels of messages, for the same reason."""
_VARINT, _LENGTH = 0, 2
_FIXED: dict[int, tuple[int, str]] = {1: (8, "<f8"), 2: (4, "<f4"), 6: (8, "<u8"), 7: (4, "<u4")}
_FIXED |= {15: (4, "<i4"), 16: (8, "<i8")}
"""Type of a field → size and kind of its number."""
_WIRE_OF_SIZE = {8: 1, 4: 5}
_RANGES = {5: (-(2**31), 2**31), 17: (-(2**31), 2**31), 13: (0, 2**32), 8: (0, 2)}
_RANGES |= {4: (0, 2**63 - 1)}
"""Type of a field → from and to which number it is read here."""
_TIMESTAMP = "google.protobuf.Timestamp"
_ENUM, _STRING, _BYTES, _MESSAGE, _BOOL = 14, 9, 12, 11, 8
_ZIGZAG = (17, 18)


class ProtobufColumns(RecordBytes):
    """The columns of Protobuf payloads of one type."""

    column_paths: frozenset[Path] = frozenset()
    """Paths that are columns; the other fields are passed over."""
    fields: int = 0
    """Number of fields that were read so far."""

    def read(self, descriptor: Any) -> None:
        """Read all records; raises `NotColumnar` where a field cannot be a column."""
        self._message(descriptor, (), self.good)
        self.good = self.good & (self.at == self.ends)

    def _message(self, descriptor: Any, path: Path, present: Bools) -> None:
        self.fields += len(descriptor.fields)
        if self.fields > _MAX_FIELDS or len(path) > _MAX_DEPTH:
            raise NotColumnar("fields")
        for field in sorted(descriptor.fields, key=lambda field: field.number):
            self._field(field, (*path, field.name), present)

    def _field(self, field: Any, path: Path, present: Bools) -> None:
        """Read a field where it comes next in a message that is `present`."""
        wire = _wire(field.type)
        if field.is_repeated:
            if path in self.column_paths:
                raise NotColumnar("list")
            return  # a record with elements ends beyond them, and is left to the row rule
        tagged = self._tagged(field.number << 3 | wire, present)
        default = None if field.has_presence else present & ~tagged
        if field.type == _MESSAGE:
            self._inside(field.message_type, path, tagged)
        elif path not in self.column_paths and field.type != _STRING:
            self._skip(wire, field.type, tagged)
        elif field.type == _STRING:
            self.columns[path] = self.text(tagged, self.varint(tagged), default)
        elif field.type == _ENUM:
            self._enum(field.enum_type, path, tagged, default)
        elif wire == _LENGTH:
            raise NotColumnar("bytes")
        else:
            self.keep(
                path, self._number(field.type, tagged), tagged if default is None else present
            )

    def _tagged(self, tag: int, present: Bools) -> Bools:
        """The records whose next field has this tag; it is passed."""
        tagged = present & self.good & (self.at < self.ends)
        encoded = _encoded(tag)
        for index, byte in enumerate(encoded):
            tagged = tagged & (self.data[np.minimum(self.at + index, len(self.data) - 1)] == byte)
        tagged = tagged & (self.at + len(encoded) <= self.ends)
        self.at = self.at + tagged * len(encoded)
        return tagged

    def _number(self, kind: int, tagged: Bools) -> NDArray[Any]:
        if kind in _FIXED:
            size, dtype = _FIXED[kind]
            numbers = np.where(tagged, self.numbers(tagged, size, dtype), 0)
            if dtype == "<u8":
                self.refuse(tagged & (numbers >= 2**63 - 1))
            return numbers.astype(np.float64 if dtype[1] == "f" else np.int64)
        numbers = self.zigzag(tagged) if kind in _ZIGZAG else self.varint(tagged)
        if kind in _RANGES:
            low, high = _RANGES[kind]
            self.refuse(tagged & ((numbers < low) | (numbers >= high)))
        return numbers == 1 if kind == _BOOL else numbers

    def _enum(self, enum: Any, path: Path, tagged: Bools, default: Bools | None) -> None:
        numbers = self.varint(tagged)
        values = enum.values_by_number
        names: list[str] = [value.name for value in values.values()]
        places = np.full(len(tagged), -1, np.int32)
        for place, number in enumerate(values):
            places[numbers == number] = place
        self.refuse(tagged & (places < 0))
        known = tagged if default is None else tagged | default
        coded = pa.DictionaryArray.from_arrays(
            pa.array(np.maximum(places, 0), mask=~known), pa.array(names, pa.string())
        )
        self.columns[path] = coded.cast(pa.string())

    def _inside(self, descriptor: Any, path: Path, tagged: Bools) -> None:
        """Read the message inside a record."""
        sizes = self.varint(tagged)
        self.refuse(tagged & ((sizes < 0) | (sizes > self.ends - self.at)))
        tagged, outer = tagged & self.good, self.ends
        self.ends = np.where(tagged, self.at + sizes, outer)
        name = descriptor.full_name
        if name == _TIMESTAMP:
            self._timestamp(path, tagged)
        elif name.startswith("google.protobuf."):
            raise NotColumnar(name)
        else:
            self._message(descriptor, path, tagged)
        self.refuse(tagged & (self.at != self.ends))
        self.ends = outer

    def _timestamp(self, path: Path, tagged: Bools) -> None:
        seconds = self._number(3, self._tagged(1 << 3, tagged))
        nanos = self._number(5, self._tagged(2 << 3, tagged))
        self.keep(path, seconds + nanos / 1e9, tagged)

    def _skip(self, wire: int, kind: int, tagged: Bools) -> None:
        if wire == _LENGTH:
            self.take(tagged, self.varint(tagged))
        elif wire == _VARINT:
            self.varint(tagged)
        else:
            self.take(tagged, np.full(len(tagged), _FIXED[kind][0]))


def check_path(descriptor: Any, path: Path) -> None:
    """Raise `NotColumnar` unless a path leads to a value, or to a name that a message lacks."""
    for index, name in enumerate(path):
        field = descriptor.fields_by_name.get(name)
        if field is None:
            return
        is_message = field.type == _MESSAGE and field.message_type.full_name != _TIMESTAMP
        if field.is_repeated or is_message == (index == len(path) - 1):
            raise NotColumnar("path")
        descriptor = field.message_type


def _wire(kind: int) -> int:
    if kind in _FIXED:
        return _WIRE_OF_SIZE[_FIXED[kind][0]]
    if kind == 10:
        raise NotColumnar("group")
    return _LENGTH if kind in (_STRING, _BYTES, _MESSAGE) else _VARINT


def _encoded(number: int) -> bytes:
    """A number as a varint.

    >>> _encoded(1 << 3), _encoded(300)
    (b'\\x08', b'\\xac\\x02')
    """
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))
