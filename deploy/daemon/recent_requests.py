"""Requests made of recent events of the model's own topic, with the labels that have arrived.

The events are read by the rule of the retrain (`streaming.contracts.events`), from parts of each
partition that are spread evenly over the last windows, so that a burst does not fill the sample.
The period also covers the time that labels take. Every read is bounded, however busy a topic is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from serving.paired import RecentRequests
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event, key_of, read_fields
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import OffsetRange
from streaming.contracts.registered import SchemaSource
from streaming.contracts.requests import instance
from streaming.contracts.task import BINARY, Task
from streaming.quality.tasks import quality_of

PARTS = 5
"""Parts of each partition's period from which events are read."""
READ_PER_ROW = 2
"""Messages that are read for each row, because some are unusable or come twice."""
MAX_LABELS = 200_000
"""Label messages that are read at most."""

Outcome = Callable[[Mapping[str, Any]], Any]
"""Computes the label from a label record; None when the record lacks a field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentEvents:
    """Reads the requests of one model."""

    log: RecordLog
    contract: ModelContract
    rows: int
    """Number of requests."""
    seconds: float
    """How far back the period reaches."""
    first: float = 0.0
    """Events with an earlier event time are left out: those from before the shift that a version
    was trained for, on which the champion is right and the version need not be."""
    slices: tuple[str, ...] = ()
    """Features whose values form slices."""
    schemas: SchemaSource | None = None
    """The schemas of the registry, for formats that need them."""
    outcome: Outcome | None = None
    """Without it no labels are read."""
    task: Task = BINARY
    """What the model predicts."""
    given_up: Callable[[], bool] = field(default=lambda: False)
    """Called between messages; True ends the read with what was read so far."""

    def read(self, now: float) -> RecentRequests:
        """The requests and their labels; fewer where the period has fewer usable events.

        Raises
        ------
        UnavailableError
            When the log does not answer.
        """
        since = max(now - self.seconds, min(self.first, now))
        events = self._events(since, now)
        features = self.contract.features
        named = [name for name in self.slices if any(spec.name == name for spec in features)]
        return RecentRequests(
            rows=list(events),
            instances=[instance(features, event.values) for event in events.values()],
            slices={
                name: [_text(event.values.get(name)) for event in events.values()] for name in named
            },
            labels=None if self.outcome is None else self._labels(events, since, self.outcome),
        )

    def _events(self, since: float, now: float) -> dict[str, Event]:
        """Usable events by key, in a mixed order that repeats; the first of a key counts."""
        spans = self.log.spans(self.contract.events_topic, since=since)
        if not any(span.stop > span.start for span in spans):
            # a stream that rests: its last events are the most recent ones
            spans = self.log.spans(self.contract.events_topic)
            quota = self._quota(len(spans))
            spans = tuple(replace(s, start=max(s.start, s.stop - quota)) for s in spans)
        events: dict[str, Event] = {}
        for span in spans:
            for part in evenly(span, PARTS, self._quota(len(spans))):
                for message in self._messages(part):
                    try:
                        event = decode_event(message, self.contract, now=now, schemas=self.schemas)
                    except DecodeError:
                        continue
                    if event.time >= self.first:
                        events.setdefault(event.key, event)
        keys = list(events)
        chosen = np.random.default_rng(len(keys)).permutation(len(keys))[: self.rows]
        return {keys[number]: events[keys[number]] for number in chosen}

    def _quota(self, partitions: int) -> int:
        return math.ceil(READ_PER_ROW * self.rows / max(1, partitions))

    def _labels(
        self, events: Mapping[str, Event], since: float, outcome: Outcome
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The label of each event, NaN where none has arrived; the latest one counts."""
        labels: dict[str, float] = {}
        read_outcome = quality_of(self.task).outcome_of
        spans = self.log.spans(self.contract.labels_topic, since=since)
        for span in spans:
            # the newest labels, should there be too many
            start = max(span.start, span.stop - MAX_LABELS // len(spans))
            for message in self._messages(replace(span, start=start)):
                try:
                    fields = read_fields(message, self.contract, self.contract.labels, self.schemas)
                    key = key_of(fields, self.contract)
                except DecodeError:
                    continue
                label = read_outcome(outcome(fields)) if key in events else None
                if label is not None:
                    labels[key] = float(label)
        return np.array([labels.get(key, math.nan) for key in events], dtype=np.float64)

    def _messages(self, span: OffsetRange) -> Iterator[Message]:
        if span.start >= span.stop:
            return
        for message in self.log.read(span):
            if self.given_up():
                return
            yield message


def evenly(span: OffsetRange, parts: int, count: int) -> Iterator[OffsetRange]:
    """At most `count` offsets of a range, in parts that are spread evenly over it.

    >>> span = OffsetRange(topic="t", partition=0, start=100, stop=200)
    >>> [(part.start, part.stop) for part in evenly(span, 2, 20)]
    [(140, 150), (190, 200)]
    >>> [(part.start, part.stop) for part in evenly(span, 5, 100)]
    [(100, 200)]
    """
    size = span.stop - span.start
    if size <= count:
        yield span
        return
    length = math.ceil(count / parts)
    for number in range(1, parts + 1):
        stop = span.start + size * number // parts
        yield replace(span, start=max(span.start, stop - length), stop=stop)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
