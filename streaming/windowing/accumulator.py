"""What one reading step knows about one window: the only thing that crosses the shuffle.

`WindowCombiner` is the window's CombineFn: it creates, adds to and merges accumulators and
extracts the summary.

Each offset is accounted for once. An accepted row counts in its own window. A rejected or late
record counts in the window that holds its Kafka timestamp, so that over all windows
``accepted + dead + late == read``.

A few rows are not counted at once, because counting them costs as much per feature as counting a
thousand rows. They are buffered, travel as they are, and are counted together when their window
closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streaming import summary
from streaming.contracts.errors import PermanentError
from streaming.contracts.events import merged_kinds
from streaming.contracts.ids import digest, record_id
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    Artifact,
    OffsetRange,
    RejectedField,
    SchemaAnomaly,
    WindowSummary,
)
from streaming.windowing.assignment import Assignment
from streaming.windowing.column_types import TYPES
from streaming.windowing.decode import Decoded

Span = tuple[int, int]
"""First offset, and last offset + 1."""


class _Encoded(msgspec.Struct, frozen=True, array_like=True):
    """An accumulator as it travels."""

    accepted: int
    dead: int
    late: int
    offset_spans: dict[int, Span]
    unknown: dict[str, str]
    counts: bytes
    rejected_fields: dict[str, dict[str, int]]
    rows: bytes = b""
    """Buffered rows, as the Arrow IPC message of one batch."""
    keys: bytes = b""
    """Keys of the buffered rows, eight bytes each."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Encoded)
_DIGEST = 16
MAX_BUFFERED_ROWS = 64
"""An accumulator counts its buffered rows as soon as there are more than this."""


@dataclass(slots=True)
class WindowAccumulator:
    """Some of the records of one window."""

    counts: summary.Partial
    """Counts of the rows that are not buffered."""
    buffered: list[tuple[summary.RowKeys, pa.RecordBatch]] = field(default_factory=list)
    """Accepted rows that are not counted yet, with their keys."""
    accepted: int = 0
    dead: int = 0
    late: int = 0
    offset_spans: dict[int, Span] = field(default_factory=dict)
    """Partition -> span of the accepted offsets."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Fields that are not in the contract -> kind of their values."""
    rejected_fields: dict[str, dict[str, int]] = field(default_factory=dict)
    """Field that caused a dead letter -> kind of its value -> number of records."""


@dataclass(frozen=True)
class WindowCombiner:
    """Creates, adds to and merges the accumulators of one model, and extracts the summary."""

    contract: ModelContract

    @cached_property
    def _empty(self) -> summary.Partial:
        """The counts of no rows; all accumulators without counts share it."""
        return summary.start(self.contract)

    @cached_property
    def _empty_encoded(self) -> bytes:
        """Stands for the empty counts in encoded form: a digest of their features."""
        return digest(summary.to_bytes(self._empty))[:_DIGEST].encode()

    def add(
        self,
        windows: dict[int, WindowAccumulator],
        decoded: Decoded,
        assignment: Assignment,
        *,
        partition: int,
        offsets: Sequence[int],
    ) -> None:
        """Add a fetch's rows to their windows.

        Parameters
        ----------
        windows:
            Accumulators by window end (milliseconds); changed in place.
        decoded, assignment:
            The rows, and the window of each.
        offsets:
            Offset of each record of the fetch.
        """
        row_offsets = np.asarray(offsets, dtype=np.int64)[decoded.index]
        keys = summary.row_keys(self.contract.events_topic, partition, row_offsets)
        on_time = ~assignment.late
        for end in _distinct(assignment.ends[on_time]):
            in_window = (assignment.ends == end) & on_time
            batch = decoded.batch if in_window.all() else decoded.batch.filter(pa.array(in_window))
            accumulator = self.window(windows, end)
            accumulator.buffered.append((keys[in_window], batch))
            if sum(len(row_keys) for row_keys, _ in accumulator.buffered) > MAX_BUFFERED_ROWS:
                self._count(accumulator)
            accumulator.accepted += batch.num_rows
            span = (int(row_offsets[in_window][0]), int(row_offsets[in_window][-1]) + 1)
            accumulator.offset_spans[partition] = _union(
                accumulator.offset_spans.get(partition), span
            )
            accumulator.unknown = merged_kinds(accumulator.unknown, decoded.unknown)

    def window(self, windows: dict[int, WindowAccumulator], end: int) -> WindowAccumulator:
        """The accumulator of the window that ends at `end`; created when it is missing."""
        return windows.setdefault(end, WindowAccumulator(counts=self._empty))

    def _count(self, accumulator: WindowAccumulator) -> None:
        """Count the buffered rows."""
        if accumulator.buffered:
            keys = np.concatenate([keys for keys, _ in accumulator.buffered])
            rows = _concatenated(accumulator.buffered)
            accumulator.counts = summary.add(accumulator.counts, rows, keys)
            accumulator.buffered = []

    def merge(self, accumulators: Iterable[WindowAccumulator]) -> WindowAccumulator:
        """All accumulators as one, every row counted."""
        parts = list(accumulators)
        offset_spans: dict[int, Span] = {}
        unknown: dict[str, str] = {}
        rejected_fields: dict[str, dict[str, int]] = {}
        for part in parts:
            unknown = merged_kinds(unknown, part.unknown)
            for name, kinds in part.rejected_fields.items():
                for kind, records in kinds.items():
                    count_rejected(rejected_fields, name, kind, records)
            for partition, span in part.offset_spans.items():
                offset_spans[partition] = _union(offset_spans.get(partition), span)
        counted = [part.counts for part in parts if part.counts is not self._empty]
        merged = WindowAccumulator(
            counts=summary.merge([self._empty, *counted]) if counted else self._empty,
            buffered=[batch for part in parts for batch in part.buffered],
            accepted=sum(part.accepted for part in parts),
            dead=sum(part.dead for part in parts),
            late=sum(part.late for part in parts),
            offset_spans=offset_spans,
            unknown=unknown,
            rejected_fields=rejected_fields,
        )
        self._count(merged)
        return merged

    def as_late(self, accumulator: WindowAccumulator) -> WindowAccumulator:
        """The same records, with the accepted rows counted as late."""
        return WindowAccumulator(
            counts=self._empty,
            dead=accumulator.dead,
            late=accumulator.late + accumulator.accepted,
            rejected_fields=accumulator.rejected_fields,
        )

    def extract(
        self,
        accumulator: WindowAccumulator,
        end_ms: int,
        *,
        statistics: Artifact | None,
        anomalies: tuple[SchemaAnomaly, ...],
        schema_digest: str = "",
    ) -> WindowSummary:
        """The record of a closed window; equal accumulators give equal bytes."""
        end = end_ms / 1000
        start = (end_ms - round(self.contract.window_seconds * 1000)) / 1000
        return WindowSummary(
            record_id=record_id("window-summary", self.contract.model, start, end),
            model=self.contract.model,
            at=end,
            window_start=start,
            window_end=end,
            accepted=accumulator.accepted,
            dead_letters=accumulator.dead,
            late=accumulator.late,
            offsets_read=accumulator.accepted + accumulator.dead + accumulator.late,
            offsets=tuple(
                OffsetRange(
                    topic=self.contract.events_topic, partition=partition, start=first, stop=stop
                )
                for partition, (first, stop) in sorted(accumulator.offset_spans.items())
            ),
            features=summary.finish(accumulator.counts),
            sample=summary.finish_sample(accumulator.counts),
            anomalies=anomalies,
            statistics=statistics,
            rejected_fields=_rejected_fields(accumulator.rejected_fields),
            schema_digest=schema_digest,
        )

    def to_bytes(self, accumulator: WindowAccumulator) -> bytes:
        """The encoded accumulator, for the shuffle and the state."""
        empty = accumulator.counts is self._empty
        return _ENCODER.encode(
            _Encoded(
                accumulator.accepted,
                accumulator.dead,
                accumulator.late,
                accumulator.offset_spans,
                dict(sorted(accumulator.unknown.items())),
                self._empty_encoded if empty else summary.to_bytes(accumulator.counts),
                accumulator.rejected_fields,
                *_encode_rows(accumulator.buffered),
            )
        )

    def from_bytes(self, data: bytes) -> WindowAccumulator:
        """The accumulator that `to_bytes` wrote.

        Raises
        ------
        PermanentError
            When its rows have the features of another contract.
        """
        encoded = _DECODER.decode(data)
        counts = self._counts(encoded.counts)
        return WindowAccumulator(
            counts=counts,
            buffered=_decode_rows(encoded, counts.features),
            accepted=encoded.accepted,
            dead=encoded.dead,
            late=encoded.late,
            offset_spans=encoded.offset_spans,
            unknown=encoded.unknown,
            rejected_fields=encoded.rejected_fields,
        )

    def _counts(self, encoded: bytes) -> summary.Partial:
        if encoded == self._empty_encoded:
            return self._empty
        if len(encoded) == _DIGEST:
            raise PermanentError(
                "These rows are of other features; use one contract for all accumulators of a "
                "window."
            )
        return summary.from_bytes(encoded)


def _distinct(ends: npt.NDArray[np.signedinteger]) -> list[int]:
    """The distinct window ends of a fetch, ascending; mostly it is one."""
    if len(ends) and (ends == ends[0]).all():
        return [int(ends[0])]
    distinct: list[int] = np.unique(ends).tolist()
    return distinct


def _concatenated(buffered: Sequence[tuple[summary.RowKeys, pa.RecordBatch]]) -> pa.RecordBatch:
    """Batches of the same columns as one."""
    if len(buffered) == 1:
        return buffered[0][1]
    table = pa.Table.from_batches([batch for _, batch in buffered]).combine_chunks()
    return table.to_batches()[0]


def _encode_rows(buffered: Sequence[tuple[summary.RowKeys, pa.RecordBatch]]) -> tuple[bytes, bytes]:
    if not buffered:
        return b"", b""
    keys = np.concatenate([keys for keys, _ in buffered])
    return _concatenated(buffered).serialize().to_pybytes(), keys.astype("<u8").tobytes()


@lru_cache(maxsize=256)
def _schema(features: tuple[FeatureSpec, ...]) -> pa.Schema:
    return pa.schema([pa.field(spec.name, TYPES[spec.kind]) for spec in features])


def _decode_rows(
    encoded: _Encoded, features: tuple[FeatureSpec, ...]
) -> list[tuple[summary.RowKeys, pa.RecordBatch]]:
    """The rows that `_encode_rows` wrote, with these features as columns."""
    if not encoded.rows:
        return []
    batch = pa.ipc.read_record_batch(pa.py_buffer(encoded.rows), _schema(features))
    return [(np.frombuffer(encoded.keys, "<u8").astype(np.uint64), batch)]


def _union(known: Span | None, span: Span) -> Span:
    """The smallest span that holds both."""
    return span if known is None else (min(known[0], span[0]), max(known[1], span[1]))


def count_rejected(
    rejected_fields: dict[str, dict[str, int]], field: str, kind: str, records: int = 1
) -> None:
    """Add records that became dead letters because `field` held a value of this kind."""
    kinds = rejected_fields.setdefault(field, {})
    kinds[kind] = kinds.get(kind, 0) + records


def _rejected_fields(counted: dict[str, dict[str, int]]) -> tuple[RejectedField, ...]:
    fields = [
        RejectedField(feature=name, value_kind=kind, rows=rows)
        for name, kinds in counted.items()
        for kind, rows in kinds.items()
    ]
    return tuple(sorted(fields, key=lambda f: (-f.rows, f.feature, f.value_kind)))
