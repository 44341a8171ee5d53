"""Reads mapped JSON records to a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streaming.contracts.mapper import Mapper
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import SchemaSource
from streaming.windowing.column_types import Run
from streaming.windowing.document_columns import DocumentReader, RecordAt, table_of_cells
from streaming.windowing.json_cells import JsonCells, NotTyped
from streaming.windowing.nested_json import json_types
from streaming.windowing.path_columns import without_odd
from streaming.windowing.typed_columns import Odd


@dataclass(slots=True)
class MappedJsonReader:
    """Reads the JSON events of one model by its mapping.

    Parameters
    ----------
    contract, mapper:
        The features, and the compiled mapping of the events.
    schemas:
        Not used; JSON has no schema.
    """

    contract: ModelContract
    mapper: Mapper
    schemas: SchemaSource | None = None
    by_documents: DocumentReader = field(init=False)
    """Reads all records where the mapping needs the whole document."""
    _cells: JsonCells | None = field(init=False)

    def __post_init__(self) -> None:
        self.by_documents = DocumentReader(self.contract, self.mapper, self.schemas)
        try:
            types = json_types(self.contract.features, self.mapper)
            self._cells = JsonCells(types, self.contract.largest_event_bytes)
        except NotTyped:
            self._cells = None

    def parse(self, values: Sequence[bytes | None], record_at: RecordAt) -> tuple[Run, list[int]]:
        """The records that could be read, and the positions of all others."""
        if self._cells is None:
            return self.by_documents.parse(values, record_at)
        self.by_documents.documents = {}
        positions, cells, refused = self._cells.read(values)
        odd: Odd = set()
        table = table_of_cells(
            self.contract, self.mapper, cells.__getitem__, positions, record_at, odd
        )
        run, others = without_odd((positions, table), odd)
        return run, refused + others

    def unknown(
        self, values: Sequence[bytes | None], accepted: Sequence[int], record_at: RecordAt
    ) -> dict[str, str]:
        """The unknown fields of some of these records."""
        return self.by_documents.unknown(values, accepted, record_at)
