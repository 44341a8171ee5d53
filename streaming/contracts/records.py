"""The records that the packages exchange, one type for each boundary.

A record is a frozen value of tuples, numbers and strings, without engine types and without
behaviour. `base.Record` defines the fields that all of them have. Big payloads stay in the artifact
store; a record carries their URI and digest. All times are seconds since 1970 UTC.

The chain of `caused_by` answers "why is this version live?".
"""

from __future__ import annotations

from typing import Literal

from streaming.contracts.answer_records import (
    AnswerCheck,
    AnswerComparison,
    AnswerPair,
    AnswerSlice,
    AnswerStatistics,
    DecisionCounts,
    PairedComparison,
)
from streaming.contracts.approval_records import (
    ApprovalAnswer,
    ApprovalDecision,
    ApprovalEnd,
    ApprovalOutcome,
    ApprovalRequest,
    ApprovalStage,
    Approver,
)
from streaming.contracts.base import FORMAT_VERSION, Artifact, OffsetRange, Record, Value
from streaming.contracts.drift_records import (
    ALARMED,
    Distances,
    DriftOutcome,
    DriftVerdict,
    FeatureVerdict,
    Histogram,
    TestResult,
)
from streaming.contracts.experiment_records import (
    ExperimentCounts,
    ExperimentDefinition,
    ExperimentLook,
    ExperimentStatus,
)
from streaming.contracts.input_records import (
    EvidenceInputs,
    QueryValue,
    RolloutInputs,
    RulesInForce,
    RulesSubject,
)
from streaming.contracts.prediction_records import PredictionScores, SliceScores, VersionScores
from streaming.contracts.quality_records import (
    MaturityPoint,
    QualityAccounts,
    QualityCause,
    QualityMetric,
    QualityOutcome,
    QualityStage,
    QualityVerdict,
    ScoreCounts,
    SliceCounts,
)
from streaming.contracts.reference_records import DayVariance, ReferenceSummary, SlotSummary
from streaming.contracts.retrain_records import (
    Cause,
    ClassCount,
    ComponentRun,
    Metric,
    ModelVersion,
    RetrainEnd,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RowRules,
    RowSelection,
    RowsProbe,
    SmallFit,
    TrainingRows,
)
from streaming.contracts.rollout_records import (
    CanaryVerdict,
    GateMode,
    GateOutcome,
    GateResult,
    GateSample,
    Promotion,
    RolloutStatus,
    SliceResult,
)
from streaming.contracts.schema_records import (
    ProposalState,
    SchemaAct,
    SchemaChange,
    SchemaFinding,
    SchemaKind,
    SchemaOutcome,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
)
from streaming.contracts.window_records import (
    Categories,
    FeatureSummary,
    NumericGrid,
    RejectedField,
    RowSample,
    SchemaAnomaly,
    WindowSummary,
)

__all__ = [
    "ALARMED",
    "FORMAT_VERSION",
    "Action",
    "AnswerCheck",
    "AnswerComparison",
    "AnswerPair",
    "AnswerSlice",
    "AnswerStatistics",
    "AnyRecord",
    "ApprovalAnswer",
    "ApprovalDecision",
    "ApprovalEnd",
    "ApprovalOutcome",
    "ApprovalRequest",
    "ApprovalStage",
    "Approver",
    "Artifact",
    "CanaryVerdict",
    "Categories",
    "Cause",
    "Channel",
    "ClassCount",
    "Command",
    "CommandReply",
    "ComponentRun",
    "DayVariance",
    "DeadLetter",
    "DecisionCounts",
    "Distances",
    "DriftOutcome",
    "DriftVerdict",
    "EvidenceInputs",
    "ExperimentCounts",
    "ExperimentDefinition",
    "ExperimentLook",
    "ExperimentStatus",
    "FeatureSummary",
    "FeatureVerdict",
    "GateMode",
    "GateOutcome",
    "GateResult",
    "GateSample",
    "Histogram",
    "MaturityPoint",
    "Metric",
    "ModelVersion",
    "NumericGrid",
    "OffsetRange",
    "PairedComparison",
    "PredictionScores",
    "Promotion",
    "ProposalState",
    "QualityAccounts",
    "QualityCause",
    "QualityMetric",
    "QualityOutcome",
    "QualityStage",
    "QualityVerdict",
    "QueryValue",
    "Record",
    "ReferenceSummary",
    "RejectedField",
    "RetrainEnd",
    "RetrainFailure",
    "RetrainProgress",
    "RetrainRequest",
    "RolloutInputs",
    "RolloutStatus",
    "RowRules",
    "RowSample",
    "RowSelection",
    "RowsProbe",
    "RulesInForce",
    "RulesSubject",
    "SchemaAct",
    "SchemaAnomaly",
    "SchemaChange",
    "SchemaFinding",
    "SchemaKind",
    "SchemaOutcome",
    "SchemaProposal",
    "SchemaVerdict",
    "SchemaVersion",
    "ScoreCounts",
    "SliceCounts",
    "SliceResult",
    "SliceScores",
    "SlotSummary",
    "SmallFit",
    "TestResult",
    "TrainingRows",
    "Value",
    "VersionScores",
    "WindowSummary",
]

Action = Literal[
    "retrain",
    "cancel-retrain",
    "approve",
    "reject",
    "pause",
    "resume",
    "promote",
    "abort",
    "rollback",
    "retry",
    "start-experiment",
    "stop-experiment",
    "accept-schema",
    "reject-schema",
]
"""What a command asks for.

* ``retrain``: start a retrain.
* ``cancel-retrain``: end the retrain that is queued or running.
* ``approve``, ``reject``: decide on a rollout that awaits approval.
* ``pause``, ``resume``: hold the canary at its weight, and continue.
* ``promote``: make the canary live without the remaining steps.
* ``abort``: end the rollout and keep the champion.
* ``rollback``: return to the previous version; during a rollout the same as ``abort``.
* ``retry``: roll out a version again that was given up.
* ``start-experiment``, ``stop-experiment``: compare versions by user, and end that.
* ``accept-schema``, ``reject-schema``: decide on a schema proposal.
"""


Channel = Literal["cli", "console", "api", "slack"]
"""Where a command is given.

* ``cli``: by `driftline` on a machine that reaches the log.
* ``console``: in the browser.
* ``api``: through the console's API, with a token.
* ``slack``: by a button of a message.
"""


class Command(Record, frozen=True, kw_only=True, tag="command"):
    """A person's command."""

    action: Action
    """What the command asks for."""
    reason: str
    """Why, in the person's words."""
    who: str
    """Name of the person who sent it: of the user who ran the command, or who signed in."""
    role: str = ""
    """Role that the settings give the person for the model; empty where they give none."""
    channel: Channel = "cli"
    """Where it was given."""
    key: str = ""
    """Name of the key that signed it; empty for none."""
    signature: str = ""
    """Ed25519 signature of the record's JSON with an empty signature, base64url; empty for none."""
    version: int = 0
    """The version it concerns; 0 = the version that is rolled out or live. `approve`, `promote` and
    `retry` must name it."""
    digest: str = ""
    """Digest of what was reviewed. For `approve` and `reject` that of the approval request, for
    `promote` and `retry` that of the artifact, for a schema command that of the proposal's text:
    the command is refused when it has changed."""
    force: bool = False
    """Whether `approve`, `promote` or `retry` is meant also against or without the gates; it is
    recorded with the reason."""
    subject: str = ""
    """Id of the approval request or schema proposal that it decides on, of the experiment to stop,
    or of the retrain request to cancel (empty = the one in flight); empty for other commands."""
    experiment: ExperimentDefinition | None = None
    """The experiment to start; None for other commands."""
    window_start: float | None = None
    """For a retrain: train only on windows from this event time on, seconds since 1970; None = no
    limit."""
    window_end: float | None = None
    """For a retrain: train only on windows that end by this event time, seconds since 1970; None =
    no limit."""


class CommandReply(Record, frozen=True, kw_only=True, tag="command-reply"):
    """The reply to a command or a trigger: accepted, merged or refused, with the reason."""

    command_id: str
    """Id of the command it answers. Where there is no command, id of the verdict or the retrain
    request that it is about, or the name of the cause."""
    accepted: bool
    """Whether the command was accepted; False also where a trigger waits or was merged."""
    reason: str
    """Why it was accepted, merged or refused, or what the trigger waits for."""
    result_id: str = ""
    """Id of the retrain request that was started or merged with, of the rollout, or of the schema
    version that is current; empty when there is none."""


class MessageHeader(Value, frozen=True, kw_only=True):
    """A header of a message in Kafka."""

    name: str
    """Its name."""
    value: bytes | None
    """Its bytes; null where the producer wrote none. Base64 in JSON."""


class DeadLetter(Record, frozen=True, kw_only=True, tag="dead-letter"):
    """A message that could not be used; nothing is dropped silently."""

    topic: str
    """Topic of the message."""
    partition: int
    """Partition of the message, from 0."""
    offset: int
    """Offset of the message in its partition."""
    reason: str
    """Reason code: one of `events.Reason`, or ``late``."""
    detail: str
    """What was wrong, in words."""
    field: str = ""
    """The field that caused it, cut if its name is long; empty where no single field did."""
    payload: bytes
    """The original bytes, truncated to a bound; base64 in JSON."""
    payload_bytes: int
    """Length of the original before truncation, in bytes."""
    key: bytes | None = None
    """The message's key, truncated to a bound; base64 in JSON."""
    key_bytes: int = 0
    """Length of the key before truncation, in bytes."""
    headers: tuple[MessageHeader, ...] = ()
    """The message's first headers, up to a bound."""
    headers_dropped: int = 0
    """Number of headers beyond that bound."""


AnyRecord = (
    WindowSummary
    | DriftVerdict
    | RetrainRequest
    | RetrainProgress
    | ModelVersion
    | RetrainFailure
    | TrainingRows
    | AnswerComparison
    | CanaryVerdict
    | Promotion
    | RolloutStatus
    | ApprovalRequest
    | ApprovalDecision
    | ApprovalOutcome
    | RolloutInputs
    | RulesInForce
    | Command
    | CommandReply
    | ReferenceSummary
    | QualityVerdict
    | PredictionScores
    | SchemaVerdict
    | SchemaProposal
    | SchemaVersion
    | ExperimentStatus
    | ExperimentLook
    | ExperimentCounts
    | DeadLetter
)
