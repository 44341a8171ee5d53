"""Arrow's JSON reader with guards: runs of records in, one row per record out.

Each record is checked before the records are joined, and the rows are counted afterwards. When a
run fails, Arrow often names the row: that record is left to the row-by-row decoder and the
remaining records are read again; otherwise the run is halved. The work on a fetch is bounded,
whatever the fetch holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
from numpy.typing import NDArray

from streaming.contracts.json_text import MAX_DEPTH
from streaming.contracts.model import ModelContract

TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
}
_MIN_RUN = 16
"""Shorter runs are not worth Arrow's fixed cost."""
_CALL_ROWS = 40
"""The fixed cost of a call, as a number of rows that cost as much."""
_PASSES = 3
"""Budget of the work on a fetch: this many readings of each row. Then the remaining rows fail."""
_MAX_NESTING = MAX_DEPTH - 1
"""More nested brackets than this in a record: Arrow skips nesting that the row rule refuses."""
_LONG_BYTES = 10_000
"""Data of at least this length is searched as a numpy column."""
_LITERAL = re.compile(rb"[:,\[\s-](?:NaN|Inf)")
_ROW = re.compile(r" in row (\d+)")

Indices = NDArray[np.int64]
Run = tuple[Indices, pa.Table]
"""Positions in the fetch, and a table with one row for each."""


class _ReadError(Exception):
    """Arrow could not read the run; `row` is the position of the bad record if Arrow named it."""

    def __init__(self, row: int | None) -> None:
        super().__init__(row)
        self.row = row


@dataclass(slots=True)
class ArrowJsonReader:
    """Reads the records of one model.

    Parameters
    ----------
    contract:
        Names and types of the columns; other fields are skipped.
    """

    contract: ModelContract
    key_column: str = field(init=False)
    """The key as Arrow's errors name it."""
    _key_type: pa.DataType = field(default_factory=pa.string)

    def __post_init__(self) -> None:
        self.key_column = self.contract.key

    def parse(self, values: Sequence[bytes | None]) -> tuple[Run, list[int]]:
        """The records that could be read, and the positions of all others.

        A row has a null where the field is null or missing, and may hold NaN or infinity; the
        key is text.
        """
        readable, unreadable, data = self._screen(values)
        runs, failed = self._read_runs(values, readable, data)
        if not runs:
            empty = self._schema(pa.string()).empty_table()
            return (readable[:0], empty), unreadable + failed
        table = runs[0][1] if len(runs) == 1 else pa.concat_tables([table for _, table in runs])
        positions = np.concatenate([indices for indices, _ in runs])
        return (positions, table.combine_chunks()), unreadable + failed

    # ------------------------------------------------------------ before reading

    def _screen(self, values: Sequence[bytes | None]) -> tuple[Indices, list[int], bytes]:
        """Positions of records for Arrow, positions of the others, and Arrow's records joined."""
        largest = self.contract.largest_event_bytes
        readable = [
            position
            for position, value in enumerate(values)
            if value and value[0] == 123 and value[-1] == 125 and len(value) <= largest
        ]
        unreadable = (
            [] if len(readable) == len(values) else sorted({*range(len(values))} - {*readable})
        )
        data = _lines(values, readable)
        lengths = [len(values[position] or b"") for position in readable]
        if _ambiguous(data, lengths):
            ambiguous = [
                p for p in readable if _ambiguous(values[p] or b"", [len(values[p] or b"")])
            ]
            unreadable.extend(ambiguous)
            readable = sorted(set(readable) - set(ambiguous))
            data = _lines(values, readable)
        return np.array(readable, dtype=np.int64), unreadable, data

    # ------------------------------------------------------------------ reading

    def _read_runs(
        self, values: Sequence[bytes | None], readable: Indices, data: bytes
    ) -> tuple[list[Run], list[int]]:
        runs: list[Run] = []
        failed: list[int] = []
        budget, pending = _PASSES * (len(readable) + _CALL_ROWS), [readable]
        while pending:
            indices = pending.pop()
            if len(indices) < _MIN_RUN or budget < len(indices):
                failed.extend(indices.tolist())
                continue
            try:
                lines = data if indices is readable else _lines(values, indices.tolist())
                runs.append((indices, self._table(lines, indices)))
                budget -= len(indices) + _CALL_ROWS
            except _ReadError as error:
                budget -= (error.row or 0) + len(indices) // 10 + _CALL_ROWS
                pending += self._split(indices, error.row, failed)
        return runs, failed

    def _split(self, indices: Indices, row: int | None, failed: list[int]) -> list[Indices]:
        """The runs to try after `indices` failed; a bad record that is known goes to `failed`.

        The records after the bad one are cut to runs of a few times its distance: where bad
        records are dense, a failure must not cost a long run.
        """
        if row is None:
            middle = len(indices) // 2
            return [indices[middle:], indices[:middle]]
        failed.append(int(indices[row]))
        length = max(4 * _MIN_RUN, 4 * row)
        following = [indices[at : at + length] for at in range(row + 1, len(indices), length)]
        return [*reversed(following), indices[:row]]

    def _table(self, data: bytes, indices: Indices) -> pa.Table:
        try:
            table = self._read(data)
        except pa.ArrowInvalid as error:
            match = _ROW.search(str(error))
            row = int(match[1]) if match else None
            if row == 0 and f"Column(/{self.key_column}) changed" in str(error):
                self._key_type = pa.int64() if self._key_type == pa.string() else pa.string()
                row = None
            raise _ReadError(row if row is not None and row < len(indices) else None) from error
        if table.num_rows != len(indices):
            raise _ReadError(None)
        return table

    def _read(self, data: bytes) -> pa.Table:
        source: Any = pa.BufferReader(data)
        schema = self._schema(self._key_type)
        table = pj.read_json(
            source,
            read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 64),
            parse_options=pj.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        ).select(schema.names)
        return table.cast(self._schema(pa.string())) if self._key_type == pa.int64() else table

    def _schema(self, key_type: pa.DataType) -> pa.Schema:
        types = {spec.name: TYPES[spec.kind] for spec in self.contract.features}
        types.setdefault(self.contract.time, pa.float64())
        types.setdefault(self.contract.key, key_type)
        return pa.schema([pa.field(name, kind) for name, kind in types.items()])


def _lines(values: Sequence[bytes | None], positions: Sequence[int]) -> bytes:
    lines = values if len(positions) == len(values) else [values[p] for p in positions]
    return b"\n".join(lines)  # type: ignore[arg-type]  # positions of records that have a value


def _ambiguous(data: bytes, lengths: Sequence[int]) -> bool:
    """Whether Arrow could read `data` differently from the row rule.

    Arrow ends at a NUL, takes NaN and Inf for numbers even in fields it skips, skips what is
    nested too deeply and does not check the bytes of text it skips.
    """
    if b"\0" in data or _too_nested(data, lengths):
        return True
    if (_contains(data, b"NaN") or _contains(data, b"Inf")) and _LITERAL.search(data):
        return True
    if data.isascii():
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _too_nested(data: bytes, lengths: Sequence[int]) -> bool:
    """Whether a record has more brackets beside its own than may be nested.

    >>> _too_nested(b'{"a":[]} {}', [8, 2]), _too_nested(b"{" + b"[" * 500, [501])
    (False, True)
    """
    if _count(data, b"{") + _count(data, b"[") <= len(lengths) + _MAX_NESTING:
        return False
    data_bytes = np.frombuffer(data, np.uint8)
    offsets = np.flatnonzero((data_bytes == ord("{")) | (data_bytes == ord("[")))
    ends = np.cumsum(np.array(lengths) + 1)
    return bool(np.diff(np.searchsorted(offsets, ends), prepend=0).max() > 1 + _MAX_NESTING)


def _count(data: bytes, byte: bytes) -> int:
    """How often the byte occurs; for long data with many of them numpy is eight times faster.

    >>> _count(b"{}{", b"{"), _count(b"{}{" * _LONG_BYTES, b"{") == 2 * _LONG_BYTES
    (2, True)
    """
    if len(data) < _LONG_BYTES:
        return data.count(byte)
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == byte[0]))


def _contains(data: bytes, word: bytes) -> bool:
    """Whether the word occurs in the data; for long data numpy is five times faster than `in`.

    >>> long = _LONG_BYTES
    >>> _contains(b"Nancy", b"NaN"), _contains(b"Nancy" * long, b"NaN")
    (False, False)
    >>> _contains(b"N" * long, b"NaN")
    False
    >>> _contains(b"[NaN]", b"NaN"), _contains(b"-" * long + b"NaN", b"NaN")
    (True, True)
    """
    if len(data) < _LONG_BYTES:
        return word in data
    data_bytes = np.frombuffer(data, np.uint8)
    starts = np.flatnonzero(data_bytes[: 1 - len(word)] == word[0])
    for distance, byte in enumerate(word[1:], start=1):
        starts = starts[data_bytes[starts + distance] == byte]
    return bool(len(starts))
