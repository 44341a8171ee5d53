"""The records that the packages exchange, one type for each boundary.

A record is a frozen value of tuples, numbers and strings, without engine types and without
behaviour. `base.Record` defines the fields that all of them have. Big payloads stay in the artifact
store; a record carries their URI and digest. All times are seconds since 1970 UTC.

The chain of `caused_by` answers "why is this version live?".
"""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import FORMAT_VERSION, Artifact, OffsetRange, Record, Value
from streaming.contracts.quality import (
    MaturityPoint,
    QualityAccounts,
    QualityCause,
    QualityMetric,
    QualityOutcome,
    QualityStage,
    QualityVerdict,
    ScoreCounts,
)
from streaming.contracts.schema import (
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
from streaming.contracts.statistics import (
    ALARMED,
    Categories,
    DayVariance,
    Distances,
    DriftOutcome,
    DriftVerdict,
    FeatureSummary,
    FeatureVerdict,
    Histogram,
    NumericGrid,
    ReferenceSummary,
    RejectedField,
    RowSample,
    SchemaAnomaly,
    SlotSummary,
    TestResult,
    WindowSummary,
)
from streaming.contracts.tolerance import Breach

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

GateOutcome = Literal["pass", "fail", "insufficient", "error"]
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
Cause = Literal["drift", "concept", "manual", "schedule", "initial"]


# ------------------------------------------------------------------ retrain


class RetrainRequest(Record, frozen=True, kw_only=True, tag="retrain-request"):
    """Train a new version on these offsets."""

    cause: Cause
    reason: str
    events: tuple[OffsetRange, ...]
    labels: tuple[OffsetRange, ...]
    """The label offsets that were known at the time of the decision."""
    window_start: float
    window_end: float
    """Event time of the newest data; the windows from `window_start` on become the reference."""
    base_version: int
    """The champion; 0 when no version is live yet."""
    deadline: float
    after_shift: tuple[OffsetRange, ...] = ()
    """The part of `events` after the shift: the slice on which the challenger must win."""


class RetrainProgress(Record, frozen=True, kw_only=True, tag="retrain-progress"):
    """Progress of a retrain worker."""

    request_id: str
    attempt: int
    worker: str
    component: str
    state: Literal["started", "done", "failed"]
    step: int
    steps: int
    seconds: float = 0.0
    detail: str = ""


class Metric(Value, frozen=True, kw_only=True):
    """One metric of an evaluation on one slice."""

    name: str
    slice: str
    """Name of the slice; empty for all rows."""
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    champion: float | None = None


class ComponentRun(Value, frozen=True, kw_only=True):
    """Duration of one component of a retrain."""

    name: str
    seconds: float


class ModelVersion(Record, frozen=True, kw_only=True, tag="model-version"):
    """A trained, evaluated and published version."""

    version: int
    request_id: str
    artifact: Artifact
    base_version: int
    blessed: bool
    reason: str
    """Why it was blessed, or not."""
    evaluation: tuple[Metric, ...]
    components: tuple[ComponentRun, ...]
    training_rows: int
    window_start: float
    window_end: float
    load_seconds: float
    warm_predict_seconds: float
    cause: Cause = "manual"
    schema_version: int = 0
    """The schema that its data was validated against; 0 = the file beside the model's code."""
    schema_digest: str = ""
    set_aside: tuple[Breach, ...] = ()
    """Rows that it was not trained on because they break the schema, by column and code."""


class RetrainFailure(Record, frozen=True, kw_only=True, tag="retrain-failure"):
    """A retrain that produced no version."""

    request_id: str
    component: str
    reason: str
    advice: str
    attempt: int = 1


# ------------------------------------------------------------------ serving


class GateSample(Value, frozen=True, kw_only=True):
    """One value that a gate or a trigger evaluated."""

    name: str
    value: float


class GateResult(Value, frozen=True, kw_only=True):
    """The outcome of one gate."""

    gate: str
    outcome: GateOutcome
    reason: str
    query: str
    n: int
    limit: float
    samples: tuple[GateSample, ...] = ()
    missing: int = 0
    """Estimated number of further requests that it needs; 0 when it has enough."""


class CanaryVerdict(Record, frozen=True, kw_only=True, tag="canary-verdict"):
    """The verdict on a canary at one step of its rollout."""

    version: int
    rollout_id: str
    step: int
    weight: int
    outcome: GateOutcome
    reason: str
    gates: tuple[GateResult, ...]
    requests: int
    seconds_in_step: float


class Promotion(Record, frozen=True, kw_only=True, tag="promotion"):
    """The version that is live from now on. Compacted by model: only the newest one counts."""

    version: int
    replaced: int
    change: Literal["initial", "promoted", "rolled-back"]
    reason: str
    artifact: Artifact
    reference: Artifact | None
    """The reference from now on (JSON of `ReferenceSummary`); None when there is none."""
    window_start: float
    window_end: float


class RolloutStatus(Record, frozen=True, kw_only=True, tag="rollout-status"):
    """The state of a rollout; compacted by model, written at each change."""

    rollout_id: str
    version: int
    champion: int
    phase: str
    weight: int
    step: int
    reason: str
    waits_for: str = ""


class Command(Record, frozen=True, kw_only=True, tag="command"):
    """A person's command."""

    action: Action
    reason: str
    who: str
    version: int = 0
    """The version it concerns; 0 = the version that is rolled out or live."""
    digest: str = ""
    """Digest of the artifact it is bound to; approvals need it."""
    subject: str = ""
    """Id of the proposal it concerns."""
    window_start: float | None = None
    window_end: float | None = None


class CommandReply(Record, frozen=True, kw_only=True, tag="command-reply"):
    """The reply to a command or a trigger: accepted, merged or refused, with the reason."""

    command_id: str
    """Id of the command it answers; the cause of the trigger where there is no command."""
    accepted: bool
    reason: str
    result_id: str = ""


class DeadLetter(Record, frozen=True, kw_only=True, tag="dead-letter"):
    """A message that could not be used; nothing is dropped silently."""

    topic: str
    partition: int
    offset: int
    reason: str
    """Reason code: one of `events.Reason`, or ``late``."""
    detail: str
    payload: bytes
    """The original bytes, truncated to a bound; base64 in JSON."""
    payload_bytes: int
    """Length before truncation."""


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
