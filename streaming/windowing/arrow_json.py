"""Arrow's JSON reader, kept from misreading: runs of records in, one row per record out.

Each record is looked at before the records are joined, and rows are counted afterwards. Where a
run fails, Arrow often says in which row: that record is left to others and the rest read again;
else the run is halved. The work on a fetch is bounded, whatever it holds.
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

from streaming.contracts.model import ModelContract

TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
}
_FEWEST = 16
"""Shorter runs are not worth Arrow's fixed cost."""
_CALL_ROWS = 40
"""A call costs as much as reading so many rows."""
_PASSES = 3
"""Give up on the rest after reading each row so many times."""
_DEEP = 500
"""More brackets than this in a record: Arrow skips nesting that the row rule refuses."""
_LONG = 10_000
"""From so many bytes on they are looked at as a column."""
_LITERAL = re.compile(rb"[:,\[\s-](?:NaN|Inf)")
_ROW = re.compile(r" in row (\d+)")

Indices = NDArray[np.int64]
Run = tuple[Indices, pa.Table]
"""Places in the fetch, and a table with one row for each."""


class _Failed(Exception):
    """Arrow could not read the run; `row` is where, if it said so."""

    def __init__(self, row: int | None) -> None:
        super().__init__(row)
        self.row = row


@dataclass(slots=True)
class ArrowRows:
    """Reads the records of one model.

    Parameters
    ----------
    contract:
        Names and types of the columns; other fields are skipped.
    """

    contract: ModelContract
    _key_type: pa.DataType = field(default_factory=pa.string)

    def parse(self, values: Sequence[bytes | None]) -> tuple[Run, list[int]]:
        """The records that could be read, and the places of all others.

        A row has a null where the field is null or missing, and may hold NaN or infinity; the
        key comes as text.
        """
        good, rest, data = self._look(values)
        runs, failed = self._read_runs(values, good, data)
        if not runs:
            return (good[:0], self._schema(pa.string()).empty_table()), rest + failed
        whole = runs[0][1] if len(runs) == 1 else pa.concat_tables([table for _, table in runs])
        places = np.concatenate([indices for indices, _ in runs])
        return (places, whole.combine_chunks()), rest + failed

    # ------------------------------------------------------------ before reading

    def _look(self, values: Sequence[bytes | None]) -> tuple[Indices, list[int], bytes]:
        """Places of records for Arrow, of others, and the first ones joined."""
        largest = self.contract.largest_event_bytes
        good = [
            number
            for number, value in enumerate(values)
            if value and value[0] == 123 and value[-1] == 125 and len(value) <= largest
        ]
        rest = [] if len(good) == len(values) else sorted({*range(len(values))} - {*good})
        data = _lines(values, good)
        if _strange(data, len(good)):
            strange = [number for number in good if _strange(values[number] or b"", 1)]
            rest.extend(strange)
            good = sorted(set(good) - set(strange))
            data = _lines(values, good)
        return np.array(good, dtype=np.int64), rest, data

    # ------------------------------------------------------------------ reading

    def _read_runs(
        self, values: Sequence[bytes | None], good: Indices, data: bytes
    ) -> tuple[list[Run], list[int]]:
        runs: list[Run] = []
        failed: list[int] = []
        work, waiting = _PASSES * (len(good) + _CALL_ROWS), [good]
        while waiting:
            indices = waiting.pop()
            if len(indices) < _FEWEST or work < len(indices):
                failed.extend(indices.tolist())
                continue
            try:
                lines = data if indices is good else _lines(values, indices.tolist())
                runs.append((indices, self._table(lines, indices)))
                work -= len(indices) + _CALL_ROWS
            except _Failed as failure:
                work -= (failure.row or 0) + len(indices) // 10 + _CALL_ROWS
                waiting += self._shorter(indices, failure.row, failed)
        return runs, failed

    def _shorter(self, indices: Indices, row: int | None, failed: list[int]) -> list[Indices]:
        """The runs to try after `indices` failed; its bad record goes to `failed` if it is known.

        What follows is cut to some times the distance of the bad record: where bad records are
        dense, a failure must not cost a long run.
        """
        if row is None:
            middle = len(indices) // 2
            return [indices[middle:], indices[:middle]]
        failed.append(int(indices[row]))
        length = max(4 * _FEWEST, 4 * row)
        follows = [indices[at : at + length] for at in range(row + 1, len(indices), length)]
        return [*reversed(follows), indices[:row]]

    def _table(self, data: bytes, indices: Indices) -> pa.Table:
        try:
            table = self._read(data)
        except pa.ArrowInvalid as error:
            told = _ROW.search(str(error))
            row = int(told[1]) if told else None
            if row == 0 and f"Column(/{self.contract.key}) changed" in str(error):
                self._key_type = pa.int64() if self._key_type == pa.string() else pa.string()
                row = None
            raise _Failed(row if row is not None and row < len(indices) else None) from error
        if table.num_rows != len(indices):
            raise _Failed(None)
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


def _lines(values: Sequence[bytes | None], places: Sequence[int]) -> bytes:
    lines = values if len(places) == len(values) else [values[place] for place in places]
    return b"\n".join(lines)  # type: ignore[arg-type]  # places of records that are there


def _strange(data: bytes, records: int) -> bool:
    """Could Arrow see something else in `data` than the row rule does?

    Arrow ends at a NUL, takes NaN and Inf for numbers even in fields it skips, skips what is
    nested too deeply and does not check the bytes of text it skips.
    """
    if b"\0" in data or _count(data, b"{") + _count(data, b"[") > records + _DEEP:
        return True
    if (_holds(data, b"NaN") or _holds(data, b"Inf")) and _LITERAL.search(data):
        return True
    if data.isascii():
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _count(data: bytes, letter: bytes) -> int:
    """How often the letter comes; over columns of bytes, where there are many, eight times faster.

    >>> _count(b"{}{", b"{"), _count(b"{}{" * _LONG, b"{") == 2 * _LONG
    (2, True)
    """
    if len(data) < _LONG:
        return data.count(letter)
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == letter[0]))


def _holds(data: bytes, word: bytes) -> bool:
    """Whether the word comes in the data; where that is long, five times faster than `in`.

    >>> _holds(b"Nancy", b"NaN"), _holds(b"Nancy" * _LONG, b"NaN"), _holds(b"N" * _LONG, b"NaN")
    (False, False, False)
    >>> _holds(b"[NaN]", b"NaN"), _holds(b"-" * _LONG + b"NaN", b"NaN")
    (True, True)
    """
    if len(data) < _LONG:
        return word in data
    letters = np.frombuffer(data, np.uint8)
    at = np.flatnonzero(letters[: 1 - len(word)] == word[0])
    for place, letter in enumerate(word[1:], start=1):
        at = at[letters[at + place] == letter]
    return bool(len(at))
