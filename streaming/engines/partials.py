"""What one reading step knows about one window: the only thing that crosses the shuffle.

Offsets are accounted once. An accepted row counts in its own window; a dead or late record counts
in the window in which it reached the log, so that over all windows
``accepted + dead + late == read``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa

from streaming import summary
from streaming.contracts.events import joined
from streaming.contracts.identity import record_id
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Artifact,
    Misfit,
    OffsetRange,
    SchemaAnomaly,
    WindowSummary,
)
from streaming.engines.decode import Decoded
from streaming.engines.windows import Settled


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """A partial as it travels."""

    accepted: int
    dead: int
    late: int
    hulls: dict[int, tuple[int, int]]
    unknown: dict[str, str]
    rows: bytes
    misfits: dict[str, dict[str, int]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Packed)


@dataclass(slots=True)
class WindowPartial:
    """Some of the records of one window."""

    rows: summary.Partial
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
            part.rows = summary.add(part.rows, batch, keys[mine])
            part.accepted += batch.num_rows
            hull = (int(positions[mine][0]), int(positions[mine][-1]) + 1)
            part.hulls[partition] = _hull(part.hulls.get(partition), hull)
            part.unknown = joined(part.unknown, decoded.unknown)

    def window(self, into: dict[int, WindowPartial], end: int) -> WindowPartial:
        """The partial of the window that ends at `end`, made when missing."""
        return into.setdefault(end, WindowPartial(rows=summary.start(self.contract)))

    def merge(self, parts: Iterable[WindowPartial]) -> WindowPartial:
        """All of them as one."""
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
        return WindowPartial(
            rows=summary.merge([part.rows for part in together]),
            accepted=sum(part.accepted for part in together),
            dead=sum(part.dead for part in together),
            late=sum(part.late for part in together),
            hulls=hulls,
            unknown=unknown,
            misfits=misfits,
        )

    def as_late(self, part: WindowPartial) -> WindowPartial:
        """The same records, its rows counted as late."""
        late = WindowPartial(rows=summary.start(self.contract))
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
                summary.to_bytes(part.rows),
                part.misfits,
            )
        )

    def from_bytes(self, data: bytes) -> WindowPartial:
        """What `to_bytes` wrote."""
        packed = _DECODER.decode(data)
        return WindowPartial(
            rows=summary.from_bytes(packed.rows),
            accepted=packed.accepted,
            dead=packed.dead,
            late=packed.late,
            hulls=packed.hulls,
            unknown=packed.unknown,
            misfits=packed.misfits,
        )


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
