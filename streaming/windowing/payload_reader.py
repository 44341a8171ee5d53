"""Reads mapped Avro and Protobuf records to a table, all records of a schema at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from streaming.contracts.avro import AvroDecoder
from streaming.contracts.documents import decoder_of
from streaming.contracts.errors import DecodeError
from streaming.contracts.mapper import Mapper
from streaming.contracts.mapping import Path
from streaming.contracts.model import ModelContract
from streaming.contracts.protobuf import ProtobufDecoder
from streaming.contracts.registered import SchemaSource
from streaming.contracts.wire_format import HEADER_BYTES, message_indexes
from streaming.windowing import avro_columns, protobuf_columns
from streaming.windowing.avro_columns import AvroColumns
from streaming.windowing.column_types import Run
from streaming.windowing.document_columns import DocumentReader, RecordAt
from streaming.windowing.path_columns import table_of, without_odd
from streaming.windowing.protobuf_columns import ProtobufColumns
from streaming.windowing.record_bytes import NotColumnar, RecordBytes
from streaming.windowing.typed_columns import Odd


@dataclass(slots=True)
class PayloadReader:
    """Reads the Avro or Protobuf events of one model by its mapping.

    Parameters
    ----------
    contract, mapper:
        The features, and the compiled mapping of the events.
    schemas:
        The schemas of the registry.
    """

    contract: ModelContract
    mapper: Mapper
    schemas: SchemaSource | None
    by_documents: DocumentReader = field(init=False)
    """Reads the records of schemas that have no columns."""

    def __post_init__(self) -> None:
        self.by_documents = DocumentReader(self.contract, self.mapper, self.schemas)

    def parse(self, values: Sequence[bytes | None], record_at: RecordAt) -> tuple[Run, list[int]]:
        """The records that could be read, and the positions of all others.

        Raises
        ------
        TemporaryError
            When a schema cannot be had from the registry now.
        """
        groups: dict[bytes, list[int]] = {}
        remaining: list[int] = []
        largest = self.contract.largest_event_bytes
        for position, value in enumerate(values):
            length = self._head(value, largest)
            if value is not None and length:
                groups.setdefault(value[:length], []).append(position)
            else:
                remaining.append(position)
        runs = []
        for head, positions in groups.items():
            run, others = self._group(head, positions, values, record_at)
            runs.append(run)
            remaining += others
        if len(runs) == 1:
            return runs[0], remaining
        if not runs:
            return self.by_documents.parse([], record_at)[0], remaining
        table = pa.concat_tables([table for _, table in runs]).combine_chunks()
        return (np.concatenate([positions for positions, _ in runs]), table), remaining

    def _head(self, value: bytes | None, largest: int) -> int:
        """Length of what stands before the payload; 0 where the row rule decides."""
        if not value or not HEADER_BYTES <= len(value) <= largest or value[0] != 0:
            return 0
        if self.mapper.mapping.format == "avro":
            return HEADER_BYTES
        if value[HEADER_BYTES : HEADER_BYTES + 1] == b"\0":
            return HEADER_BYTES + 1
        try:
            return HEADER_BYTES + message_indexes(value[HEADER_BYTES:])[1]
        except DecodeError:
            return 0

    def unknown(
        self, values: Sequence[bytes | None], accepted: Sequence[int], record_at: RecordAt
    ) -> dict[str, str]:
        """The unknown fields of a few records of each schema, which all have the same fields."""
        by_schema: dict[bytes, list[int]] = {}
        for at in accepted:
            by_schema.setdefault((values[at] or b"")[:HEADER_BYTES], []).append(at)
        chosen = [at for group in by_schema.values() for at in group[:: -(-len(group) // 4)]]
        self.by_documents.documents = {}
        return self.by_documents.unknown(values, chosen, record_at)

    def _group(
        self,
        head: bytes,
        positions: list[int],
        values: Sequence[bytes | None],
        record_at: RecordAt,
    ) -> tuple[Run, list[int]]:
        """The records of one schema."""
        columns = self._columns(head, [(values[at] or b"")[len(head) :] for at in positions])
        if columns is None:
            (at, table), others = self.by_documents.parse(
                [values[position] for position in positions], lambda at: record_at(positions[at])
            )
            numbers = np.array(positions, np.int64)
            return (numbers[at], table), numbers[others].tolist()
        odd: Odd = set(np.flatnonzero(~columns.good).tolist())
        numbers = np.array(positions, np.int64)
        table = table_of(self.contract, self.mapper, columns.columns, numbers, record_at, odd)
        return without_odd((numbers, table), odd)

    def _columns(self, head: bytes, payloads: list[bytes]) -> RecordBytes | None:
        """The columns of the payloads; None where they are read as documents."""
        number, paths = int.from_bytes(head[1:HEADER_BYTES], "big"), self._paths()
        try:
            decoder = decoder_of(number, self.mapper.mapping, self.schemas)
            if isinstance(decoder, ProtobufDecoder):
                descriptor = decoder.descriptor(message_indexes(head[HEADER_BYTES:])[0])
                messages = ProtobufColumns(payloads)
                messages.column_paths = frozenset(paths)
                for path in paths:
                    protobuf_columns.check_path(descriptor, path)
                messages.read(descriptor)
                return messages
            if isinstance(decoder, AvroDecoder) and not decoder.refusal:
                columns = AvroColumns(payloads)
                for path in paths:
                    avro_columns.check_path(decoder.parsed, path)
                columns.read(decoder.parsed)
                return columns
        except (DecodeError, NotColumnar):
            pass
        return None

    def _paths(self) -> list[Path]:
        mapped = {one.rule.name: one.path for one in self.mapper.fields}
        paths = [mapped.get(spec.name, (spec.name,)) for spec in self.contract.features]
        if self.mapper.mapping.key_from == "field":
            paths.append(self.mapper.key_path)
        if self.mapper.mapping.time_format != "broker":
            paths.append(self.mapper.time_path)
        return paths
