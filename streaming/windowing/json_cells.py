"""Reads JSON records by their types: each path that a model needs becomes a list of values.

msgspec decodes a record to a struct that has the fields of interest, checks their types on the way
and skips the others, which takes half the time of reading all of them. A record that it refuses is
left to the row rule (`streaming.contracts.events.decode_event`) and affects no other record.
msgspec is stricter than that rule but for three things, and records with these are left to it
without trying: bytes in skipped text that are not UTF-8, nesting that is too deep, and size.

msgspec compares each name with the expected ones, starting behind the one that came before. So the
structs have the fields in the order of the records, which is learnt from them. The order decides
the speed only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa
from msgspec.structs import astuple

from streaming.contracts.json_text import MAX_DEPTH
from streaming.contracts.mapping import Path
from streaming.windowing.column_types import Indices

INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
KEY = Annotated[str, msgspec.Meta(min_length=1)] | INTEGER
"""A key that is there."""
JsonType = tuple[Any] | tuple[Any, None]
"""A type that a record must have, or one with null where the field may be missing."""

_SAMPLE = 100
"""The order of fields is that of the longest of this many records."""
_SHALLOW_BYTES = 2 * MAX_DEPTH
"""A shorter record that is nested deeper than is read is no JSON: its brackets are not closed."""
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_Tree = dict[str, Any]
"""Name → type, or the tree of the object below it."""


class NotTyped(Exception):
    """The paths cannot be the fields of structs."""


@dataclass(slots=True)
class JsonCells:
    """Reads the values at some paths.

    Parameters
    ----------
    types:
        Path → type of the values there.
    largest:
        Longest record that is read, in bytes.

    Raises
    ------
    NotTyped
        When a path leads into the value of another, or msgspec cannot have a field of such a name.

    Examples
    --------
    >>> cells = JsonCells({("id",): (str,), ("trip", "fare"): (float | None, None)}, 1_000)
    >>> cells.read([b'{"id":"a","trip":{"fare":2}}', b'{"id":1}', b'{"id":"b","tip":[]}'])
    (array([0, 2]), {('id',): ['a', 'b'], ('trip', 'fare'): [2.0, None]}, [1])
    """

    types: Mapping[Path, JsonType]
    largest: int
    _tree: _Tree = field(init=False)
    _root: _Level = field(init=False)
    _decode: Callable[[bytes], Any] = field(init=False)
    _order: tuple[Any, ...] = ()
    _fetches: int = 0

    def __post_init__(self) -> None:
        self._tree = _tree(self.types)
        self._use(self._tree)

    def read(
        self, values: Sequence[bytes | None]
    ) -> tuple[Indices, dict[Path, Sequence[Any]], list[int]]:
        """Positions of the records that could be read, their values, positions of the others."""
        refused = unreadable(values, self.largest)
        positions = np.arange(len(values))
        records: Sequence[Any] = values
        if refused:
            positions = np.delete(positions, refused)
            records = [values[at] for at in positions.tolist()]
        self._learn_order(records)
        cells, failed = self._cells(records)
        if failed:
            refused = [*refused, *positions[failed].tolist()]
            positions = np.delete(positions, failed)
        return positions, self._root.columns(cells), refused

    def _cells(self, records: Iterable[bytes]) -> tuple[list[Any], list[int]]:
        """The values of all records one after the other, and the positions that were refused."""
        cells: list[Any] = []
        failed: list[int] = []
        remaining, width = iter(records), len(self._root.names)
        while True:
            try:
                cells.extend(chain.from_iterable(map(astuple, map(self._decode, remaining))))
                return cells, failed
            except _REFUSALS:  # the records before this one are in the list
                failed.append(len(cells) // width + len(failed))

    def _learn_order(self, records: Sequence[bytes]) -> None:
        """Take over the order of fields, at the 1st, 2nd, 4th, 8th, … fetch."""
        self._fetches += 1
        if self._fetches & (self._fetches - 1) or not records:
            return
        try:
            document = orjson.loads(max(records[:_SAMPLE], key=len))
        except orjson.JSONDecodeError:
            return
        ordered = _in_order(self._tree, document)
        if _names(ordered) != self._order:
            self._use(ordered)

    def _use(self, tree: _Tree) -> None:
        self._order, self._root = _names(tree), _Level.of(tree, ())
        self._decode = msgspec.json.Decoder(self._root.struct).decode


@dataclass(frozen=True, slots=True)
class _Level:
    """The struct of an object, and those of the objects in it."""

    struct: type[msgspec.Struct]
    names: tuple[str, ...]
    path: Path
    """Where the object is."""
    inner: dict[str, _Level]

    @classmethod
    def of(cls, tree: _Tree, path: Path) -> _Level:
        inner = {
            name: cls.of(part, (*path, name))
            for name, part in tree.items()
            if isinstance(part, dict)
        }
        fields, names = [], {}
        for number, (name, part) in enumerate(tree.items()):
            attribute = f"f{number}"
            type_ = (inner[name].struct | None, None) if name in inner else part
            fields.append((attribute, *type_))
            names[attribute] = name
        try:
            # nothing in these structs refers back to them, so the collector need not follow them
            struct = msgspec.defstruct("Record", fields, rename=names, kw_only=True, gc=False)
            msgspec.json.Decoder(struct)
        except ValueError as error:  # a quote or a backslash in a name
            raise NotTyped(path) from error
        return cls(struct, tuple(tree), path, inner)

    def columns(self, cells: list[Any]) -> dict[Path, Sequence[Any]]:
        """Path → values, from the values of these objects one after the other."""
        columns: dict[Path, Sequence[Any]] = {}
        for number, name in enumerate(self.names):
            column = cells[number :: len(self.names)]
            level = self.inner.get(name)
            if level is None:
                columns[(*self.path, name)] = column
            else:
                nothing = (None,) * len(level.names)
                parts = (nothing if cell is None else astuple(cell) for cell in column)
                columns |= level.columns(list(chain.from_iterable(parts)))
        return columns


def unreadable(values: Sequence[bytes | None], largest: int) -> list[int]:
    """Positions of the records that only the row rule may read.

    >>> unreadable([b"{}", None, b"\\xff", b"{" * 600, b"[]" * 600, b" " * 2000], 1500)
    [1, 2, 4, 5]
    """
    try:
        if _longest(values) <= min(largest, _SHALLOW_BYTES) and _are_utf8(values):
            return []
    except TypeError:  # a record without a value
        pass
    return [at for at, value in enumerate(values) if not _is_readable(value, largest)]


def _longest(values: Sequence[Any]) -> int:
    return max(map(len, values), default=0)


def _are_utf8(values: Sequence[Any]) -> bool:
    """Whether all records are; for text beyond ASCII Arrow is twice as fast as `bytes.decode`."""
    if all(map(bytes.isascii, values)):
        return True
    try:
        pa.array(values, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _is_readable(value: bytes | None, largest: int) -> bool:
    if not value or len(value) > largest:
        return False
    if len(value) > _SHALLOW_BYTES and value.count(b"{") + value.count(b"[") > MAX_DEPTH:
        return False
    try:
        return value.isascii() or value.decode() is not None
    except UnicodeDecodeError:
        return False


def _tree(types: Mapping[Path, JsonType]) -> _Tree:
    tree: _Tree = {}
    for path, type_ in types.items():
        level = tree
        for name in path[:-1]:
            level = level.setdefault(name, {})
            if not isinstance(level, dict):
                raise NotTyped(path)
        if level.setdefault(path[-1], type_) is not type_:
            raise NotTyped(path)
    return tree


def _in_order(tree: _Tree, document: Any) -> _Tree:
    """The tree with the names in the order of a document; those that it lacks come last."""
    fields = document if isinstance(document, dict) else {}
    ordered = {name: tree[name] for name in fields if name in tree} | tree
    return {
        name: _in_order(part, fields.get(name)) if isinstance(part, dict) else part
        for name, part in ordered.items()
    }


def _names(tree: _Tree) -> tuple[Any, ...]:
    return tuple(
        (name, _names(part)) if isinstance(part, dict) else name for name, part in tree.items()
    )
