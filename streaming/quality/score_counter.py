"""Counts served predictions by version and slot of time, for the prediction gate of a canary.

The joiner says which predictions count; this module adds them up and gives a `PredictionScores`
record every few seconds. A record names the offsets that it covers. After a restart the next one
begins where the last one on the log ended, so each prediction is in one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import floor

import numpy as np

from streaming.contracts.base import OffsetRange
from streaming.contracts.ids import record_id
from streaming.contracts.log import Message
from streaming.contracts.prediction_slices import NO_SLICES, PredictionSlices
from streaming.contracts.records import PredictionScores, SliceScores, VersionScores
from streaming.contracts.task import BINARY, Task
from streaming.grid import Integers
from streaming.quality.join import PredictionRow
from streaming.quality.slices import wide_buckets
from streaming.quality.tasks import quality_of

SLOT_SECONDS = 10.0
"""Length of a slot. Within it the versions' shares of the requests are taken as constant."""
RECORD_SECONDS = 5.0
"""Time that one record covers, unless more messages come."""
RECORD_MESSAGES = 5000
"""Messages from which a record is written at once; with those of one more step it has at most
twice as many rows, and stays far below Kafka's megabyte."""


@dataclass(slots=True, kw_only=True)
class ScoreCounter:
    """The scores of one model since its last record."""

    model: str
    task: Task = BINARY
    slices: PredictionSlices = NO_SLICES
    _read: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """First offset and the offset after the last, by topic and partition, since the last record."""
    _stops: dict[tuple[str, int], int] = field(default_factory=dict)
    """Offset after the last one of the records so far, by topic and partition."""
    _messages: int = 0
    _rows: list[PredictionRow] = field(default_factory=list)
    _since: float = 0.0

    def restore(self, record: PredictionScores) -> None:
        """Note a record that is on the log: its messages are not counted again."""
        for span in record.offsets:
            place = (span.topic, span.partition)
            self._stops[place] = max(self._stops.get(place, 0), span.stop)

    def is_new(self, message: Message) -> bool:
        """Whether no record covers the message."""
        return message.offset >= self._stops.get((message.topic, message.partition), 0)

    def add(
        self, messages: Sequence[Message], rows: Iterable[PredictionRow], *, now: float
    ) -> None:
        """Add messages that are new, and those of their predictions that the joiner accepted."""
        if not messages:
            return
        if not self._messages:
            self._since = now
        self._messages += len(messages)
        self._rows += rows
        for message in messages:
            place = (message.topic, message.partition)
            first, _ = self._read.get(place, (message.offset, 0))
            self._read[place] = (first, message.offset + 1)

    def take_due(self, now: float) -> PredictionScores | None:
        """The next record, if enough time has passed or enough messages were read."""
        is_due = now - self._since >= RECORD_SECONDS or self._messages >= RECORD_MESSAGES
        if not self._messages or not is_due:
            return None
        offsets = tuple(
            OffsetRange(topic=topic, partition=partition, start=start, stop=stop)
            for (topic, partition), (start, stop) in sorted(self._read.items())
        )
        starts = [(span.topic, span.partition, span.start) for span in offsets]
        record = PredictionScores(
            record_id=record_id("prediction-scores", self.model, *starts),
            model=self.model,
            at=now,
            offsets=offsets,
            read=self._messages,
            counted=len(self._rows),
            slot_seconds=SLOT_SECONDS,
            scores=count_scores(self._rows, self.task),
            slices=count_slices(self._rows, self.slices.values, self.task),
        )
        self.restore(record)
        self._read, self._rows, self._messages = {}, [], 0
        return record


def count_slices(
    rows: Sequence[PredictionRow], values: Sequence[str], task: Task = BINARY
) -> tuple[SliceScores, ...]:
    """The counts of each slice that has predictions, in wide buckets.

    >>> rows = [("a", 12.0, 3, 70000, 1), ("b", 12.0, 3, 70001, 1), ("c", 13.0, 3, 5)]
    >>> part, = count_slices(rows, ("north", "south"))
    >>> part.name, part.scores[0].buckets, part.scores[0].counts
    ('south', (70004,), (2,))
    """
    by_slice: dict[int, list[PredictionRow]] = {}
    for row in rows:
        if len(row) == 5:
            by_slice.setdefault(row[4], []).append(row)
    return tuple(
        SliceScores(name=values[number], scores=count_scores(of_slice, task, wide=True))
        for number, of_slice in sorted(by_slice.items())
    )


def count_scores(
    rows: Sequence[PredictionRow], task: Task = BINARY, *, wide: bool = False
) -> tuple[VersionScores, ...]:
    """Counts per slot, version and bucket, in this order; of classes beside them.

    `wide` counts in the wide buckets of slices.

    >>> entry, = count_scores([("a", 12.0, 3, 70000), ("b", 19.0, 3, 70000), ("c", 13.0, 3, 5)])
    >>> entry.slot, entry.version, entry.buckets, entry.counts
    (10.0, 3, (0, 70000), (1, 2))
    """
    if not rows:
        return ()
    quality = quality_of(task)
    slots = np.array([floor(row[1] / SLOT_SECONDS) for row in rows], np.int64)
    versions = np.array([row[2] for row in rows], np.int64)
    packed: Integers = np.array([row[3] for row in rows], np.int64).reshape(-1, quality.width)
    buckets, classes = quality.served_ids(packed)
    buckets = wide_buckets(buckets) if wide else buckets
    in_classes = {} if classes is None else _counted(slots, versions, classes)
    return tuple(
        VersionScores(
            version=version,
            slot=slot * SLOT_SECONDS,
            buckets=ids,
            counts=counts,
            classes=in_classes.get((slot, version), ((), ()))[0],
            class_counts=in_classes.get((slot, version), ((), ()))[1],
        )
        for (slot, version), (ids, counts) in _counted(slots, versions, buckets).items()
    )


def _counted(
    slots: Integers, versions: Integers, ids: Integers
) -> dict[tuple[int, int], tuple[tuple[int, ...], tuple[int, ...]]]:
    """Ids and their counts by slot and version, in order."""
    cells, counts = np.unique(
        np.stack((slots, versions, ids.astype(np.int64))), axis=1, return_counts=True
    )
    starts = np.flatnonzero(np.any(np.diff(cells[:2], axis=1), axis=0)) + 1
    return {
        (int(cell[0, 0]), int(cell[1, 0])): (tuple(cell[2].tolist()), tuple(count.tolist()))
        for cell, count in zip(
            np.split(cells, starts, axis=1), np.split(counts, starts), strict=True
        )
    }
