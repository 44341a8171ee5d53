"""Reads the records of offset ranges to columns: key, time and fields, one row per usable record.

A column decoder (the stream job's) reads fetches of flat records many times faster than one by one.
It is passed in, because retraining knows nothing of the stream job. What it refuses, and
every record where there is no such decoder, is read by `streaming.contracts.events`, which defines
what can be used; so the rows are the same with and without it.

The decoder returns features and times but no keys, so it gets a contract in which the key is a
feature. Keys are texts or integers: the first fetch shows which of the two it can read, if any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrain.engines.tfx.example_columns import ARROW_TYPES
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import decode_event, key_of, read_fields, value_of
from streaming.contracts.log import Message
from streaming.contracts.mapper import mapper
from streaming.contracts.model import FeatureKind, FeatureSpec, ModelContract
from streaming.contracts.raw_record import RawRecord
from streaming.contracts.registered import SchemaSource

KEY, TIME = "\0key", "\0time"
"""Columns of every batch; no field of a record can have these names in the contract."""

FETCH_RECORDS = 10_000
"""Records that are decoded at a time."""

_MIN_SHARE = 0.5
"""A decoder that reads a smaller share of the first fetch is not used."""
_MIN_RECORDS = 100
"""For fewer records a decoder is not worth its calls."""
_ANY_TIME = 1e300

Row = tuple[str, float, dict[str, Any]]
"""Key, time, and values by name."""


class DecodedRecords(Protocol):
    """The usable records of a fetch."""

    @property
    def batch(self) -> pa.RecordBatch:
        """One column per feature; null where a value is missing."""

    @property
    def times(self) -> Any:
        """Event time of each row."""

    @property
    def index(self) -> Any:
        """Position of each row in the fetch."""


class ColumnDecoder(Protocol):
    """Reads fetches of the records of one contract; `streaming.windowing.decode.Decoder` is one."""

    def decode(
        self,
        values: Sequence[bytes | None],
        *,
        now: float,
        record_at: Callable[[int], RawRecord] | None = None,
    ) -> DecodedRecords: ...


MakeDecoder = Callable[[ModelContract, SchemaSource | None], ColumnDecoder]


@dataclass(slots=True)
class RecordColumns:
    """Reads one kind of records; `events_of` and `labels_of` make one."""

    specs: Sequence[FeatureSpec]
    """The fields that are read."""
    read_row: Callable[[Message], Row]
    """Reads one record; raises `DecodeError` for one that cannot be used."""
    now: float
    """Seconds since 1970, for records that are ahead of the clock."""
    decoders: list[tuple[str, ColumnDecoder]]
    """Column of the key and decoder; the first one that reads the records well is used."""
    unusable: int = 0
    """Number of records that could not be read."""
    _chosen: bool = field(default=False)

    def batches(self, messages: Iterable[Message]) -> Iterator[pa.RecordBatch]:
        """The usable records in order, `FETCH_RECORDS` at a time."""
        remaining = iter(messages)
        while fetch := list(islice(remaining, FETCH_RECORDS)):
            yield self._batch(fetch)

    def _batch(self, fetch: list[Message]) -> pa.RecordBatch:
        decoded = self._decoded(fetch) if len(fetch) >= _MIN_RECORDS else None
        if decoded is None:
            return self._rows(fetch, range(len(fetch)))[0]
        batch, index = decoded
        read = np.zeros(len(fetch), np.bool_)
        read[index] = True
        if read.all():
            return batch
        rows, positions = self._rows(fetch, np.flatnonzero(~read).tolist())
        table = pa.Table.from_batches([batch, rows])
        order = np.argsort(np.concatenate([index, positions]), kind="stable")
        return table.combine_chunks().take(order).to_batches()[0]

    def _decoded(self, fetch: list[Message]) -> tuple[pa.RecordBatch, Any] | None:
        """The records that a decoder can read, and their positions; None when it reads few."""
        values = [message.value for message in fetch]
        while self.decoders:
            name, decoder = self.decoders[0]
            decoded = decoder.decode(values, now=self.now, record_at=fetch.__getitem__)
            if self._chosen or len(decoded.index) >= _MIN_SHARE * len(fetch):
                self._chosen = True
                return self._renamed(decoded, name), decoded.index
            self.decoders = self.decoders[1:]
        return None

    def _renamed(self, decoded: DecodedRecords, key: str) -> pa.RecordBatch:
        batch: Any = decoded.batch
        columns = [pc.cast(batch.column(key), pa.string()), pa.array(decoded.times, pa.float64())]
        columns += [batch.column(spec.name) for spec in self.specs]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _rows(self, fetch: list[Message], positions: Iterable[int]) -> tuple[pa.RecordBatch, Any]:
        rows, read = [], []
        for position in positions:
            try:
                rows.append(self.read_row(fetch[position]))
            except DecodeError:
                self.unusable += 1
                continue
            read.append(position)
        cells: dict[str, Any] = {KEY: [row[0] for row in rows], TIME: [row[1] for row in rows]}
        cells |= {spec.name: [row[2].get(spec.name) for row in rows] for spec in self.specs}
        kinds: Any = self.schema
        arrays = [pa.array(cells[each.name], each.type) for each in kinds]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema), np.array(read, np.int64)

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""
        fields: list[pa.Field[Any]] = [
            pa.field(spec.name, ARROW_TYPES[spec.kind]) for spec in self.specs
        ]
        fields = [pa.field(KEY, pa.string()), pa.field(TIME, pa.float64()), *fields]
        return pa.schema(fields)


def events_of(
    contract: ModelContract,
    *,
    now: float,
    schemas: SchemaSource | None,
    make_decoder: MakeDecoder | None,
) -> RecordColumns:
    """Reads the events of a model."""

    def row(message: Message) -> Row:
        event = decode_event(message, contract, now=now, schemas=schemas)
        return event.key, event.time, event.values

    flat = mapper(contract, contract.events) is None
    decoders = _decoders(contract, schemas, make_decoder) if flat else []
    return RecordColumns(contract.features, row, now, decoders)


def labels_of(
    contract: ModelContract,
    columns: Sequence[FeatureSpec],
    *,
    schemas: SchemaSource | None,
    make_decoder: MakeDecoder | None,
) -> RecordColumns:
    """Reads the labels of a model; a label with a value of another kind has no values at all."""

    def row(message: Message) -> Row:
        fields = read_fields(message, contract, contract.labels, schemas)
        key = key_of(fields, contract)
        try:
            return key, 0.0, {spec.name: value_of(fields, spec) for spec in columns}
        except DecodeError:
            return key, 0.0, {}

    # A label needs no time, and the decoder needs one: a number among the label's fields serves.
    numbers = [spec.name for spec in columns if spec.kind == "number"]
    read_contract = msgspec.structs.replace(
        contract,
        features=tuple(columns),
        time=numbers[0] if numbers else contract.time,
        events=contract.labels,
        future_seconds=_ANY_TIME,
        past_seconds=_ANY_TIME,
    )
    flat = mapper(contract, contract.labels) is None
    decoders = _decoders(read_contract, schemas, make_decoder) if flat else []
    return RecordColumns(columns, row, 0.0, decoders)


def _decoders(
    contract: ModelContract, schemas: SchemaSource | None, make: MakeDecoder | None
) -> list[tuple[str, ColumnDecoder]]:
    """Decoders that return the key as well; no text is cut."""
    if make is None:
        return []
    whole = msgspec.structs.replace(contract, max_text_bytes=contract.largest_event_bytes)
    kinds = {spec.name: spec.kind for spec in contract.features}
    if contract.key in kinds:
        return [(contract.key, make(whole, schemas))] if kinds[contract.key] != "number" else []
    decoders = []
    keys: tuple[FeatureKind, ...] = ("text", "integer")
    for kind in keys:
        key = FeatureSpec(name=contract.key, kind=kind)
        keyed = msgspec.structs.replace(whole, features=(*contract.features, key))
        decoders.append((contract.key, make(keyed, schemas)))
    return decoders
