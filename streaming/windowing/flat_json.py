"""Reads the events of a model whose records are flat JSON to a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from streaming.contracts.model import ModelContract
from streaming.windowing.column_types import TYPES, Run
from streaming.windowing.json_cells import INTEGER, KEY, JsonCells, JsonType

JSON_TYPES: dict[str, JsonType] = {
    "integer": (INTEGER | None, None),
    "number": (float | None, None),
    "text": (str | None, None),
}
"""Kind of a feature → what its field holds. It is as strict as the row rule: no text for a number,
no fraction or exponent for an integer, no true or false for either."""

_RECORDS_AT_ONCE = 2_000
"""The values of this many records are Python objects at a time, so that they stay in the caches of
the processor and a long fetch takes little memory."""


@dataclass(slots=True)
class FlatJsonReader:
    """Reads the records of one model.

    Parameters
    ----------
    contract:
        Names and types of the columns; other fields are skipped.

    Raises
    ------
    NotTyped
        When a field has a name that only the row rule reads.
    """

    contract: ModelContract
    _cells: JsonCells = field(init=False)
    _schema: pa.Schema = field(init=False)

    def __post_init__(self) -> None:
        contract = self.contract
        types = {spec.name: JSON_TYPES[spec.kind] for spec in contract.features}
        columns = {spec.name: TYPES[spec.kind] for spec in contract.features}
        columns.setdefault(contract.time, pa.float64())
        self._schema = pa.schema([pa.field(name, kind) for name, kind in columns.items()])
        types.setdefault(contract.time, (float,))
        types.setdefault(contract.key, (KEY,))
        self._cells = JsonCells(
            {(name,): kind for name, kind in types.items()}, contract.largest_event_bytes
        )

    def parse(self, values: Sequence[bytes | None]) -> tuple[Run, list[int]]:
        """The records that could be read, and the positions of all others.

        The table has a column for each feature and for the time, with null where a field is null
        or missing. Each of its rows has a key, whose column is only there when it is a feature.
        """
        parts = [
            self._part(values, start) for start in range(0, max(1, len(values)), _RECORDS_AT_ONCE)
        ]
        refused = [at for _, others in parts for at in others]
        if len(parts) == 1:
            return parts[0][0], refused
        positions = np.concatenate([positions for (positions, _), _ in parts])
        table = pa.concat_tables([table for (_, table), _ in parts])
        return (positions, table.combine_chunks()), refused

    def _part(self, values: Sequence[bytes | None], start: int) -> tuple[Run, list[int]]:
        part = values[start : start + _RECORDS_AT_ONCE]
        positions, cells, refused = self._cells.read(part)
        arrays = [pa.array(cells[(column.name,)], column.type) for column in self._schema]
        table = pa.table(arrays, schema=self._schema)
        return (positions + start, table), [at + start for at in refused]
