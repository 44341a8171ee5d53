"""The table of topics. Every topic is created from it before it is used.

A topic that the broker creates automatically has the wrong partition count and clean-up policy, and
Faust refuses to start on it; so nothing relies on automatic creation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streaming.contracts.records import (
    CanaryVerdict,
    Command,
    CommandReply,
    DeadLetter,
    DriftVerdict,
    ModelVersion,
    Promotion,
    QualityVerdict,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RolloutStatus,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A Kafka topic with its record type, partitions and retention."""

    name: str
    record: type[Record] | None
    """The only type of record in it; None for the JSON of the applications."""
    key: str
    """Description of the message key; keys are UTF-8."""
    partitions: int = 1
    cleanup: Literal["delete", "compact"] = "delete"
    retention_hours: int = 24 * 30


WINDOW_STATISTICS = Topic(name="window-statistics", record=WindowSummary, key="model")
DRIFT_VERDICTS = Topic(name="drift-verdicts", record=DriftVerdict, key="model")
QUALITY_VERDICTS = Topic(name="quality-verdicts", record=QualityVerdict, key="model")
SCHEMA_VERDICTS = Topic(name="schema-verdicts", record=SchemaVerdict, key="model")
SCHEMA_PROPOSALS = Topic(
    name="schema-proposals", record=SchemaProposal, key="model/proposal", cleanup="compact"
)
SCHEMA_VERSIONS = Topic(
    name="schema-versions", record=SchemaVersion, key="model/version", cleanup="compact"
)
RETRAIN_REQUESTS = Topic(name="retrain-requests", record=RetrainRequest, key="model")
RETRAIN_PROGRESS = Topic(name="retrain-progress", record=RetrainProgress, key="model")
RETRAIN_FAILURES = Topic(name="retrain-failures", record=RetrainFailure, key="model")
MODEL_VERSIONS = Topic(
    name="model-versions", record=ModelVersion, key="model/version", cleanup="compact"
)
CANARY_VERDICTS = Topic(name="canary-verdicts", record=CanaryVerdict, key="model")
PROMOTIONS = Topic(name="promotions", record=Promotion, key="model", cleanup="compact")
ROLLOUTS = Topic(name="rollouts", record=RolloutStatus, key="model", cleanup="compact")
COMMANDS = Topic(name="commands", record=Command, key="model")
COMMAND_REPLIES = Topic(name="command-replies", record=CommandReply, key="model")
DEAD_LETTERS = Topic(name="dead-letters", record=DeadLetter, key="model")
LATE_EVENTS = Topic(name="late-events", record=DeadLetter, key="model")

RECORD_TOPICS: tuple[Topic, ...] = (
    WINDOW_STATISTICS,
    DRIFT_VERDICTS,
    QUALITY_VERDICTS,
    SCHEMA_VERDICTS,
    SCHEMA_PROPOSALS,
    SCHEMA_VERSIONS,
    RETRAIN_REQUESTS,
    RETRAIN_PROGRESS,
    RETRAIN_FAILURES,
    MODEL_VERSIONS,
    CANARY_VERDICTS,
    PROMOTIONS,
    ROLLOUTS,
    COMMANDS,
    COMMAND_REPLIES,
    DEAD_LETTERS,
    LATE_EVENTS,
)

TOPIC_OF: dict[type[Record], Topic] = {
    topic.record: topic
    for topic in RECORD_TOPICS
    if topic.record is not None and topic is not LATE_EVENTS
}
"""Topic of each type of record. Late events have the type of dead letters, so their writers name
the topic explicitly."""


def message_key(record: Record) -> bytes:
    """The Kafka key of a record's message.

    >>> from streaming.contracts.records import CommandReply
    >>> message_key(CommandReply(
    ...     record_id="a", model="m", at=0.0, command_id="b", accepted=True, reason=""
    ... ))
    b'm'
    """
    if isinstance(record, ModelVersion | SchemaVersion):
        return f"{record.model}/{record.version}".encode()
    if isinstance(record, SchemaProposal):
        return f"{record.model}/{record.proposal_id}".encode()
    return record.model.encode()


def applications_topic(name: str, *, partitions: int) -> Topic:
    """A topic of the applications, with events, labels or predictions of one model."""
    return Topic(name=name, record=None, key="entity id", partitions=partitions)
