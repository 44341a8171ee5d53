"""The records that the packages exchange, one type for each boundary.

A record is a frozen value of tuples, numbers and strings, without engine types and without
behaviour. `base.Record` defines the fields that all of them have. Big payloads stay in the artifact
store; a record carries their URI and digest. All times are seconds since 1970 UTC.

The chain of `caused_by` answers "why is this version live?".
"""

from __future__ import annotations

from typing import Literal

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
from streaming.contracts.quality_records import (
    MaturityPoint,
    QualityAccounts,
    QualityCause,
    QualityMetric,
    QualityOutcome,
    QualityStage,
    QualityVerdict,
    ScoreCounts,
)
from streaming.contracts.reference_records import DayVariance, ReferenceSummary, SlotSummary
from streaming.contracts.retrain_records import (
    Cause,
    ComponentRun,
    Metric,
    ModelVersion,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
)
from streaming.contracts.rollout_records import (
    CanaryVerdict,
    GateOutcome,
    GateResult,
    GateSample,
    Promotion,
    RolloutStatus,
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
    "AnyRecord",
    "Artifact",
    "CanaryVerdict",
    "Categories",
    "Cause",
    "Command",
    "CommandReply",
    "ComponentRun",
    "DayVariance",
    "DeadLetter",
    "Distances",
    "DriftOutcome",
    "DriftVerdict",
    "FeatureSummary",
    "FeatureVerdict",
    "GateOutcome",
    "GateResult",
    "GateSample",
    "Histogram",
    "MaturityPoint",
    "Metric",
    "ModelVersion",
    "NumericGrid",
    "OffsetRange",
    "Promotion",
    "ProposalState",
    "QualityAccounts",
    "QualityCause",
    "QualityMetric",
    "QualityOutcome",
    "QualityStage",
    "QualityVerdict",
    "Record",
    "ReferenceSummary",
    "RejectedField",
    "RetrainFailure",
    "RetrainProgress",
    "RetrainRequest",
    "RolloutStatus",
    "RowSample",
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
    "SlotSummary",
    "TestResult",
    "Value",
    "WindowSummary",
]

Action = Literal[
    "retrain",
    "approve",
    "reject",
    "pause",
    "resume",
    "promote",
    "abort",
    "rollback",
    "accept-schema",
    "reject-schema",
]
"""What a command asks for.

* ``retrain``: start a retrain.
* ``approve``, ``reject``: decide on a rollout that awaits approval.
* ``pause``, ``resume``: hold the canary at its weight, and continue.
* ``promote``: make the canary live without waiting for the gates.
* ``abort``: end the rollout and keep the champion.
* ``rollback``: return to the previous version; during a rollout the same as ``abort``.
* ``accept-schema``, ``reject-schema``: decide on a schema proposal.
"""


class Command(Record, frozen=True, kw_only=True, tag="command"):
    """A person's command."""

    action: Action
    """What the command asks for."""
    reason: str
    """Why, in the person's words."""
    who: str
    """Name of the user who sent it."""
    version: int = 0
    """The version it concerns; 0 = the version that is rolled out or live."""
    digest: str = ""
    """Digest of the artifact that was reviewed: a command about a rollout is refused when the
    artifact has changed, and `approve` and `reject` need it. For a schema command, digest of the
    proposal's text."""
    subject: str = ""
    """Id of the schema proposal it concerns; empty for other commands."""
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
    payload: bytes
    """The original bytes, truncated to a bound; base64 in JSON."""
    payload_bytes: int
    """Length of the original before truncation, in bytes."""


AnyRecord = (
    WindowSummary
    | DriftVerdict
    | RetrainRequest
    | RetrainProgress
    | ModelVersion
    | RetrainFailure
    | CanaryVerdict
    | Promotion
    | RolloutStatus
    | Command
    | CommandReply
    | ReferenceSummary
    | QualityVerdict
    | SchemaVerdict
    | SchemaProposal
    | SchemaVersion
    | DeadLetter
)
