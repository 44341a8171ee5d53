"""What a reading step tells the keyed step of a model, and when a window may close.

The keyed step decides by itself when a window is complete, from the watermarks of the model's own
partitions: models of one job have windows of different lengths, and one that is idle, or replays
an old range, does not hold up the others, as Beam's watermark, which all of them share, would.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streaming.windowing.assignment import NEVER_MS

EVER_MS = 2**63 - 1
"""No window ends later."""
MAX_PARTS = 32
"""Parts of open windows that a model keeps before they are merged: its state does not grow with
the steps of a window."""


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """From one step of one shard, for one model."""

    parts: dict[int, bytes]
    """Window end (milliseconds) -> partial."""
    watermarks: dict[int, int]
    """Partition -> its watermark after the step, of those that moved on."""
    partitions: int
    """How many partitions the topic has, as far as the shard knows."""


class Stray(msgspec.Struct, frozen=True, array_like=True):
    """Rows of an arrival whose windows had closed before it came: those of a partition that was
    added to the topic and read before anybody knew of it. They count as late."""

    ends: tuple[int, ...]
    """Of their windows, milliseconds."""
    spans: dict[int, tuple[int, int]]
    """Partition -> first offset, last + 1. What lies between, in these windows, is late too."""
    rows: int


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a model's windows are: state of the keyed step."""

    partitions: int = 0
    watermarks: dict[int, int] = {}
    closed_ms: int = NEVER_MS
    """No window that ends by then is open."""
    parts: int = 0
    """Parts that are kept for open windows, …"""
    merged: int = 0
    """… and how many of them were merged already, one for a window."""

    def after(self, arrival: Arrival) -> Progress:
        """With what a step told.

        A partition that is known to exist but has not been heard of holds every window open.

        >>> one = Progress().after(Arrival({}, {0: 8000}, 2))
        >>> one.closed_ms, one.after(Arrival({}, {1: 5000}, 2)).closed_ms
        (0, 5000)
        """
        watermarks = dict(self.watermarks)
        for partition, watermark in arrival.watermarks.items():
            watermarks[partition] = max(watermark, watermarks.get(partition, NEVER_MS))
        partitions = max(self.partitions, arrival.partitions)
        closed = self.closed_ms
        if len(watermarks) >= partitions:
            closed = max(closed, min(watermarks.values(), default=NEVER_MS))
        return Progress(
            partitions, watermarks, closed, self.parts + len(arrival.parts), self.merged
        )

    def left(self, parts: int, *, merged: bool = False) -> Progress:
        """With so many parts left after closing windows, or after merging."""
        return msgspec.structs.replace(
            self, parts=parts, merged=parts if merged else min(parts, self.merged)
        )

    @property
    def full(self) -> bool:
        """Whether the parts of each window should become one.

        >>> Progress(parts=MAX_PARTS).full, Progress(parts=MAX_PARTS, merged=2).full
        (True, False)
        """
        return self.parts - self.merged >= MAX_PARTS


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Arrival)
_MARK = b"A"
"""First byte of an arrival; records are JSON and begin otherwise."""


def packed(arrival: Arrival) -> bytes:
    """For the way to the keyed step, where records of promotions arrive as well."""
    return _MARK + _ENCODER.encode(arrival)


def unpacked(data: bytes) -> Arrival | None:
    """The arrival in `data`, or None when it is something else.

    >>> unpacked(packed(Arrival({}, {0: 5}, 1))).watermarks, unpacked(b"{}")
    ({0: 5}, None)
    """
    return _DECODER.decode(memoryview(data)[1:]) if data[:1] == _MARK else None


_PART = msgspec.msgpack.Decoder(tuple[int, bytes])


def pack(end_ms: int, part: bytes) -> bytes:
    """An open window's part as the state keeps it."""
    return msgspec.msgpack.encode((end_ms, part))


def closing(
    kept: Iterable[bytes], closed_ms: int
) -> tuple[list[tuple[int, list[bytes]]], list[bytes]]:
    """Windows that are complete, oldest first, with their parts; and what stays open.

    >>> done, still = closing([pack(2000, b"a"), pack(1000, b"b"), pack(9000, b"c")], 2000)
    >>> done, len(still)
    ([(1000, [b'b']), (2000, [b'a'])], 1)
    """
    done: dict[int, list[bytes]] = {}
    still = []
    for packed in kept:
        end, part = _PART.decode(packed)
        if end <= closed_ms:
            done.setdefault(end, []).append(part)
        else:
            still.append(packed)
    return sorted(done.items()), still


def crossed(before_ms: int, after_ms: int, size_ms: int) -> bool:
    """Whether a watermark passed the end of a window."""
    return before_ms // size_ms != after_ms // size_ms


def stray(arrival: Arrival, closed_ms: int) -> tuple[int, ...]:
    """Windows of an arrival that had closed before it came, oldest first.

    >>> stray(Arrival({15_000: b"", 5_000: b""}, {}, 1), 10_000)
    (5000,)
    """
    return tuple(end for end in sorted(arrival.parts) if end <= closed_ms)
