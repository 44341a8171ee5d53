"""Reads mapped records to columns: each record to its document, each path to one column.

Cells that a rule cannot read are left to the row rule, and so are records without a document; so
the columns hold exactly what `streaming.contracts.events.decode_event` accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.contracts.documents import read_document
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import merged_kinds, unknown_fields
from streaming.contracts.mapper import MappedField, Mapper
from streaming.contracts.mapping import Path
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.raw_record import RawRecord
from streaming.contracts.registered import SchemaSource
from streaming.windowing.column_types import Run
from streaming.windowing.inspection import picked
from streaming.windowing.typed_columns import Odd, converted, key_column, seconds_column, typed

RecordAt = Callable[[int], RawRecord]
"""The record at a position of the fetch."""
Document = dict[str, Any]


@dataclass(slots=True)
class DocumentReader:
    """Reads the events of one model by its mapping.

    Parameters
    ----------
    contract, mapper:
        The features, and the compiled mapping of the events.
    schemas:
        The schemas of the registry, for formats that need them.
    """

    contract: ModelContract
    mapper: Mapper
    schemas: SchemaSource | None = None
    documents: dict[int, Document] = field(default_factory=dict)
    """Position → document, of the fetch that was read last."""

    def parse(self, values: Sequence[bytes | None], record_at: RecordAt) -> tuple[Run, list[int]]:
        """The records that could be read, and the positions of all others.

        Raises
        ------
        TemporaryError
            When a schema cannot be had from the registry now.
        """
        self.documents = {}
        remaining = []
        for position in range(len(values)):
            try:
                self.documents[position] = self._document(record_at(position))
            except DecodeError:
                remaining.append(position)
        positions = np.array(list(self.documents), dtype=np.int64)
        odd: Odd = set()
        by_path = PathCells(list(self.documents.values()), odd)
        table = table_of_cells(self.contract, self.mapper, by_path.cells, positions, record_at, odd)
        if not odd:
            return (positions, table), remaining
        remaining += positions[sorted(odd)].tolist()
        usable = np.ones(len(positions), dtype=bool)
        usable[list(odd)] = False
        return (positions[usable], table.filter(pa.array(usable)).combine_chunks()), remaining

    def unknown(
        self, values: Sequence[bytes | None], accepted: Sequence[int], record_at: RecordAt
    ) -> dict[str, str]:
        """The unknown fields of some of these records, rare lengths first."""
        counts = np.fromiter((len(values[at] or b"") for at in accepted), np.intp, len(accepted))
        if self.documents:
            counts = np.fromiter(
                (len(self.documents[at]) for at in accepted), np.intp, len(accepted)
            )
        unknown: dict[str, str] = {}
        for index in picked(counts):
            at = accepted[index]
            fields = self._unknown(self.documents.get(at) or self._document(record_at(at)))
            unknown = merged_kinds(unknown, fields) if fields else unknown
        return unknown

    def _document(self, record: RawRecord) -> Document:
        largest, mapping = self.contract.largest_event_bytes, self.mapper.mapping
        return read_document(record, largest, mapping, self.schemas)

    def _unknown(self, document: Document) -> dict[str, str]:
        known = {spec.name for spec in self.contract.features}
        return unknown_fields(document, known | set(filter(self.mapper.is_known, document)))


Cells = Callable[[Path], Sequence[Any]]
"""The values of all records at a path; None where one is missing."""


def table_of_cells(
    contract: ModelContract,
    mapper: Mapper,
    cells: Cells,
    positions: NDArray[np.int64],
    record_at: RecordAt,
    odd: Odd,
) -> pa.Table:
    """The table of some records; rows that the row rule decides are added to `odd`.

    Parameters
    ----------
    positions:
        Position of each record in the fetch.
    """
    mapped, mapping = {field.rule.name: field for field in mapper.fields}, mapper.mapping
    table: dict[str, Any] = {}
    for spec in contract.features:
        table[spec.name] = _feature(cells, spec, mapped.get(spec.name), odd)
    if mapping.time_format == "broker":
        table[contract.time] = broker_times(positions, record_at)
    else:
        table[contract.time] = seconds_column(cells(mapper.time_path), mapping.time_format, odd)
    if mapping.key_from == "field":
        table[contract.key] = key_column(cells(mapper.key_path), odd)
    else:
        table[contract.key] = record_keys(mapper, positions, record_at, odd)
    return pa.table(table)


def broker_times(positions: NDArray[np.int64], record_at: RecordAt) -> pa.Array[Any]:
    """The times that Kafka stored with these records."""
    return pa.array([record_at(at).time for at in positions.tolist()], pa.float64())


def record_keys(
    mapper: Mapper, positions: NDArray[np.int64], record_at: RecordAt, odd: Odd
) -> pa.Array[Any]:
    """The keys of these records, from Kafka's key or a header."""
    cells: list[Any] = []
    for at in positions.tolist():
        try:
            cells.append(mapper.key_value({}, record_at(at)))
        except DecodeError:
            cells.append(None)
    return key_column(cells, odd)


@dataclass(slots=True)
class PathCells:
    """The values of each path in all documents."""

    documents: Sequence[Document]
    odd: Odd
    """Positions of rows that the row rule decides."""
    _cells: dict[Path, Sequence[Any]] = field(default_factory=dict)

    def cells(self, path: Path) -> Sequence[Any]:
        """The value of each document at a path; None where it is missing."""
        if not path:
            return self.documents
        if path not in self._cells:
            parents, name = self.cells(path[:-1]), path[-1]
            if set(map(type, parents)) <= {dict}:
                cells = [parent.get(name) for parent in parents]
            else:
                self.odd.update(
                    at
                    for at, parent in enumerate(parents)
                    if parent is not None and type(parent) is not dict
                )
                cells = [parent.get(name) if type(parent) is dict else None for parent in parents]
            self._cells[path] = cells
        return self._cells[path]


def _feature(
    cells: Cells, spec: FeatureSpec, mapped: MappedField | None, odd: Odd
) -> pa.Array[Any]:
    if mapped is None:
        return typed(cells((spec.name,)), spec.kind, odd)
    values = cells(mapped.path)
    if mapped.rule.rule != "value":
        values = converted(values, mapped.convert, odd)
    return typed(values, spec.kind, odd)
