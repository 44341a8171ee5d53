"""Feeds the projection from the log: everything up to now, then each message as it comes.

The consumer belongs to no group of Kafka. Its place is in the projection itself, so that rows and
offsets cannot disagree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import structlog
from msgspec.structs import replace

from deploy.projection.writer import BATCH, Applied, ProjectionWriter
from streaming.contracts import topics
from streaming.contracts.errors import TemporaryError
from streaming.contracts.log import Message, RecordLog
from streaming.contracts.records import OffsetRange

TOPICS: tuple[str, ...] = tuple(topic.name for topic in topics.RECORD_TOPICS)
"""The topics of the projection: all that have records."""
RECHECK_SECONDS = 30.0
"""Interval at which the ends of all topics are compared with what was read: a topic that is created
meanwhile, and partitions that are added, are noticed then."""
_BATCH_SECONDS = 0.2
"""How long messages are collected for one transaction while they come without a pause."""

_log = structlog.get_logger()
OnApplied = Callable[[Applied], None]


def catch_up(
    log: RecordLog, writer: ProjectionWriter, on_applied: OnApplied = lambda applied: None
) -> int:
    """Apply everything that the log has now; returns the number of new messages."""
    archived = writer.read_archive()
    if archived:
        _log.info("projection.archive_read", records=archived)
    return sum(
        _catch_up_partition(log, writer, span, on_applied)
        for name in TOPICS
        for span in log.spans(name)
    )


def _catch_up_partition(
    log: RecordLog, writer: ProjectionWriter, span: OffsetRange, on_applied: OnApplied
) -> int:
    unread = _unread(writer, span)
    if unread.start >= unread.stop:
        return 0
    applied = sum(_apply(writer, batch, on_applied) for batch in _batches(log.read(unread)))
    if writer.positions().get((span.topic, span.partition), 0) < span.stop:
        writer.set_position(span.topic, span.partition, span.stop)  # compaction took the last ones
    return applied


def _unread(writer: ProjectionWriter, span: OffsetRange) -> OffsetRange:
    """The part of a partition that is still to be read.

    A partition that ends before the place that was reached is another one: Kafka's data was lost
    and the topic was created anew. It is read from its start.
    """
    place = (span.topic, span.partition)
    following = writer.positions().get(place, 0)
    if following > span.stop:
        _log.warning("projection.topic_replaced", topic=span.topic, partition=span.partition)
        writer.set_position(span.topic, span.partition, span.start)
        return span
    return replace(span, start=max(span.start, following))


def _batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    for message in messages:
        batch.append(message)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _apply(writer: ProjectionWriter, batch: Sequence[Message], on_applied: OnApplied) -> int:
    applied = writer.apply(batch)
    if applied.records:
        on_applied(applied)
    return applied.records


def follow(
    log: RecordLog,
    writer: ProjectionWriter,
    *,
    stopped: Callable[[], bool],
    on_applied: OnApplied,
    on_caught_up: Callable[[], None] = lambda: None,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Catch up, then apply messages as they come, until `stopped`.

    The consumer of new messages is in place before the log is read, so no message falls between
    the two; one that comes twice is skipped by its offset.

    Raises
    ------
    TemporaryError
        When the log cannot be reached; calling it again goes on where it was.
    """
    live = log.follow(TOPICS, from_start=False)
    batch = [message for message in (next(live),) if message is not None]
    catch_up(log, writer, on_applied)
    on_caught_up()
    checked = begun = monotonic()
    for message in live:
        if message is not None:
            begun = begun if batch else monotonic()
            batch.append(message)
        full = len(batch) == BATCH or monotonic() - begun > _BATCH_SECONDS
        if batch and (message is None or full):
            if _has_gap(writer, batch):
                catch_up(log, writer, on_applied)
            _apply(writer, batch, on_applied)
            batch = []
        if stopped():
            return
        if monotonic() - checked > RECHECK_SECONDS:
            catch_up(log, writer, on_applied)
            checked = monotonic()


def _has_gap(writer: ProjectionWriter, batch: Sequence[Message]) -> bool:
    """Whether a partition's first message lies behind the place that was read."""
    positions = writer.positions()
    first: dict[tuple[str, int], int] = {}
    for message in batch:
        first.setdefault((message.topic, message.partition), message.offset)
    return any(offset > positions.get(place, 0) for place, offset in first.items())


def follow_for_ever(
    log: RecordLog,
    writer: ProjectionWriter,
    *,
    stopped: Callable[[], bool],
    on_applied: OnApplied,
    on_problem: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """`follow`, again after each interruption of the log.

    Parameters
    ----------
    on_problem:
        Is called with why nothing new comes, and with the empty string once all was read again.
    """
    while not stopped():
        try:
            follow(
                log,
                writer,
                stopped=stopped,
                on_applied=on_applied,
                on_caught_up=lambda: on_problem(""),
            )
        except TemporaryError as error:
            _log.warning("projection.log_unreachable", error=str(error))
            on_problem(str(error))
            pause(error.delay_seconds)
