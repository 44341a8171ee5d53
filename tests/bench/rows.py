"""Records decoded one by one and summarised in batches of `ROWS`: the slow way."""

from __future__ import annotations

import pyarrow as pa

from streaming import summary
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event
from streaming.contracts.model import ModelContract
from streaming.windowing.accumulator import WindowAccumulator
from streaming.windowing.event_clock import INITIAL_WATERMARK_MS
from streaming.windowing.event_reader import EventReader

ROWS = 1000
_STEP_MS = 10
_TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


class RowByRow:
    """Fills the accumulators of windows."""

    def __init__(self, contract: ModelContract, reading: EventReader) -> None:
        self.contract = contract
        self.reading = reading
        self.watermark_ms = INITIAL_WATERMARK_MS
        self._pending: dict[int, list[Event]] = {}

    def add(self, windows: dict[int, WindowAccumulator], value: bytes, *, now: float) -> None:
        """Add one record."""
        try:
            event = decode_event(value, self.contract, now=now)
        except DecodeError:
            return
        windowing, at = self.reading.windows, int(event.time * 1000)
        watermark_ms = (at - windowing.max_out_of_orderness_ms) // _STEP_MS * _STEP_MS
        self.watermark_ms = max(self.watermark_ms, watermark_ms)
        end = windowing.end_after(at)
        rows = self._pending.setdefault(end, [])
        rows.append(event)
        if len(rows) >= ROWS:
            self._add(windows, end, self._pending.pop(end))

    def finish(self, windows: dict[int, WindowAccumulator]) -> None:
        """Add the records of incomplete batches."""
        for end, rows in self._pending.items():
            self._add(windows, end, rows)
        self._pending = {}

    def _add(self, windows: dict[int, WindowAccumulator], end: int, rows: list[Event]) -> None:
        columns = [
            pa.array([event.values[spec.name] for event in rows], _TYPES[spec.kind])
            for spec in self.contract.features
        ]
        names = [spec.name for spec in self.contract.features]
        batch = pa.RecordBatch.from_arrays(columns, names)
        part = self.reading.combiner.window(windows, end)
        part.counts = summary.add(part.counts, batch)
        part.accepted += len(rows)
