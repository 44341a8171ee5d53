"""Follows a record, or the version it made, back to the window that caused it.

Versions, promotions and schemas are few and read whole. The other topics are read from their ends,
chunk by chunk, until the whole chain is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from deploy.records.reader import backwards, read, stream
from deploy.records.targets import find, parse_target
from streaming.contracts import topics
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import AnyRecord, OffsetRange

CHAIN = (
    topics.PROMOTIONS,
    topics.ANSWER_COMPARISONS,
    topics.CANARY_VERDICTS,
    topics.ROLLOUTS,
    topics.APPROVAL_REQUESTS,
    topics.APPROVAL_DECISIONS,
    topics.APPROVAL_OUTCOMES,
    topics.EXPERIMENTS,
    topics.MODEL_VERSIONS,
    topics.RETRAIN_FAILURES,
    topics.TRAINING_ROWS,
    topics.RETRAIN_REQUESTS,
    topics.COMMAND_REPLIES,
    topics.COMMANDS,
    topics.QUALITY_VERDICTS,
    topics.DRIFT_VERDICTS,
    topics.SCHEMA_VERSIONS,
    topics.SCHEMA_PROPOSALS,
    topics.SCHEMA_VERDICTS,
)
"""The topics whose records can cause each other."""
READ_WHOLE = (
    topics.PROMOTIONS,
    topics.MODEL_VERSIONS,
    topics.SCHEMA_VERSIONS,
    topics.SCHEMA_PROPOSALS,
)
"""Topics with a few records for each version."""
MAX_DEPTH = 100
"""Causes further back are named only; tracing the named id goes on from there."""


@dataclass(slots=True)
class Link:
    """A record and the records that caused it.

    A record that caused several others has its causes once; elsewhere it is `repeated`. (Versions
    share causes with all earlier ones: a tree that repeats them grows exponentially.)
    """

    record: AnyRecord
    causes: list[Link] = field(default_factory=list)
    repeated: bool = False
    """Whether its causes are listed at another place of the same chain."""
    more: bool = False
    """Whether its causes are left out because they are more than `MAX_DEPTH` steps back."""


def trace(log: RecordLog, target: str, model: str | None = None) -> Link:
    """The chain behind a record, a version or a window.

    Parameters
    ----------
    target:
        A record's id or its beginning; a version's number or digest, which stands for its newest
        promotion, else for the version record; or a time, which stands for the drift verdict on
        the window that has it.
    model:
        The model that a version or a window belongs to; None for any.

    Raises
    ------
    NotFoundError
        When no record and no version matches `target`.
    """
    by_id: dict[str, AnyRecord] = {}
    parsed, start = parse_target(target, model), None
    for chunk in _newest_first(log):
        for record in chunk:
            by_id.setdefault(record.record_id, record)
        start = start or find(by_id.values(), parsed)
        if start is not None and _complete(start, by_id):
            break
    if start is None:
        raise no_such_record(target)
    return chain_of(start, by_id)


def no_such_record(target: str) -> NotFoundError:
    """The error for a record or version that is not known."""
    return NotFoundError(
        f"No record, version, digest or window {target!r}; `driftline versions MODEL` lists the"
        " versions, `driftline drift MODEL` the windows."
    )


def chain_of(start: AnyRecord, by_id: dict[str, AnyRecord]) -> Link:
    """The chain behind a record, as far as `by_id` has its causes."""
    return _link(start, by_id, set(), 0)


def _newest_first(log: RecordLog) -> Iterator[list[AnyRecord]]:
    """The records of the chain's topics: those read whole first, then the others in rounds."""
    spans: list[tuple[type[AnyRecord], Iterator[OffsetRange]]] = []
    whole: list[AnyRecord] = []
    for topic in CHAIN:
        kind: type[AnyRecord] = topic.record  # type: ignore[assignment]
        if topic in READ_WHOLE:
            whole += reversed([*stream(log, kind)])
        else:
            spans += [(kind, backwards(span)) for span in log.spans(topic.name)]
    yield whole
    while spans:
        chunks = [(kind, next(rest, None), rest) for kind, rest in spans]
        spans = [(kind, rest) for kind, chunk, rest in chunks if chunk is not None]
        yield [
            record
            for kind, chunk, _ in chunks
            if chunk is not None
            for record in reversed([*read(log, chunk, kind)])
        ]


def _complete(start: AnyRecord, by_id: dict[str, AnyRecord]) -> bool:
    """Whether every record of the chain has been read."""
    queue, seen = [start], {start.record_id}
    while queue:
        for cause in queue.pop().caused_by:
            if cause not in by_id:
                return False
            if cause not in seen:
                seen.add(cause)
                queue.append(by_id[cause])
    return True


def _link(record: AnyRecord, by_id: dict[str, AnyRecord], listed: set[str], depth: int) -> Link:
    if record.record_id in listed:
        return Link(record, repeated=True)
    causes = [by_id[cause] for cause in record.caused_by if cause in by_id]
    if depth == MAX_DEPTH:
        return Link(record, more=bool(causes))
    listed.add(record.record_id)
    return Link(record, [_link(cause, by_id, listed, depth + 1) for cause in causes])
