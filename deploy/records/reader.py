"""Reads the record topics back: the latest of a kind, and the chain that explains a version.

Everything shown comes from the log itself, so it is the same for every reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec.structs import replace

from streaming.contracts import topics
from streaming.contracts.codec import record_in
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import RecordLog
from streaming.contracts.records import (
    AnyRecord,
    CanaryVerdict,
    Command,
    CommandReply,
    DriftVerdict,
    ModelVersion,
    OffsetRange,
    Promotion,
    QualityVerdict,
    Record,
    RetrainFailure,
    RetrainRequest,
    RolloutStatus,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
)

R = TypeVar("R", bound=Record)

CHAIN = (
    topics.PROMOTIONS,
    topics.CANARY_VERDICTS,
    topics.ROLLOUTS,
    topics.MODEL_VERSIONS,
    topics.RETRAIN_FAILURES,
    topics.RETRAIN_REQUESTS,
    topics.COMMAND_REPLIES,
    topics.COMMANDS,
    topics.QUALITY_VERDICTS,
    topics.DRIFT_VERDICTS,
    topics.SCHEMA_VERSIONS,
    topics.SCHEMA_PROPOSALS,
    topics.SCHEMA_VERDICTS,
)


def records(log: RecordLog, kind: type[R], model: str | None = None) -> list[R]:
    """Every record of a kind, oldest first, a repeated id once."""
    found = {record.record_id: record for record in stream(log, kind, model)}
    return sorted(found.values(), key=lambda record: record.at)


def stream(log: RecordLog, kind: type[R], model: str | None = None) -> Iterator[R]:
    """The same one by one as they lie in the log, repeated ids included; for what is too much to be
    held at once."""
    for span in log.spans(topics.TOPIC_OF[kind].name):
        yield from read(log, span, kind, model)


def read(log: RecordLog, span: OffsetRange, kind: type[R], model: str | None = None) -> Iterator[R]:
    """The same of a part of one partition."""
    for message in log.read(span):
        record = record_in(message.value)
        if isinstance(record, kind) and model in (None, record.model):
            yield record


FIRST_CHUNK = 16


def newest(log: RecordLog, kind: type[R], model: str, most: int) -> list[R]:
    """The newest `most` records of a model, oldest first; a repeated id once, in its last form.

    Reads backwards in growing pieces until there are enough. Records of one kind and model lie in
    the order they were made.
    """
    found: dict[str, R] = {}
    for span in log.spans(topics.TOPIC_OF[kind].name):
        for piece in _backwards(span):
            for record in reversed([*read(log, piece, kind, model)]):
                found.setdefault(record.record_id, record)
            if len(found) >= most:
                break
    return sorted(found.values(), key=lambda record: record.at)[-most:]


def _backwards(span: OffsetRange) -> Iterator[OffsetRange]:
    stop, size = span.stop, FIRST_CHUNK
    while stop > span.start:
        start = max(span.start, stop - size)
        yield replace(span, start=start, stop=stop)
        stop, size = start, size * 4


@dataclass(slots=True)
class Link:
    """A record and what caused it."""

    record: AnyRecord
    causes: list[Link] = field(default_factory=list)


def trace(log: RecordLog, wanted: str, model: str | None = None) -> Link:
    """The chain behind a record id, or behind a version number (its newest promotion first).

    Raises
    ------
    NotFoundError
        When no record and no version answers to `wanted`.
    """
    everything: dict[str, AnyRecord] = {}
    for topic in CHAIN:
        kind = topic.record
        if kind is not None:
            for record in records(log, kind):
                everything[record.record_id] = record  # type: ignore[assignment]
    start = _find(everything.values(), wanted, model)
    if start is None:
        raise NotFoundError(
            f"No record or version {wanted!r}; `driftline versions MODEL` lists the versions."
        )
    return _link(start, everything, frozenset())


def _find(everything: Iterable[AnyRecord], wanted: str, model: str | None) -> AnyRecord | None:
    by_id = None
    promotion: Promotion | None = None
    version: ModelVersion | None = None
    for record in everything:
        if record.record_id.startswith(wanted) and len(wanted) >= 6:
            by_id = record
        if wanted.isdigit() and model in (None, record.model):
            if isinstance(record, Promotion) and record.version == int(wanted):
                promotion = record
            elif isinstance(record, ModelVersion) and record.version == int(wanted):
                version = record
    return by_id or promotion or version


def _link(record: AnyRecord, everything: dict[str, AnyRecord], seen: frozenset[str]) -> Link:
    link = Link(record)
    for cause in record.caused_by:
        if cause in everything and cause not in seen:
            link.causes.append(_link(everything[cause], everything, seen | {record.record_id}))
    return link


def sentence(record: AnyRecord) -> str:
    """One line about a record, for people."""
    head = _head(record)
    reason: str = getattr(record, "reason", "")
    return f"{head}: {reason}" if reason else head


def _head(record: AnyRecord) -> str:
    match record:
        case Promotion():
            return f"version {record.version} {record.change} (replaced {record.replaced})"
        case ModelVersion():
            blessed = "blessed" if record.blessed else "not blessed"
            under = f", schema version {record.schema_version}" if record.schema_version else ""
            return f"version {record.version} {blessed}, {record.training_rows} rows{under}"
        case CanaryVerdict():
            return f"canary at {record.weight} %: {record.outcome}"
        case RetrainRequest():
            return f"retrain because of {record.cause}"
        case RetrainFailure():
            return f"retrain failed in {record.component}"
        case DriftVerdict():
            return f"window {record.window_start:.0f}–{record.window_end:.0f} {record.outcome}"
        case QualityVerdict():
            window = f"{record.window_start:.0f}–{record.window_end:.0f}"
            return f"quality of version {record.version} in {window} {record.outcome}"
        case Command():
            return f"{record.who} asked: {record.action}"
        case CommandReply():
            return "accepted" if record.accepted else "refused"
        case RolloutStatus():
            return f"rollout of version {record.version}: {record.phase} at {record.weight} %"
        case _:
            return _schema_head(record)


def _schema_head(record: AnyRecord) -> str:
    match record:
        case SchemaVerdict():
            return f"schema in {record.window_start:.0f}–{record.window_end:.0f} {record.outcome}"
        case SchemaProposal():
            return f"schema proposal {record.proposal_id} {record.state}"
        case SchemaVersion():
            return f"schema version {record.version} by {record.accepted_by}"
        case _:
            return type(record).__name__
