"""Decodes a fetch of records to columns, so that one bad record never affects another.

Columns are read several times faster than rows, by readers that refuse every record which they
could read differently from the row rule (`json_cells` for JSON). What they refuse is decoded by
`streaming.contracts.events.decode_event`, which defines what a usable event is. The columns hold
exactly the records which that rule accepts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event, merged_kinds, unknown_fields
from streaming.contracts.json_text import parse_json
from streaming.contracts.listed import MAX_BYTES
from streaming.contracts.mapper import Mapper, mapper
from streaming.contracts.mapping import Format
from streaming.contracts.model import MISSING, FeatureSpec, ModelContract
from streaming.contracts.raw_record import KafkaRecord
from streaming.contracts.registered import SchemaSource
from streaming.windowing.column_types import TYPES, Run
from streaming.windowing.document_columns import DocumentReader, RecordAt
from streaming.windowing.flat_json import FlatJsonReader
from streaming.windowing.inspection import colons, picked, spread
from streaming.windowing.json_cells import NotTyped
from streaming.windowing.mapped_json import MappedJsonReader
from streaming.windowing.payload_reader import PayloadReader

MIN_COLUMN_RECORDS = 100
"""For fewer records the making of columns costs more than decoding row by row."""

MappedReader = PayloadReader | MappedJsonReader | DocumentReader
_READERS: dict[Format, type[PayloadReader] | type[MappedJsonReader] | type[DocumentReader]] = {
    "json": MappedJsonReader,
    "avro": PayloadReader,
    "protobuf": PayloadReader,
    "cloudevents": DocumentReader,
    "json-schema": DocumentReader,
}
"""Format → the reader of fetches that are not flat JSON."""

Rows = list[tuple[int, Event]]
"""Position in the fetch, and the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRecord:
    """A record of the fetch that cannot be used."""

    index: int
    """Its position in the fetch."""
    reason: str
    detail: str
    field: str = ""
    """The field that caused it; empty where no single field did."""
    value_kind: str = ""
    """Kind of that field's value; empty where it was missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The usable rows of a fetch, in fetch order, and the dead records."""

    batch: pa.RecordBatch
    """One column per feature of the contract; null where a value is missing."""
    times: NDArray[np.float64]
    """Event time of each row, seconds since 1970."""
    index: NDArray[np.int64]
    """Position of each row in the fetch."""
    dead: tuple[DeadRecord, ...]
    unknown: Mapping[str, str]
    """Fields that are not in the contract, as far as they were noticed -> kind of the value."""


@dataclass(slots=True)
class Decoder:
    """Decodes fetches of one model's events.

    >>> from streaming.contracts.model import FeatureSpec
    >>> contract = ModelContract(model="m", module="", events_topic="", labels_topic="", key="id",
    ...     time="at", features=(FeatureSpec(name="fare", kind="number"),))
    >>> fetch = [b'{"id":"a","at":1.0,"fare":2}', b'{"id":"b","at":1}{', b'{"id":"c","at":3}']
    >>> decoded = Decoder(contract).decode(fetch, now=5.0)
    >>> decoded.batch.to_pydict(), decoded.index.tolist(), decoded.dead[0].reason
    ({'fare': [2.0, None]}, [0, 2], 'not_json')
    """

    contract: ModelContract
    min_column_records: int = MIN_COLUMN_RECORDS
    schemas: SchemaSource | None = None
    """The schemas of the registry, for formats that need them."""
    _flat: FlatJsonReader | None = field(init=False)
    _mapper: Mapper | None = field(init=False)
    """How records that are not flat JSON are read."""
    _documents: MappedReader | None = field(init=False)
    _known: frozenset[str] = field(init=False)
    _row_by_row_only: bool = field(init=False)
    """Whether the key or the time is a feature of a kind that takes other values than they do, or a
    field has a name that only the row rule reads."""

    def __post_init__(self) -> None:
        kinds = {spec.name: spec.kind for spec in self.contract.features}
        key, time = self.contract.key, self.contract.time
        self._known = frozenset((*kinds, key, time))
        same = key == time
        self._row_by_row_only = same or kinds.get(key) == "number" or kinds.get(time) == "text"
        self._mapper, self._documents = mapper(self.contract, self.contract.events), None
        self._flat = None
        if self._mapper is None:
            try:
                self._flat = FlatJsonReader(self.contract)
            except NotTyped:
                self._row_by_row_only = True
        else:
            reader = _READERS[self.contract.events.format]
            self._documents = reader(self.contract, self._mapper, self.schemas)
            # one column cannot be both the feature as it is written and the time in seconds
            self._row_by_row_only = same or not kinds.keys().isdisjoint({key, time})

    def decode(
        self, values: Sequence[bytes | None], *, now: float, record_at: RecordAt | None = None
    ) -> Decoded:
        """Decode one fetch.

        Parameters
        ----------
        values:
            The records' values as they came from Kafka.
        now:
            Seconds since 1970, for events that lie too far ahead.
        record_at:
            The whole record at a position; None = the records are their values alone.

        Raises
        ------
        TemporaryError
            When a schema cannot be had from the registry now.
        """
        record_at = record_at or (lambda position: KafkaRecord(value=values[position]))
        if len(values) < self.min_column_records or self._row_by_row_only:
            return self._decode_rows(len(values), record_at, now)
        (positions, table), remaining = self._parse(values, record_at)
        table = self._with_nulls(table)
        usable = self._usable(table, now)
        if not usable.all():
            remaining.extend(positions[~usable].tolist())
            positions = positions[usable]
            table = table.filter(pa.array(usable)).combine_chunks()
        rows, dead = self._row_by_row(sorted(remaining), record_at, now)
        unknown = _unknown(rows, self._inspected(values, positions, record_at))
        order, in_order = _fetch_order(positions, rows)
        columns = self._columns(table, rows, None if in_order else order)
        times = _numbers(table[self.contract.time])
        return Decoded(
            batch=pa.RecordBatch.from_arrays(
                [columns[spec.name] for spec in self.contract.features],
                [spec.name for spec in self.contract.features],
            ),
            times=np.append(times, [event.time for _, event in rows])[order],
            index=np.append(positions, _positions(rows))[order],
            dead=tuple(dead),
            unknown=unknown,
        )

    def _parse(self, values: Sequence[bytes | None], record_at: RecordAt) -> tuple[Run, list[int]]:
        """The records that can be read as columns, and the positions of all others."""
        if self._flat is not None:
            return self._flat.parse(values)
        assert self._documents is not None  # one of the two, see __post_init__
        return self._documents.parse(values, record_at)

    def _decode_rows(self, records: int, record_at: RecordAt, now: float) -> Decoded:
        """Decode a short fetch, row by row."""
        rows, dead = self._row_by_row(range(records), record_at, now)
        columns = {spec.name: self._column(spec, rows) for spec in self.contract.features}
        return Decoded(
            batch=pa.RecordBatch.from_arrays(list(columns.values()), list(columns)),
            times=np.array([event.time for _, event in rows], np.float64),
            index=_positions(rows),
            dead=tuple(dead),
            unknown=_unknown(rows, {}),
        )

    def _column(self, spec: FeatureSpec, rows: Rows) -> pa.Array[Any]:
        cells: list[Any] = [event.values[spec.name] for _, event in rows]
        if spec.kind == "text" and not spec.multivalent:
            cells = [cut_text(cell, self.contract.max_text_bytes) for cell in cells]
        return pa.array(cells, TYPES[spec.kind])

    def _with_nulls(self, table: pa.Table) -> pa.Table:
        """The table with null in place of each value that stands for a missing one.

        Numbers that are not finite are left to the row rule (`_usable`).
        """
        for spec in self.contract.features:
            at = table.schema.get_field_index(spec.name)
            missing = _stands_for_missing(table.column(at), spec)
            if missing is not None:
                column = pc.if_else(missing, pa.scalar(None, TYPES[spec.kind]), table.column(at))
                table = table.set_column(at, table.schema.field(at), column)
        return table

    def _usable(self, table: pa.Table, now: float) -> NDArray[np.bool_]:
        """True for the rows which `decode_event` would certainly accept as they are."""
        contract = self.contract
        times = _numbers(table[contract.time])
        usable: NDArray[np.bool_] = (times <= now + contract.future_seconds) & (
            times >= now - contract.past_seconds
        )
        if contract.key in table.column_names:
            key: Any = table[contract.key]
            usable &= np.asarray(pc.is_valid(key))
            if contract.key not in {spec.name for spec in contract.features}:
                empty: Any = pc.equal(key, pa.scalar(""))
                usable &= ~np.asarray(pc.fill_null(empty, True))
        for spec in contract.features:
            column: Any = table[spec.name]
            if spec.required and column.null_count:
                usable &= np.asarray(pc.is_valid(column))
            if spec.kind == "number" and not _finite_sum(column):
                usable &= np.asarray(pc.fill_null(pc.is_finite(column), True))
        return usable

    # -------------------------------------------------------------- row by row

    def _row_by_row(
        self, positions: Sequence[int], record_at: RecordAt, now: float
    ) -> tuple[Rows, list[DeadRecord]]:
        rows: Rows = []
        dead: list[DeadRecord] = []
        for position in positions:
            try:
                event = decode_event(
                    record_at(position), self.contract, now=now, schemas=self.schemas
                )
                rows.append((position, event))
            except DecodeError as error:
                dead.append(_dead(position, error))
        return rows, dead

    def _inspected(
        self, values: Sequence[bytes | None], accepted: NDArray[np.int64], record_at: RecordAt
    ) -> dict[str, str]:
        """The unknown fields of some of the accepted records that were read as columns.

        An additional field is an additional colon. Colons are counted in half of the records, and
        in at most 1,000. Then one record of each count is inspected, rare counts first, and some
        at equal distances.
        """
        if self._documents is not None:
            return self._documents.unknown(values, accepted.tolist(), record_at)
        sample = [values[position] or b"" for position in accepted[spread(len(accepted))].tolist()]
        unknown: dict[str, str] = {}
        for at in picked(colons(sample)):
            if fields := self._unknown_fields(sample[at]):
                unknown = merged_kinds(unknown, fields)
        return unknown

    def _unknown_fields(self, value: bytes) -> dict[str, str]:
        """The unknown fields of a record that was read as columns."""
        try:
            return unknown_fields(orjson.loads(value), self._known)
        except orjson.JSONDecodeError:  # 1e999 in one of them
            return unknown_fields(parse_json(value), self._known)

    def _columns(
        self, table: pa.Table, rows: Rows, order: NDArray[np.int64] | None
    ) -> dict[str, pa.Array[Any]]:
        """The features of the records that either reader accepted, in `order` if it is given."""
        columns = {}
        for spec in self.contract.features:
            chunks = table[spec.name].chunks
            if rows:
                cells = [event.values[spec.name] for _, event in rows]
                chunks = [*chunks, pa.array(cells, TYPES[spec.kind])]
            # a single chunk would be copied
            column = chunks[0] if len(chunks) == 1 else _concatenated(chunks, spec)
            column = column if order is None else column.take(pa.array(order, pa.int64()))
            # a list is bounded by its rule, and its values are cut when they are counted
            most = MAX_BYTES if spec.multivalent else self.contract.max_text_bytes
            columns[spec.name] = _cut(column, most)
        return columns


def _numbers(column: Any) -> NDArray[np.float64]:
    """A column of integers or numbers as numbers, NaN for null; Arrow's cast refuses an integer
    that a float cannot hold exactly."""
    numbers: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return numbers


def _concatenated(chunks: list[pa.Array[Any]], spec: FeatureSpec) -> pa.Array[Any]:
    return pa.concat_arrays(chunks) if chunks else pa.array([], TYPES[spec.kind])


def _finite_sum(column: Any) -> bool:
    """Whether the sum is finite, as it is only if all values are; faster than to ask for each.

    >>> [_finite_sum(pa.chunked_array([[1.0, None, x]])) for x in (2.0, float("inf"), float("nan"))]
    [True, False, False]
    """
    return math.isfinite(pc.sum(column).as_py() or 0.0)


def _fetch_order(positions: NDArray[np.int64], rows: Rows) -> tuple[NDArray[np.int64], bool]:
    """The order that sorts the records of both readers, and whether they are sorted already."""
    order = np.argsort(np.append(positions, _positions(rows)), kind="stable")
    return order, bool((order == np.arange(len(order))).all())


def _positions(rows: Rows) -> NDArray[np.int64]:
    return np.array([position for position, _ in rows], np.int64)


def _unknown(rows: Rows, unknown: dict[str, str]) -> dict[str, str]:
    """The unknown fields of these rows, merged into those that are known already."""
    for _, event in rows:
        if event.unknown:
            unknown = merged_kinds(unknown, event.unknown)
    return unknown


def _dead(index: int, error: DecodeError) -> DeadRecord:
    return DeadRecord(
        index=index,
        reason=error.reason,
        detail=str(error),
        field=error.field,
        value_kind=error.value_kind,
    )


def _stands_for_missing(column: Any, spec: FeatureSpec) -> Any:
    """A mask of the values that stand for missing ones; None where there are none."""
    if spec.sentinels:
        absent = pa.array([*spec.sentinels, *_sentinel(spec)], column.type)
        return pc.is_in(column, value_set=absent)
    if spec.kind == "text":
        shortest = pc.min(pc.binary_length(column)).as_py()
        return pc.equal(column, pa.scalar("")) if shortest == 0 else None
    if spec.kind == "integer" and pc.min(column).as_py() == MISSING["integer"]:
        return pc.equal(column, pa.scalar(MISSING["integer"], pa.int64()))
    return None


def _sentinel(spec: FeatureSpec) -> tuple[int | float | str, ...]:
    return () if spec.kind == "number" else (MISSING[spec.kind],)


def _cut(column: Any, max_bytes: int) -> Any:
    """Cut long text to the contract's bound, between two characters."""
    if not pa.types.is_string(column.type):
        return column
    if (pc.max(pc.binary_length(column)).as_py() or 0) <= max_bytes:
        return column
    return pa.array([cut_text(text, max_bytes) for text in column.to_pylist()], pa.string())


def cut_text(text: str | None, max_bytes: int) -> str | None:
    """The longest prefix of `text` with at most `max_bytes` bytes of UTF-8.

    >>> cut_text("größer", 4)
    'grö'
    """
    if text is None or len(text.encode()) <= max_bytes:
        return text
    return text.encode()[:max_bytes].decode("utf-8", "ignore")
