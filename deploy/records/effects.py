"""Follows a record forwards: to everything that it caused, directly or through others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deploy.records.lineage import CHAIN, MAX_DEPTH
from deploy.records.reader import read
from streaming.contracts.codec import record_in
from streaming.contracts.log import RecordLog
from streaming.contracts.records import AnyRecord, OffsetRange

MAX_EFFECTS = 500
"""Records that are listed at most; a window of long ago has caused all that came later."""
CLOCK_SLACK_SECONDS = 3_600.0
"""How far the log's clock may differ from that of the record's writer."""

Effects = Callable[[str], Sequence[AnyRecord]]
"""The records that one caused, by its id, oldest first."""


@dataclass(slots=True)
class Effect:
    """A record and the records that it caused."""

    record: AnyRecord
    effects: list[Effect] = field(default_factory=list)
    repeated: bool = False
    """Whether its effects are listed at another place."""
    more: bool = False
    """Whether effects are left out: there are more than `MAX_EFFECTS`, or they are too far away."""


def effects_of(start: AnyRecord, effects: Effects) -> Effect:
    """Everything that a record caused."""
    listed: set[str] = set()
    left = MAX_EFFECTS

    def follow(record: AnyRecord, depth: int) -> Effect:
        nonlocal left
        if record.record_id in listed:
            return Effect(record, repeated=True)
        listed.add(record.record_id)
        result = Effect(record)
        for caused in effects(record.record_id):
            if depth >= MAX_DEPTH or left <= 0:
                result.more = True
                break
            left -= 1
            result.effects.append(follow(caused, depth + 1))
        return result

    return follow(start, 0)


def trace_effects(log: RecordLog, start: AnyRecord) -> Effect:
    """Everything that a record caused, from the log alone.

    The topics are read from the record's time on, and only ids and offsets are held in memory; the
    records that belong to it are read again.
    """
    places: dict[str, dict[str, OffsetRange]] = {}
    for topic in CHAIN:
        for span in log.spans(topic.name, since=start.at - CLOCK_SLACK_SECONDS):
            for message in log.read(span):
                record = record_in(message.value)
                if record is None:
                    continue
                place = OffsetRange(
                    topic=message.topic,
                    partition=message.partition,
                    start=message.offset,
                    stop=message.offset + 1,
                )
                for cause in record.caused_by:
                    places.setdefault(cause, {})[record.record_id] = place

    def effects(record_id: str) -> list[AnyRecord]:
        caused_by_it = [_read(log, place) for place in places.get(record_id, {}).values()]
        return sorted((each for each in caused_by_it if each is not None), key=lambda each: each.at)

    return effects_of(start, effects)


_KINDS = {topic.name: topic.record for topic in CHAIN}


def _read(log: RecordLog, place: OffsetRange) -> AnyRecord | None:
    kind = _KINDS[place.topic]
    assert kind is not None
    record: AnyRecord | None = next(iter(read(log, place, kind)), None)  # type: ignore[assignment]
    return record
