"""Decides when a window is complete, from the watermarks of a model's own partitions.

A reading step sends a `ShardUpdate` to the keyed step of its model. The keyed step does not use
Beam's watermark, because all models of a job share that one: the models have windows of different
lengths, and a model that is idle or replays an old range must not hold up the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from streaming.windowing.event_clock import INITIAL_WATERMARK_MS

MAX_WATERMARK_MS = 2**63 - 1
"""No window ends later."""
MAX_ACCUMULATORS = 32
"""A model's state keeps at most this many unmerged accumulators of open windows, so that it does
not grow with the number of reading steps in a window."""


class ShardUpdate(msgspec.Struct, frozen=True, array_like=True):
    """What one reading step of one shard contributes to one model."""

    accumulators: dict[int, bytes]
    """Window end (milliseconds) -> encoded accumulator."""
    watermarks: dict[int, int]
    """Partition -> its watermark after the step, for partitions whose watermark advanced."""
    partitions: int
    """How many partitions the topic has, as far as the shard knows."""


class LateRange(msgspec.Struct, frozen=True, array_like=True):
    """Rows of an update whose windows had closed before the update came; they count as late.

    They come from a partition that was added to the topic and read before the keyed step knew of
    it.
    """

    window_ends_ms: tuple[int, ...]
    """Ends of the closed windows that the rows belong to."""
    offset_spans: dict[int, tuple[int, int]]
    """Partition -> first offset and last offset + 1. Rows of these windows in between are late."""
    rows: int


class WindowProgress(msgspec.Struct, frozen=True, array_like=True):
    """How far the windows of a model have progressed: state of the keyed step."""

    partitions: int = 0
    watermarks: dict[int, int] = {}
    closed_ms: int = INITIAL_WATERMARK_MS
    """Every window that ends by then is closed."""
    accumulators: int = 0
    """How many accumulators of open windows are kept."""
    merged: int = 0
    """How many of the kept accumulators are merged ones; there is at most one for each window."""
    read_until: dict[str, int] = {}
    """Partition of a control topic -> everything appended to it by then (milliseconds) is known."""

    def after_control(self, partition: str, read_until_ms: int) -> WindowProgress:
        """The progress after a control topic's partition was read up to a time."""
        known = max(read_until_ms, self.read_until.get(partition, INITIAL_WATERMARK_MS))
        return msgspec.structs.replace(self, read_until={**self.read_until, partition: known})

    def bound(self, partitions: Collection[str], size_ms: int) -> int:
        """The last end of a window (of this size) whose promotion and schema version are known.

        `partitions` are those of all control topics. One that was not read yet holds every window
        open.

        >>> progress = WindowProgress().after_control("promotions/0", 60_000)
        >>> progress.bound(["promotions/0"], 5_000), progress.bound(["schemas/0"], 5_000)
        (65000, 0)
        """
        known = [self.read_until.get(name, INITIAL_WATERMARK_MS - size_ms) for name in partitions]
        return min(known) + size_ms if known else MAX_WATERMARK_MS

    def after(self, update: ShardUpdate, *, bound_ms: int = MAX_WATERMARK_MS) -> WindowProgress:
        """The progress after an update; no window that ends after `bound_ms` closes.

        A partition that is known to exist but has sent no watermark yet holds every window open.

        >>> progress = WindowProgress().after(ShardUpdate({}, {0: 8000}, 2))
        >>> progress.closed_ms, progress.after(ShardUpdate({}, {1: 5000}, 2)).closed_ms
        (0, 5000)
        """
        watermarks = dict(self.watermarks)
        for partition, watermark in update.watermarks.items():
            watermarks[partition] = max(watermark, watermarks.get(partition, INITIAL_WATERMARK_MS))
        partitions = max(self.partitions, update.partitions)
        closed = self.closed_ms
        if len(watermarks) >= partitions:
            reached = min(watermarks.values(), default=INITIAL_WATERMARK_MS)
            closed = max(closed, min(reached, bound_ms))
        return WindowProgress(
            partitions,
            watermarks,
            closed,
            self.accumulators + len(update.accumulators),
            self.merged,
            self.read_until,
        )

    def with_kept(self, accumulators: int, *, merged: bool = False) -> WindowProgress:
        """The progress with this many accumulators kept, after windows closed or were merged."""
        return msgspec.structs.replace(
            self,
            accumulators=accumulators,
            merged=accumulators if merged else min(accumulators, self.merged),
        )

    @property
    def should_merge(self) -> bool:
        """Whether the accumulators of each open window should be merged into one.

        >>> WindowProgress(accumulators=MAX_ACCUMULATORS).should_merge
        True
        >>> WindowProgress(accumulators=MAX_ACCUMULATORS, merged=2).should_merge
        False
        """
        return self.accumulators - self.merged >= MAX_ACCUMULATORS


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(ShardUpdate)
_TAG = b"A"
"""First byte of an encoded update. Records are JSON and begin differently."""


def encode_update(update: ShardUpdate) -> bytes:
    """The bytes that travel to the keyed step, where encoded records arrive as well."""
    return _TAG + _ENCODER.encode(update)


def decode_update(data: bytes) -> ShardUpdate | None:
    """The update in `data`; None when `data` is a record.

    >>> decode_update(encode_update(ShardUpdate({}, {0: 5}, 1))).watermarks, decode_update(b"{}")
    ({0: 5}, None)
    """
    return _DECODER.decode(memoryview(data)[1:]) if data[:1] == _TAG else None


_ENTRY = msgspec.msgpack.Decoder(tuple[int, bytes])


def state_entry(end_ms: int, accumulator: bytes) -> bytes:
    """An open window's accumulator with the window's end, as the state keeps it."""
    return msgspec.msgpack.encode((end_ms, accumulator))


def complete_windows(
    entries: Iterable[bytes], closed_ms: int
) -> tuple[list[tuple[int, list[bytes]]], list[bytes]]:
    """The complete windows with their accumulators, oldest first; and the entries that stay.

    >>> entries = [state_entry(2000, b"a"), state_entry(1000, b"b"), state_entry(9000, b"c")]
    >>> complete, still_open = complete_windows(entries, 2000)
    >>> complete, len(still_open)
    ([(1000, [b'b']), (2000, [b'a'])], 1)
    """
    complete: dict[int, list[bytes]] = {}
    still_open = []
    for entry in entries:
        end, accumulator = _ENTRY.decode(entry)
        if end <= closed_ms:
            complete.setdefault(end, []).append(accumulator)
        else:
            still_open.append(entry)
    return sorted(complete.items()), still_open


def passed_window_end(before_ms: int, after_ms: int, size_ms: int) -> bool:
    """Whether a watermark that moved from `before_ms` to `after_ms` passed the end of a window."""
    return before_ms // size_ms != after_ms // size_ms


def closed_before(update: ShardUpdate, closed_ms: int) -> tuple[int, ...]:
    """Ends of the update's windows that had closed before it came, oldest first.

    >>> closed_before(ShardUpdate({15_000: b"", 5_000: b""}, {}, 1), 10_000)
    (5000,)
    """
    return tuple(end for end in sorted(update.accumulators) if end <= closed_ms)
