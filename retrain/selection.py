"""Which offset ranges a retrain replays.

Pure. After a shift: the windows since then, and a share of older ones spread evenly over the
history. Without one: the newest windows. Always bounded, never a row twice, and the same windows
give the same ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from retrain.policy import RetrainRules
from streaming.contracts.records import OffsetRange


class WindowNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a retrain needs to know of a judged window."""

    start: float
    end: float
    rows: int
    """Accepted rows."""
    offsets: tuple[OffsetRange, ...]
    usable: bool = True
    """False when the window broke the schema: never trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Ranges to replay, sorted by topic, partition and offset, without overlap."""

    events: tuple[OffsetRange, ...] = ()
    after_shift: tuple[OffsetRange, ...] = ()
    """The part of `events` after the shift."""
    rows: int = 0
    rows_after_shift: int = 0
    window_start: float = 0.0
    window_end: float = 0.0
    """Event time of the windows that become the reference: those after the shift, or all."""
    oldest: float = 0.0
    """Start of the oldest window used: labels before it are not needed."""


def select(
    windows: Sequence[WindowNote],
    rules: RetrainRules,
    *,
    shift_start: float | None = None,
    between: tuple[float | None, float | None] = (None, None),
) -> Selection:
    """The ranges for a retrain.

    Parameters
    ----------
    windows:
        The windows known, in any order; unusable and empty ones are left out.
    rules:
        `max_rows` and `after_shift_share` bound and mix.
    shift_start:
        End of the window in which the shift began, seconds: windows that end later are after
        it, that one and those before are history. None when there was none.
    between:
        Only windows that lie wholly in this stretch of event time, as a person may ask.
    """
    low, high = between
    there = sorted(
        (
            w
            for w in windows
            if w.usable
            and w.rows > 0
            and (low is None or w.start >= low)
            and (high is None or w.end <= high)
        ),
        key=_place,
    )
    most = rules.max_rows
    if shift_start is None:
        return _put_together(_newest(there, most), [], most, shifted=False)
    share = min(max(rules.after_shift_share, 0.0), 1.0)
    after = _newest([w for w in there if w.end > shift_start], int(most * share))
    wanted = _rows(after) * (1.0 - share) / share if share else most
    before = [w for w in there if w.end <= shift_start]
    return _put_together(after, _spread(before, int(wanted)), most, shifted=True)


def merge(ranges: Iterable[OffsetRange]) -> tuple[OffsetRange, ...]:
    """Sorted ranges without overlap; adjacent ones become one.

    >>> a = OffsetRange(topic="t", partition=0, start=0, stop=5)
    >>> b = OffsetRange(topic="t", partition=0, start=5, stop=9)
    >>> [(r.start, r.stop) for r in merge([b, a])]
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


def subtract(ranges: Iterable[OffsetRange], taken: Iterable[OffsetRange]) -> list[OffsetRange]:
    """The parts of `ranges` that `taken` does not cover.

    Windows' ranges overlap at their edges, where events came in disorder.
    """
    left = list(merge(ranges))
    for hole in merge(taken):
        parts: list[OffsetRange] = []
        for span in left:
            apart = (span.topic, span.partition) != (hole.topic, hole.partition)
            if apart or hole.stop <= span.start or hole.start >= span.stop:
                parts.append(span)
                continue
            if span.start < hole.start:
                parts.append(msgspec.structs.replace(span, stop=hole.start))
            if hole.stop < span.stop:
                parts.append(msgspec.structs.replace(span, start=hole.stop))
        left = parts
    return left


def rows_after(windows: Sequence[WindowNote], shift_start: float) -> int:
    """Usable rows since the shift."""
    return sum(w.rows for w in windows if w.usable and w.end > shift_start)


def condense(windows: Sequence[WindowNote], most: int) -> tuple[WindowNote, ...]:
    """At most `most` notes: when there are more, the older half is joined in pairs.

    Only neighbours of the same usability are joined, in a single sweep; whatever is still too
    many is forgotten from the old end.
    """
    if len(windows) <= most:
        return tuple(windows)
    older, newer = list(windows[: most // 2]), list(windows[most // 2 :])
    joined: list[WindowNote] = []
    pending: WindowNote | None = None
    for note in older:
        if pending is None:
            pending = note
        elif pending.usable == note.usable:
            joined.append(_join(pending, note))
            pending = None
        else:
            joined.append(pending)
            pending = note
    if pending is not None:
        joined.append(pending)
    return tuple((joined + newer)[-most:])


def _join(first: WindowNote, second: WindowNote) -> WindowNote:
    return WindowNote(
        start=min(first.start, second.start),
        end=max(first.end, second.end),
        rows=first.rows + second.rows,
        offsets=merge((*first.offsets, *second.offsets)),
        usable=first.usable,
    )


def _place(note: WindowNote) -> tuple[object, ...]:
    """A total order: by time, and by content where times are equal."""
    content = tuple((r.topic, r.partition, r.start, r.stop) for r in note.offsets)
    return note.start, note.end, note.rows, content


def _rows(windows: Iterable[WindowNote]) -> int:
    return sum(w.rows for w in windows)


def _newest(windows: Sequence[WindowNote], most: int) -> list[WindowNote]:
    """The newest windows with at most `most` rows; the last one taken is cut to fit."""
    taken: list[WindowNote] = []
    room = most
    for note in reversed(windows):
        if room <= 0:
            break
        taken.append(note if note.rows <= room else _cut(note, room))
        room -= taken[-1].rows
    return taken[::-1]


def _spread(windows: Sequence[WindowNote], wanted: int) -> list[WindowNote]:
    """About `wanted` rows from every n-th window back from the newest."""
    if wanted <= 0 or not windows:
        return []
    stride = max(1, _rows(windows) // wanted)
    return _newest(windows[::-1][::stride][::-1], wanted)


def _cut(note: WindowNote, rows: int) -> WindowNote:
    """The newest part of a window: the same share of each of its ranges."""
    share = rows / note.rows
    offsets = tuple(
        msgspec.structs.replace(r, start=r.stop - round((r.stop - r.start) * share))
        for r in note.offsets
    )
    return msgspec.structs.replace(note, rows=rows, offsets=offsets)


def _bounded(ranges: Sequence[OffsetRange], most: int) -> tuple[OffsetRange, ...]:
    """At most `most` offsets, the newest of each range.

    A window's range is a hull: where events came in disorder it spans more than its rows.
    """
    there = sum(r.stop - r.start for r in ranges)
    if there <= most:
        return tuple(ranges)
    kept = (
        msgspec.structs.replace(r, start=r.stop - (r.stop - r.start) * most // there)
        for r in ranges
    )
    return merge(kept)


def _put_together(
    newest: Sequence[WindowNote], history: Sequence[WindowNote], most: int, *, shifted: bool
) -> Selection:
    used = [*history, *newest]
    if not newest:
        return Selection()
    new_ranges = _bounded(merge(r for w in newest for r in w.offsets), most)
    room = most - sum(r.stop - r.start for r in new_ranges)
    old = subtract((r for w in history for r in w.offsets), new_ranges)
    old_ranges = _bounded(old, room)
    return Selection(
        events=merge((*new_ranges, *old_ranges)),
        after_shift=new_ranges if shifted else (),
        rows=_rows(used),
        rows_after_shift=_rows(newest) if shifted else 0,
        window_start=min(w.start for w in newest),
        window_end=max(w.end for w in newest),
        oldest=min(w.start for w in used),
    )
