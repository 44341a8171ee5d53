"""Selects the offset ranges that a retrain replays.

Pure. After a shift it takes the windows since then, and a share of older ones spread evenly over
the history; without a shift it takes the newest windows. The selection is bounded, contains no
offset twice, and is the same for the same windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from retrain.policy import RetrainRules
from streaming.contracts.records import OffsetRange
from streaming.contracts.tolerance import Breach, pooled


class RecordedWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A judged window: its times, its rows and where they lie in the log."""

    start: float
    """Start of the window, seconds since 1970."""
    end: float
    """End of the window, seconds since 1970."""
    rows: int
    """Number of accepted rows."""
    offsets: tuple[OffsetRange, ...]
    """Smallest ranges that contain the window's events, one for each partition."""
    usable: bool = True
    """False when the window is left out; such a window is never trained on."""
    breaches: tuple[Breach, ...] = ()
    """Rows of the window that break the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Ranges to replay, sorted by topic, partition and offset, without overlap."""

    events: tuple[OffsetRange, ...] = ()
    """All ranges to replay."""
    after_shift: tuple[OffsetRange, ...] = ()
    """The part of `events` after the shift."""
    rows: int = 0
    """Number of accepted rows in the selected windows."""
    rows_after_shift: int = 0
    """Number of those rows that lie after the shift."""
    window_start: float = 0.0
    """Start of the windows that become the next reference: those after the shift, or all."""
    window_end: float = 0.0
    """End of the windows that become the next reference."""
    oldest: float = 0.0
    """Start of the oldest selected window; labels before it are not needed."""
    breaches: tuple[Breach, ...] = ()
    """Rows of the selected windows that break the schema."""


def select(
    windows: Sequence[RecordedWindow],
    rules: RetrainRules,
    *,
    shift_start: float | None = None,
    window_range: tuple[float | None, float | None] = (None, None),
) -> Selection:
    """Select the ranges for a retrain.

    Parameters
    ----------
    windows:
        The known windows in any order; unusable and empty ones are left out.
    rules:
        `max_rows` bounds the selection, `after_shift_share` sets its mix.
    shift_start:
        End of the window in which the shift began, seconds since 1970. Windows that end later
        are after the shift; that window and those before it are history. None when there is no
        shift.
    window_range:
        Only windows that lie entirely in this range of event time are used; None = open end.
    """
    low, high = window_range
    usable = sorted(
        (
            w
            for w in windows
            if w.usable
            and w.rows > 0
            and (low is None or w.start >= low)
            and (high is None or w.end <= high)
        ),
        key=_sort_key,
    )
    max_rows = rules.max_rows
    if shift_start is None:
        return _build_selection(_newest(usable, max_rows), [], max_rows, shifted=False)
    share = min(max(rules.after_shift_share, 0.0), 1.0)
    after = _newest([w for w in usable if w.end > shift_start], int(max_rows * share))
    taken_history = _count_rows(after) * (1.0 - share) / share if share else max_rows
    history_rows = taken_history * max(rules.history_choice, 1.0)
    before = [w for w in usable if w.end <= shift_start]
    history = _spread_evenly(before, int(history_rows))
    return _build_selection(after, history, max_rows, shifted=True)


def merge_ranges(ranges: Iterable[OffsetRange]) -> tuple[OffsetRange, ...]:
    """The same offsets as sorted ranges without overlap; adjacent ranges are joined.

    >>> a = OffsetRange(topic="t", partition=0, start=0, stop=5)
    >>> b = OffsetRange(topic="t", partition=0, start=5, stop=9)
    >>> [(r.start, r.stop) for r in merge_ranges([b, a])]
    [(0, 9)]
    """
    merged: list[OffsetRange] = []
    for span in sorted(ranges, key=lambda r: (r.topic, r.partition, r.start, r.stop)):
        if span.stop <= span.start:
            continue
        last = merged[-1] if merged else None
        if (
            last is not None
            and (last.topic, last.partition) == (span.topic, span.partition)
            and span.start <= last.stop
        ):
            merged[-1] = msgspec.structs.replace(last, stop=max(last.stop, span.stop))
        else:
            merged.append(span)
    return tuple(merged)


def subtract_ranges(
    ranges: Iterable[OffsetRange], removed: Iterable[OffsetRange]
) -> list[OffsetRange]:
    """The parts of `ranges` that `removed` does not cover.

    The ranges of neighbouring windows overlap where events arrived out of order.
    """
    remaining = list(merge_ranges(ranges))
    for hole in merge_ranges(removed):
        parts: list[OffsetRange] = []
        for span in remaining:
            elsewhere = (span.topic, span.partition) != (hole.topic, hole.partition)
            if elsewhere or hole.stop <= span.start or hole.start >= span.stop:
                parts.append(span)
                continue
            if span.start < hole.start:
                parts.append(msgspec.structs.replace(span, stop=hole.start))
            if hole.stop < span.stop:
                parts.append(msgspec.structs.replace(span, start=hole.stop))
        remaining = parts
    return remaining


def rows_after(windows: Sequence[RecordedWindow], shift_start: float) -> int:
    """Number of usable rows in the windows after the shift."""
    return sum(w.rows for w in windows if w.usable and w.end > shift_start)


def condense(windows: Sequence[RecordedWindow], max_windows: int) -> tuple[RecordedWindow, ...]:
    """At most `max_windows` windows: when there are more, the older half is joined in pairs.

    Only neighbours of the same usability are joined, in a single pass; if there are still too
    many, the oldest are dropped.
    """
    if len(windows) <= max_windows:
        return tuple(windows)
    older, newer = windows[: max_windows // 2], windows[max_windows // 2 :]
    joined: list[RecordedWindow] = []
    pending: RecordedWindow | None = None
    for window in older:
        if pending is None:
            pending = window
        elif pending.usable == window.usable:
            joined.append(_join(pending, window))
            pending = None
        else:
            joined.append(pending)
            pending = window
    if pending is not None:
        joined.append(pending)
    return tuple([*joined, *newer][-max_windows:])


def _join(first: RecordedWindow, second: RecordedWindow) -> RecordedWindow:
    return RecordedWindow(
        start=min(first.start, second.start),
        end=max(first.end, second.end),
        rows=first.rows + second.rows,
        offsets=merge_ranges((*first.offsets, *second.offsets)),
        usable=first.usable,
        breaches=pooled((w.rows, w.breaches) for w in (first, second)),
    )


def _sort_key(window: RecordedWindow) -> tuple[object, ...]:
    """A total order: by time, and by content where times are equal."""
    content = tuple((r.topic, r.partition, r.start, r.stop) for r in window.offsets)
    return window.start, window.end, window.rows, content


def _count_rows(windows: Iterable[RecordedWindow]) -> int:
    return sum(w.rows for w in windows)


def _newest(windows: Sequence[RecordedWindow], max_rows: int) -> list[RecordedWindow]:
    """The newest windows with at most `max_rows` rows; the oldest of them is cut to fit."""
    selected: list[RecordedWindow] = []
    rows_left = max_rows
    for window in reversed(windows):
        if rows_left <= 0:
            break
        selected.append(window if window.rows <= rows_left else _cut(window, rows_left))
        rows_left -= selected[-1].rows
    return selected[::-1]


def _spread_evenly(windows: Sequence[RecordedWindow], target_rows: int) -> list[RecordedWindow]:
    """About `target_rows` rows from every n-th window, counted back from the newest."""
    if target_rows <= 0 or not windows:
        return []
    stride = max(1, _count_rows(windows) // target_rows)
    return _newest(windows[::-1][::stride][::-1], target_rows)


def _cut(window: RecordedWindow, rows: int) -> RecordedWindow:
    """The newest part of a window: the same share of each of its ranges."""
    share = rows / window.rows
    offsets = tuple(
        msgspec.structs.replace(r, start=r.stop - round((r.stop - r.start) * share))
        for r in window.offsets
    )
    return msgspec.structs.replace(window, rows=rows, offsets=offsets)


def _bounded(ranges: Sequence[OffsetRange], max_rows: int) -> tuple[OffsetRange, ...]:
    """At most `max_rows` offsets, the newest of each range.

    Where events arrived out of order, a window's range contains more offsets than the window has
    rows.
    """
    total = sum(r.stop - r.start for r in ranges)
    if total <= max_rows:
        return tuple(ranges)
    kept = (
        msgspec.structs.replace(r, start=r.stop - (r.stop - r.start) * max_rows // total)
        for r in ranges
    )
    return merge_ranges(kept)


def _build_selection(
    newest: Sequence[RecordedWindow],
    history: Sequence[RecordedWindow],
    max_rows: int,
    *,
    shifted: bool,
) -> Selection:
    windows = [*history, *newest]
    if not newest:
        return Selection()
    new_ranges = _bounded(merge_ranges(r for w in newest for r in w.offsets), max_rows)
    rows_left = max_rows - sum(r.stop - r.start for r in new_ranges)
    old_ranges = _bounded(
        subtract_ranges((r for w in history for r in w.offsets), new_ranges), rows_left
    )
    return Selection(
        events=merge_ranges((*new_ranges, *old_ranges)),
        after_shift=new_ranges if shifted else (),
        rows=_count_rows(windows),
        rows_after_shift=_count_rows(newest) if shifted else 0,
        window_start=min(w.start for w in newest),
        window_end=max(w.end for w in newest),
        oldest=min(w.start for w in windows),
        breaches=pooled((w.rows, w.breaches) for w in windows),
    )
