"""Records decoded one by one with the row rule, summed up in batches of `ROWS`: the slow way."""

from __future__ import annotations

import pyarrow as pa

from streaming import summary
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event
from streaming.contracts.model import ModelContract
from streaming.windowing.accumulator import WindowPartial
from streaming.windowing.assignment import NEVER_MS
from streaming.windowing.event_reader import Reading

ROWS = 1000
_STEP_MS = 10
_TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


class RowByRow:
    """Fills partials of windows."""

    def __init__(self, contract: ModelContract, reading: Reading) -> None:
        self.contract = contract
        self.reading = reading
        self.watermark_ms = NEVER_MS
        self._waiting: dict[int, list[Event]] = {}

    def take(self, windows: dict[int, WindowPartial], value: bytes, *, now: float) -> None:
        """One record."""
        try:
            event = decode_event(value, self.contract, now=now)
        except DecodeError:
            return
        windowing, at = self.reading.windows, int(event.time * 1000)
        seen = (at - windowing.disorder_ms) // _STEP_MS * _STEP_MS
        self.watermark_ms = max(self.watermark_ms, seen)
        end = windowing.end_after(at)
        rows = self._waiting.setdefault(end, [])
        rows.append(event)
        if len(rows) >= ROWS:
            self._add(windows, end, self._waiting.pop(end))

    def finish(self, windows: dict[int, WindowPartial]) -> None:
        """What still waits."""
        for end, rows in self._waiting.items():
            self._add(windows, end, rows)
        self._waiting = {}

    def _add(self, windows: dict[int, WindowPartial], end: int, rows: list[Event]) -> None:
        columns = [
            pa.array([event.values[spec.name] for event in rows], _TYPES[spec.kind])
            for spec in self.contract.features
        ]
        names = [spec.name for spec in self.contract.features]
        batch = pa.RecordBatch.from_arrays(columns, names)
        part = self.reading.partials.window(windows, end)
        part.rows = summary.add(part.rows, batch)
        part.accepted += len(rows)
