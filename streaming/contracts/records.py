"""The records that cross between the parts, one type for each boundary.

A record is a frozen value: tuples, numbers and strings, no engine types, no behaviour. Its head
is common: `record_id` (digest of kind, model and natural key, see `identity.record_id`), the ids
of the records it was `caused_by`, the model, and when it was made. Big payloads stay in the
artifact store; a record carries their URI and digest. All times are seconds since 1970 UTC.

Following `caused_by` answers "why is this version live?".
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
    Distances,
    DriftOutcome,
    DriftVerdict,
    FeatureSummary,
    FeatureVerdict,
    Histogram,
    Misfit,
    NumericGrid,
    ReferenceSummary,
    RowSample,
    SchemaAnomaly,
    SlotSummary,
    TestResult,
    WindowSummary,
    Wobble,
)

__all__ = [
    "ALARMED",
    "FORMAT_VERSION",
    "Action",
    "CommandReply",
    "AnyRecord",
    "Artifact",
    "CanaryVerdict",
    "Categories",
    "Cause",
    "Command",
    "ComponentRun",
    "DeadLetter",
    "Distances",
    "DriftOutcome",
    "DriftVerdict",
    "FeatureSummary",
    "FeatureVerdict",
    "GateOutcome",
    "GateResult",
    "Histogram",
    "MaturityPoint",
    "Metric",
    "Misfit",
    "ModelVersion",
    "NumericGrid",
    "OffsetRange",
    "Value",
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
    "RetrainFailure",
    "RetrainProgress",
    "RetrainRequest",
    "RolloutStatus",
    "RowSample",
    "Sample",
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
    "WindowSummary",
    "Wobble",
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
    """The label offsets known when the decision was made."""
    window_start: float
    window_end: float
    """Event time of the newest data: the windows that become the reference."""
    base_version: int
    """The champion; 0 when nothing is live yet."""
    deadline: float
    after_shift: tuple[OffsetRange, ...] = ()
    """The part of `events` that lies after the shift: the slice the challenger must win."""


class RetrainProgress(Record, frozen=True, kw_only=True, tag="retrain-progress"):
    """A worker says where it is."""

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
    """One number of an evaluation on one slice ("" = overall)."""

    name: str
    slice: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    champion: float | None = None


class ComponentRun(Value, frozen=True, kw_only=True):
    """How long one component took."""

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
    """The schema its data was held against; 0 = the file beside the model's code."""
    schema_digest: str = ""


class RetrainFailure(Record, frozen=True, kw_only=True, tag="retrain-failure"):
    """A retrain that gave no version."""

    request_id: str
    component: str
    reason: str
    advice: str
    attempt: int = 1


# ------------------------------------------------------------------ serving


class Sample(Value, frozen=True, kw_only=True):
    """One value that a gate saw."""

    name: str
    value: float


class GateResult(Value, frozen=True, kw_only=True):
    """One gate, judged."""

    gate: str
    outcome: GateOutcome
    reason: str
    query: str
    n: int
    limit: float
    samples: tuple[Sample, ...] = ()
    missing: int = 0
    """About how many more requests it needs; 0 when it needs none."""


class CanaryVerdict(Record, frozen=True, kw_only=True, tag="canary-verdict"):
    """The judgement on a canary at one step."""

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
    """What is live now. Compacted by model: the newest one is the truth."""

    version: int
    replaced: int
    change: Literal["initial", "promoted", "rolled-back"]
    reason: str
    artifact: Artifact
    reference: Artifact | None
    """The summary that is the yardstick from now on (JSON of `ReferenceSummary`)."""
    window_start: float
    window_end: float


class RolloutStatus(Record, frozen=True, kw_only=True, tag="rollout-status"):
    """Where a rollout stands; compacted by model, written at each change."""

    rollout_id: str
    version: int
    champion: int
    phase: str
    weight: int
    step: int
    reason: str
    waits_for: str = ""


class Command(Record, frozen=True, kw_only=True, tag="command"):
    """A person asks for something."""

    action: Action
    reason: str
    who: str
    version: int = 0
    """The version it is about; 0 = whichever is in question."""
    digest: str = ""
    """The artifact it is bound to; approvals need it."""
    subject: str = ""
    """The proposal it is about."""
    window_start: float | None = None
    window_end: float | None = None


class CommandReply(Record, frozen=True, kw_only=True, tag="command-reply"):
    """What became of a command or a trigger: accepted, merged or refused, and why."""

    to: str
    accepted: bool
    reason: str
    result_id: str = ""


class DeadLetter(Record, frozen=True, kw_only=True, tag="dead-letter"):
    """A record that could not be used; nothing is thrown away silently."""

    topic: str
    partition: int
    offset: int
    reason: str
    """Code, one of `events.Reason`, or ``late``."""
    detail: str
    payload: bytes
    """The original bytes, cut to a bound; base64 in JSON."""
    payload_bytes: int
    """Length before the cut."""


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
