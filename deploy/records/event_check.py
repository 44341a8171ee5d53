"""How the newest events of a model are understood, and what would become of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from deploy.records.event_advice import advice
from deploy.records.event_fields import field_reports
from deploy.records.event_report import EventCheck, Refusal
from streaming.contracts.documents import read_document
from streaming.contracts.errors import DecodeError, TemporaryError
from streaming.contracts.events import Event, decode_event
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import SchemaSource
from streaming.contracts.wire_format import resolvable
from streaming.windowing.assignment import Windows
from streaming.windowing.decode import Decoder
from streaming.windowing.event_clock import EventClock


def newest_events(log: RecordLog, topic: str, last: int) -> list[Message]:
    """The newest events of all partitions, at most `last`, partition by partition."""
    spans = [span for span in log.spans(topic) if span.stop > span.start]
    quota = math.ceil(last / max(1, len(spans)))
    messages = [
        message
        for span in spans
        for message in log.read(replace(span, start=max(span.start, span.stop - quota)))
    ]
    kept = sorted(messages, key=lambda message: message.time)[-last:]
    return sorted(kept, key=lambda message: (message.partition, message.offset))


def check_events(
    messages: Sequence[Message],
    contract: ModelContract,
    *,
    now: float,
    schemas: SchemaSource | None = None,
) -> EventCheck:
    """What would become of these events, and why."""
    accepted = late = waiting = 0
    waiting_for = ""
    dead: list[tuple[Message, tuple[str, str], str]] = []
    for _, run in groupby(messages, key=lambda message: message.partition):
        partition = list(run)
        values = [message.value for message in partition]
        count, cause = resolvable(values, contract.events, schemas, contract.largest_event_bytes)
        waiting, waiting_for = waiting + len(partition) - count, cause or waiting_for
        partition = partition[:count]
        decoded = Decoder(contract, schemas=schemas).decode(
            [message.value for message in partition], now=now, record_at=partition.__getitem__
        )
        windows = Windows.of(contract.window_seconds, contract.max_out_of_orderness_seconds)
        assignment = windows.assign(decoded.times, EventClock(), lambda _: now)
        late += int(assignment.late.sum())
        accepted += int((~assignment.late).sum())
        dead += [
            (partition[each.index], (each.reason, each.field), each.detail) for each in decoded.dead
        ]
    report = EventCheck(
        model=contract.model,
        topic=contract.events_topic,
        read=len(messages),
        accepted=accepted,
        late=late,
        waiting=waiting,
        waiting_for=waiting_for,
        refused=_refusals(dead),
        fields=field_reports(_documents(messages, contract, schemas), contract),
        example=_example(messages, contract, schemas, now),
    )
    return replace(report, next_steps=advice(report, contract))


def _refusals(dead: Sequence[tuple[Message, tuple[str, str], str]]) -> tuple[Refusal, ...]:
    """Counts by reason and field, with the first of each."""
    counts = Counter(cause for _, cause, _ in dead)
    first = {cause: (message, detail) for message, cause, detail in reversed(dead)}
    return tuple(
        Refusal(
            reason=cause[0],
            field=cause[1],
            count=count,
            detail=first[cause][1],
            position=_position(first[cause][0]),
        )
        for cause, count in counts.most_common()
    )


def _position(message: Message) -> str:
    return f"{message.topic}/{message.partition}@{message.offset}"


def _documents(
    messages: Sequence[Message], contract: ModelContract, schemas: SchemaSource | None
) -> list[dict[str, Any]]:
    documents = []
    for message in messages:
        try:
            documents.append(
                read_document(message, contract.largest_event_bytes, contract.events, schemas)
            )
        except (DecodeError, TemporaryError):
            continue
    return documents


def _example(
    messages: Sequence[Message], contract: ModelContract, schemas: SchemaSource | None, now: float
) -> dict[str, Any] | None:
    for message in sorted(messages, key=lambda message: -message.time):
        try:
            event: Event = decode_event(message, contract, now=now, schemas=schemas)
        except (DecodeError, TemporaryError):
            continue
        return {"key": event.key, "time": event.time, **event.values}
    return None
