"""The table of topics. Every topic is created from it before it is used.

A topic that the broker creates automatically has the wrong partition count and clean-up policy, and
Faust refuses to start on it; so nothing relies on automatic creation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streaming.contracts.records import (
    AnswerComparison,
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    CanaryVerdict,
    Command,
    CommandReply,
    DeadLetter,
    DriftVerdict,
    ExperimentCounts,
    ExperimentLook,
    ExperimentStatus,
    ModelVersion,
    PredictionScores,
    Promotion,
    QualityVerdict,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RolloutInputs,
    RolloutStatus,
    RulesInForce,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
    TrainingRows,
    WindowSummary,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDifference:
    """A setting of an existing topic that is not as it should be."""

    topic: str
    setting: str
    """Kafka's name of the setting; or partitions, replicas, topic."""
    actual: str
    expected: str
    repaired: bool = True
    """Whether `ensure` changes it; the user's own topics are left alone, and so are replicas."""
    reason: str = ""
    """Why it is not changed, where that needs to be said."""

    def __str__(self) -> str:
        text = f"{self.topic}: {self.setting} is {self.actual}, not {self.expected}"
        return f"{text} ({self.reason})" if self.reason else text


Retention = Literal["windows", "decisions", "dead-letters", "for ever", "applications", "claims"]
"""What decides how long a topic's records are kept.

windows: the windows' summaries and verdicts, for as long as seasons, day variance, backtests and
retrains look back. decisions: requests, commands and their results, for as long as a version can
be traced to its causes. dead-letters: dead letters and late events. for ever: one record of each
version, promotion or rollout status, compacted by its own key. applications: the user's own topics,
which are created if they are missing and never altered. claims: who works on what now; a day.
"""


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
    """How long records are kept where `cleanup` is delete. A deployment replaces it by what its
    settings need."""
    retention: Retention = "windows"
    """What decides on `retention_hours`."""
    retention_given: bool = False
    """Whether the user's settings give `retention_hours`; only then an existing topic's retention
    is shortened."""
    replicas: int = 1
    """Copies of each partition, at most one per broker."""
    broker_time: bool = False
    """Whether its records' timestamps are the times at which the broker appended them."""

    @property
    def altered(self) -> bool:
        """Whether an existing topic is repaired; those of the applications never are."""
        return self.retention != "applications"

    def min_in_sync(self, replicas: int) -> int:
        """Copies that must confirm a write if there are `replicas`: all but one.

        One broker may then be away, and no confirmed record has a single copy where there are three
        or more.

        >>> topic = applications_topic("t", partitions=1)
        >>> [topic.min_in_sync(replicas) for replicas in (1, 2, 3, 5)]
        [1, 1, 2, 4]
        """
        return max(1, replicas - 1)


WINDOW_STATISTICS = Topic(name="window-statistics", record=WindowSummary, key="model")
DRIFT_VERDICTS = Topic(name="drift-verdicts", record=DriftVerdict, key="model")
QUALITY_VERDICTS = Topic(name="quality-verdicts", record=QualityVerdict, key="model")
PREDICTION_SCORES = Topic(name="prediction-scores", record=PredictionScores, key="model")
SCHEMA_VERDICTS = Topic(name="schema-verdicts", record=SchemaVerdict, key="model")
RETRAIN_PROGRESS = Topic(name="retrain-progress", record=RetrainProgress, key="model")


def _kept(name: str, record: type[Record], key: str, *, broker_time: bool = False) -> Topic:
    """A topic that keeps the newest record of each key for ever."""
    return Topic(
        name=name,
        record=record,
        key=key,
        cleanup="compact",
        retention="for ever",
        broker_time=broker_time,
    )


def _decisions(name: str, record: type[Record]) -> Topic:
    return Topic(
        name=name, record=record, key="model", retention="decisions", retention_hours=24 * 365
    )


SCHEMA_PROPOSALS = _kept("schema-proposals", SchemaProposal, "model/proposal")
SCHEMA_VERSIONS = _kept("schema-versions", SchemaVersion, "model/version", broker_time=True)
MODEL_VERSIONS = _kept("model-versions", ModelVersion, "model/version")
PROMOTIONS = _kept("promotions", Promotion, "model/promotion", broker_time=True)
ROLLOUTS = _kept("rollouts", RolloutStatus, "model/status")
RULES_IN_FORCE = _kept("rules-in-force", RulesInForce, "model/subject/digest")
RETRAIN_REQUESTS = _decisions("retrain-requests", RetrainRequest)
RETRAIN_FAILURES = _decisions("retrain-failures", RetrainFailure)
TRAINING_ROWS = _decisions("training-rows", TrainingRows)
ANSWER_COMPARISONS = _decisions("answer-comparisons", AnswerComparison)
APPROVAL_REQUESTS = _decisions("approval-requests", ApprovalRequest)
APPROVAL_DECISIONS = _decisions("approval-decisions", ApprovalDecision)
APPROVAL_OUTCOMES = _decisions("approval-outcomes", ApprovalOutcome)
CANARY_VERDICTS = _decisions("canary-verdicts", CanaryVerdict)
ROLLOUT_INPUTS = _decisions("rollout-inputs", RolloutInputs)
EXPERIMENTS = _kept("experiments", ExperimentStatus, "model/status")
EXPERIMENT_LOOKS = _decisions("experiment-looks", ExperimentLook)
EXPERIMENT_COUNTS = _decisions("experiment-counts", ExperimentCounts)
COMMANDS = _decisions("commands", Command)
COMMAND_REPLIES = _decisions("command-replies", CommandReply)
DEAD_LETTERS = Topic(name="dead-letters", record=DeadLetter, key="model", retention="dead-letters")
RETRAIN_CLAIMS = Topic(
    name="retrain-claims",
    record=None,
    key="model",
    retention="claims",
    retention_hours=24,
    broker_time=True,
)
"""Which worker has which request (`retrain.claims`). Its messages are no records: nothing is traced
to them, and nothing shows them but `driftline queue`."""
LATE_EVENTS = Topic(name="late-events", record=DeadLetter, key="model", retention="dead-letters")

RECORD_TOPICS: tuple[Topic, ...] = (
    WINDOW_STATISTICS,
    DRIFT_VERDICTS,
    QUALITY_VERDICTS,
    PREDICTION_SCORES,
    SCHEMA_VERDICTS,
    SCHEMA_PROPOSALS,
    SCHEMA_VERSIONS,
    RETRAIN_REQUESTS,
    RETRAIN_PROGRESS,
    RETRAIN_FAILURES,
    TRAINING_ROWS,
    MODEL_VERSIONS,
    ANSWER_COMPARISONS,
    CANARY_VERDICTS,
    PROMOTIONS,
    ROLLOUTS,
    APPROVAL_REQUESTS,
    APPROVAL_DECISIONS,
    APPROVAL_OUTCOMES,
    ROLLOUT_INPUTS,
    RULES_IN_FORCE,
    EXPERIMENTS,
    EXPERIMENT_LOOKS,
    EXPERIMENT_COUNTS,
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

    In a compacted topic it names the record, not only its model, so that compaction removes
    repetitions and nothing else: every promotion stays, and with it the reference in force then.

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
    if isinstance(record, RulesInForce):
        return f"{record.model}/{record.subject}/{record.digest}".encode()
    if isinstance(record, Promotion | RolloutStatus | ExperimentStatus):
        return f"{record.model}/{record.record_id}".encode()
    return record.model.encode()


def applications_topic(name: str, *, partitions: int) -> Topic:
    """A topic of the applications, with events, labels or predictions of one model."""
    return Topic(
        name=name,
        record=None,
        key="entity id",
        partitions=partitions,
        retention="applications",
    )
