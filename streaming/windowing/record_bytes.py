"""Records of bytes that are read field by field, all of them at once.

Each record keeps a position of its own in the joined data and never passes its own end, so a bad
record cannot shift another. What cannot be read is left to the row rule, record by record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.contracts.mapping import Path

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_VARINT_BYTES = 10
_PADDING = 16
"""Bytes behind the last record: reads beside a record stay inside the data."""


class NotColumnar(Exception):
    """The schema has a part that is read row by row only."""


@dataclass(slots=True)
class RecordBytes:
    """The payloads of one schema, each without the wire format's header."""

    payloads: Sequence[bytes]
    columns: dict[Path, pa.Array[Any]] = field(default_factory=dict)
    """Path → values; null where a record has none."""
    good: Bools = field(init=False)
    """True for the records that were read from their first byte to their last."""
    data: NDArray[np.uint8] = field(init=False)
    """All payloads, one after the other."""
    at: Ints = field(init=False)
    """Position of each record in the data."""
    ends: Ints = field(init=False)
    """Where each record, or the message inside it that is being read, ends."""

    def __post_init__(self) -> None:
        lengths = np.fromiter(map(len, self.payloads), np.int64, len(self.payloads))
        self.data = np.frombuffer(b"".join([*self.payloads, bytes(_PADDING)]), np.uint8)
        self.ends = np.cumsum(lengths)
        self.at = self.ends - lengths
        self.good = np.ones(len(self.payloads), np.bool_)

    def keep(self, path: Path, numbers: NDArray[Any], present: Bools) -> None:
        self.columns[path] = pa.array(numbers, mask=~present)

    def refuse(self, rows: Bools) -> None:
        """Leave these records to the row rule; their position stays where it is."""
        if rows.any():
            self.good = self.good & ~rows

    def varint(self, present: Bools) -> Ints:
        """A number of 64 bits in each record where it is `present`, 0 elsewhere."""
        number = np.zeros(len(present), np.uint64)
        unfinished = present & self.good
        for index in range(_VARINT_BYTES):
            self.refuse(unfinished & (self.at >= self.ends))
            unfinished = unfinished & self.good
            byte = np.where(unfinished, self.data[self.at], 0)
            number |= (byte & 0x7F).astype(np.uint64) << np.uint64(7 * index)
            self.at = self.at + unfinished
            unfinished = byte >= 0x80
            if not unfinished.any():
                break
            if index == _VARINT_BYTES - 2:  # one bit is left of 64
                self.refuse(unfinished & (self.data[self.at] > 1))
                unfinished = unfinished & self.good
        self.refuse(unfinished)
        return number.view(np.int64)

    def zigzag(self, present: Bools) -> Ints:
        """A number whose sign is in its last bit."""
        number = self.varint(present).view(np.uint64)
        sign = (number & np.uint64(1)).astype(np.int64)
        return (number >> np.uint64(1)).astype(np.int64) ^ -sign

    def numbers(self, present: Bools, size: int, dtype: str) -> NDArray[Any]:
        """Little-endian numbers of a fixed size."""
        starts, _ = self.take(present, np.full(len(present), size))
        return self.data[starts[:, None] + np.arange(size)].view(dtype)[:, 0]

    def text(self, present: Bools, sizes: Ints, default: Bools | None = None) -> pa.Array[Any]:
        """Text of these sizes; empty where it is the `default`, null elsewhere."""
        starts, sizes = self.take(present, sizes)
        offsets = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        data = self.data[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)]
        self.refuse(_not_utf8(data, offsets))
        known = present & self.good if default is None else (present & self.good) | default
        return pa.Array.from_buffers(
            pa.string(),
            len(present),
            [
                pa.py_buffer(np.packbits(known, bitorder="little").tobytes()),
                pa.py_buffer(offsets.astype(np.int32).tobytes()),
                pa.py_buffer(data.tobytes()),
            ],
        )

    def take(self, present: Bools, sizes: Ints) -> tuple[Ints, Ints]:
        """Where these numbers of bytes begin in each record, and how many were taken."""
        active = present & self.good
        starts = self.at
        self.refuse(active & ((sizes < 0) | (sizes > self.ends - starts)))
        taken = np.where(active & self.good, sizes, 0)
        self.at = starts + taken
        return starts, taken


def _not_utf8(data: NDArray[np.uint8], offsets: Ints) -> Bools:
    """Which of the texts that lie between the offsets are not UTF-8."""
    bad = np.zeros(len(offsets) - 1, np.bool_)
    if not len(data) or data.max() < 128:
        return bad
    marked = np.searchsorted(offsets, np.flatnonzero(data >= 128), side="right") - 1
    for row in np.unique(marked).tolist():
        try:
            data[offsets[row] : offsets[row + 1]].tobytes().decode()
        except UnicodeDecodeError:
            bad[row] = True
    return bad
