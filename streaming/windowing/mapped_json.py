"""Reads mapped JSON records to a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from streaming.contracts.mapper import Mapper
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import SchemaSource
from streaming.windowing.arrow_json import Run
from streaming.windowing.document_columns import DocumentReader, RecordAt
from streaming.windowing.nested_json import NestedJsonReader, NotNested
from streaming.windowing.path_columns import table_of, without_odd
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
    _arrow: NestedJsonReader | None = field(init=False)

    def __post_init__(self) -> None:
        self.by_documents = DocumentReader(self.contract, self.mapper, self.schemas)
        try:
            self._arrow = NestedJsonReader(self.contract, mapper=self.mapper)
        except NotNested:
            self._arrow = None

    def parse(self, values: Sequence[bytes | None], record_at: RecordAt) -> tuple[Run, list[int]]:
        """The records that could be read, and the positions of all others."""
        if self._arrow is None:
            return self.by_documents.parse(values, record_at)
        self.by_documents.documents = {}
        (positions, columns), remaining = self._arrow.parse(values)
        by_path = {
            path: _whole(columns.column(number)) for number, path in enumerate(self._arrow.paths)
        }
        odd: Odd = set()
        table = table_of(self.contract, self.mapper, by_path, positions, record_at, odd)
        run, others = without_odd((positions, table), odd)
        return run, remaining + others

    def unknown(
        self, values: Sequence[bytes | None], accepted: Sequence[int], record_at: RecordAt
    ) -> dict[str, str]:
        """The unknown fields of some of these records."""
        return self.by_documents.unknown(values, accepted, record_at)


def _whole(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    chunks = column.chunks
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays([*chunks, pa.array([], column.type)])
