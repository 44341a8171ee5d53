"""What one reading step knows about one window: the only thing that crosses the shuffle.

Offsets are accounted once. An accepted row counts in its own window; a dead or late record counts
in the window in which it reached the log, so that over all windows
``accepted + dead + late == read``.

A few rows are not counted at once: for each feature that costs as much as for a thousand rows. They
wait as they are, travel so, and are counted together when their window closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import msgspec
import numpy as np
import pyarrow as pa

from streaming import summary
from streaming.contracts.errors import PermanentError
from streaming.contracts.events import joined
from streaming.contracts.ids import digest, record_id
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    Artifact,
    Misfit,
    OffsetRange,
    SchemaAnomaly,
    WindowSummary,
)
from streaming.windowing.arrow_json import TYPES
from streaming.windowing.assignment import Settled
from streaming.windowing.decode import Decoded


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """A partial as it travels."""

    accepted: int
    dead: int
    late: int
    hulls: dict[int, tuple[int, int]]
    unknown: dict[str, str]
    rows: bytes
    misfits: dict[str, dict[str, int]]
    waiting: bytes = b""
    """Rows that are not counted, as Arrow's message of one batch, …"""
    keys: bytes = b""
    """… and their keys, eight bytes each."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Packed)
_DIGEST = 16
MAX_WAITING = 64
"""Rows of a part that wait; more are counted."""


@dataclass(slots=True)
class WindowPartial:
    """Some of the records of one window."""

    rows: summary.Partial
    """Counts of the rows that do not wait."""
    waiting: list[tuple[summary.Keys, pa.RecordBatch]] = field(default_factory=list)
    """Rows that are accepted and not counted yet, with their keys."""
    accepted: int = 0
    dead: int = 0
    late: int = 0
    hulls: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition -> first accepted offset, last + 1."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Fields that the contract does not know -> kind of their values."""
    misfits: dict[str, dict[str, int]] = field(default_factory=dict)
    """Field that made a record dead -> kind of its value -> records."""


@dataclass(frozen=True)
class Partials:
    """Makes, merges and finishes the partials of one model."""

    contract: ModelContract

    @cached_property
    def _none(self) -> summary.Partial:
        """The counts of no rows; shared by all parts that have none."""
        return summary.start(self.contract)

    @cached_property
    def _none_packed(self) -> bytes:
        """Stands for them on the way: a digest of the features they are counts of."""
        return digest(summary.to_bytes(self._none))[:_DIGEST].encode()

    def fold(
        self,
        into: dict[int, WindowPartial],
        decoded: Decoded,
        settled: Settled,
        *,
        partition: int,
        offsets: Sequence[int],
    ) -> None:
        """Add a fetch's rows to their windows (keyed by window end, milliseconds).

        Parameters
        ----------
        into:
            Partials so far; changed in place.
        decoded, settled:
            The rows, and which of them count.
        offsets:
            Offset of each record of the fetch.
        """
        positions = np.asarray(offsets, dtype=np.int64)[decoded.index]
        keys = summary.row_keys(self.contract.events_topic, partition, positions)
        for end in np.unique(settled.ends[~settled.late]).tolist():
            mine = (settled.ends == end) & ~settled.late
            batch = decoded.batch if mine.all() else decoded.batch.filter(pa.array(mine))
            part = self.window(into, end)
            part.waiting.append((keys[mine], batch))
            if sum(len(one) for one, _ in part.waiting) > MAX_WAITING:
                self._count(part)
            part.accepted += batch.num_rows
            hull = (int(positions[mine][0]), int(positions[mine][-1]) + 1)
            part.hulls[partition] = _hull(part.hulls.get(partition), hull)
            part.unknown = joined(part.unknown, decoded.unknown)

    def window(self, into: dict[int, WindowPartial], end: int) -> WindowPartial:
        """The partial of the window that ends at `end`, made when missing."""
        return into.setdefault(end, WindowPartial(rows=self._none))

    def _count(self, part: WindowPartial) -> None:
        """Count what waits."""
        if part.waiting:
            keys = np.concatenate([keys for keys, _ in part.waiting])
            part.rows = summary.add(part.rows, _joined(part.waiting), keys)
            part.waiting = []

    def merge(self, parts: Iterable[WindowPartial]) -> WindowPartial:
        """All of them as one, every row counted."""
        together = list(parts)
        hulls: dict[int, tuple[int, int]] = {}
        unknown: dict[str, str] = {}
        misfits: dict[str, dict[str, int]] = {}
        for part in together:
            unknown = joined(unknown, part.unknown)
            for name, kinds in part.misfits.items():
                for kind, rows in kinds.items():
                    count(misfits, name, kind, rows)
            for partition, hull in part.hulls.items():
                hulls[partition] = _hull(hulls.get(partition), hull)
        counted = [part.rows for part in together if part.rows is not self._none]
        whole = WindowPartial(
            rows=summary.merge([self._none, *counted]) if counted else self._none,
            waiting=[batch for part in together for batch in part.waiting],
            accepted=sum(part.accepted for part in together),
            dead=sum(part.dead for part in together),
            late=sum(part.late for part in together),
            hulls=hulls,
            unknown=unknown,
            misfits=misfits,
        )
        self._count(whole)
        return whole

    def as_late(self, part: WindowPartial) -> WindowPartial:
        """The same records, its rows counted as late."""
        late = WindowPartial(rows=self._none)
        late.misfits = part.misfits
        late.dead, late.late = part.dead, part.late + part.accepted
        return late

    def finish(
        self,
        part: WindowPartial,
        end_ms: int,
        *,
        statistics: Artifact | None,
        anomalies: tuple[SchemaAnomaly, ...],
        schema_digest: str = "",
    ) -> WindowSummary:
        """The record of a closed window; equal partials give equal bytes."""
        end = end_ms / 1000
        start = (end_ms - round(self.contract.window_seconds * 1000)) / 1000
        return WindowSummary(
            record_id=record_id("window-summary", self.contract.model, start, end),
            model=self.contract.model,
            at=end,
            window_start=start,
            window_end=end,
            accepted=part.accepted,
            dead_letters=part.dead,
            late=part.late,
            offsets_read=part.accepted + part.dead + part.late,
            offsets=tuple(
                OffsetRange(
                    topic=self.contract.events_topic, partition=number, start=low, stop=high
                )
                for number, (low, high) in sorted(part.hulls.items())
            ),
            features=summary.finish(part.rows),
            sample=summary.finish_sample(part.rows),
            anomalies=anomalies,
            statistics=statistics,
            misfits=_misfits(part.misfits),
            schema_digest=schema_digest,
        )

    def to_bytes(self, part: WindowPartial) -> bytes:
        """For the way to the step that merges."""
        return _ENCODER.encode(
            _Packed(
                part.accepted,
                part.dead,
                part.late,
                part.hulls,
                dict(sorted(part.unknown.items())),
                self._none_packed if part.rows is self._none else summary.to_bytes(part.rows),
                part.misfits,
                *_packed_rows(part.waiting),
            )
        )

    def from_bytes(self, data: bytes) -> WindowPartial:
        """What `to_bytes` wrote.

        Raises
        ------
        PermanentError
            When its rows are those of another contract's features.
        """
        packed = _DECODER.decode(data)
        rows = self._rows(packed.rows)
        return WindowPartial(
            rows=rows,
            waiting=_unpacked_rows(packed, rows.features),
            accepted=packed.accepted,
            dead=packed.dead,
            late=packed.late,
            hulls=packed.hulls,
            unknown=packed.unknown,
            misfits=packed.misfits,
        )

    def _rows(self, packed: bytes) -> summary.Partial:
        if packed == self._none_packed:
            return self._none
        if len(packed) == _DIGEST:
            raise PermanentError(
                "These rows are of other features; start all parts of a window from one contract."
            )
        return summary.from_bytes(packed)


def _joined(waiting: Sequence[tuple[summary.Keys, pa.RecordBatch]]) -> pa.RecordBatch:
    """Batches of the same columns as one."""
    if len(waiting) == 1:
        return waiting[0][1]
    table = pa.Table.from_batches([batch for _, batch in waiting]).combine_chunks()
    return table.to_batches()[0]


def _packed_rows(waiting: Sequence[tuple[summary.Keys, pa.RecordBatch]]) -> tuple[bytes, bytes]:
    if not waiting:
        return b"", b""
    keys = np.concatenate([keys for keys, _ in waiting])
    return _joined(waiting).serialize().to_pybytes(), keys.astype("<u8").tobytes()


@lru_cache(maxsize=256)
def _schema(features: tuple[FeatureSpec, ...]) -> pa.Schema:
    return pa.schema([pa.field(spec.name, TYPES[spec.kind]) for spec in features])


def _unpacked_rows(
    packed: _Packed, features: tuple[FeatureSpec, ...]
) -> list[tuple[summary.Keys, pa.RecordBatch]]:
    """What `_packed_rows` wrote of rows with these features."""
    if not packed.waiting:
        return []
    batch = pa.ipc.read_record_batch(pa.py_buffer(packed.waiting), _schema(features))
    return [(np.frombuffer(packed.keys, "<u8").astype(np.uint64), batch)]


def _hull(one: tuple[int, int] | None, other: tuple[int, int]) -> tuple[int, int]:
    return other if one is None else (min(one[0], other[0]), max(one[1], other[1]))


def count(misfits: dict[str, dict[str, int]], field: str, kind: str, rows: int = 1) -> None:
    """Add `rows` records that `field` made dead."""
    kinds = misfits.setdefault(field, {})
    kinds[kind] = kinds.get(kind, 0) + rows


def _misfits(counted: dict[str, dict[str, int]]) -> tuple[Misfit, ...]:
    made = [
        Misfit(feature=name, found=kind, rows=rows)
        for name, kinds in counted.items()
        for kind, rows in kinds.items()
    ]
    return tuple(sorted(made, key=lambda one: (-one.rows, one.feature, one.found)))
