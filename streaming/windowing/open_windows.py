"""Operations on the open windows of one model, in the encoded form that the state keeps."""

from __future__ import annotations

from collections.abc import Iterable

from streaming.windowing.completeness import (
    MAX_WATERMARK_MS,
    LateRange,
    ShardUpdate,
    closed_before,
    complete_windows,
    state_entry,
)
from streaming.windowing.event_reader import EventReader


def merge_entries(reader: EventReader, entries: Iterable[bytes]) -> list[bytes]:
    """The state entries of open windows, merged into one for each window."""
    combiner = reader.combiner
    windows, _ = complete_windows(entries, MAX_WATERMARK_MS)
    return [
        state_entry(end, combiner.to_bytes(combiner.merge(map(combiner.from_bytes, encoded))))
        for end, encoded in windows
    ]


def split_late(
    reader: EventReader, update: ShardUpdate, closed_ms: int
) -> tuple[dict[int, bytes], LateRange | None]:
    """The update's accumulators, and the range of its late rows.

    Rows of windows that had closed count as late in the oldest open window, so that no offset is
    lost. They have no dead letter yet; the range is returned so that they are read again for it.
    """
    ends, accumulators = closed_before(update, closed_ms), dict(update.accumulators)
    if not ends:
        return accumulators, None
    combiner, open_end = reader.combiner, reader.windows.end_after(closed_ms)
    closed = combiner.merge([combiner.from_bytes(accumulators.pop(end)) for end in ends])
    parts = [combiner.as_late(closed)]
    if open_end in accumulators:
        parts.append(combiner.from_bytes(accumulators[open_end]))
    accumulators[open_end] = combiner.to_bytes(combiner.merge(parts))
    late = LateRange(ends, closed.offset_spans, closed.accepted) if closed.accepted else None
    return accumulators, late
