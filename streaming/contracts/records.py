"""The records that cross between the parts, one type for each boundary.

A record is a frozen value: tuples, numbers and strings, no engine types, no behaviour. Its head
is common: `record_id` (digest of kind, model and natural key, see `identity.record_id`), the ids
of the records it was `caused_by`, the model, and when it was made. Big payloads stay in the
artifact store; a record carries their URI and digest. All times are seconds since 1970 UTC.

Following `caused_by` answers "why is this version live?".
"""

from __future__ import annotations

from typing import Literal

import msgspec

FORM = 1
"""Version of the records' form; a reader refuses any other."""

DriftOutcome = Literal["stable", "suspected", "drifted", "inconclusive"]
GateOutcome = Literal["pass", "fail", "insufficient", "error"]
Action = Literal["retrain", "approve", "reject", "pause", "resume", "promote", "abort", "rollback"]
Cause = Literal["drift", "manual", "schedule", "initial"]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value inside a record."""


class Record(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """The common head."""

    record_id: str
    model: str
    at: float
    """When it was made."""
    caused_by: tuple[str, ...] = ()
    form: int = FORM


class OffsetRange(Part, frozen=True, kw_only=True):
    """Half-open range of one Kafka partition: start <= offset < stop."""

    topic: str
    partition: int
    start: int
    stop: int


class Artifact(Part, frozen=True, kw_only=True):
    """Where a big payload lies, and the SHA-256 of its bytes (of its manifest for a folder)."""

    uri: str
    digest: str


# ---------------------------------------------------------------- statistics


class NumericGrid(Part, frozen=True, kw_only=True):
    """Counts of finite values per bucket of the universal grid, after subtracting `pivot`.

    `buckets` is ascending and parallel to `counts` (all > 0).
    """

    pivot: float
    buckets: tuple[int, ...]
    counts: tuple[int, ...]


class Categories(Part, frozen=True, kw_only=True):
    """Exact counts of the most frequent values; what the bound cut off is in `tail_rows`.

    `values` and `counts` are parallel, sorted by count descending, then value.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]
    tail_rows: int = 0


class FeatureSummary(Part, frozen=True, kw_only=True):
    """One feature over a set of rows: rows = missing + non_finite + counted values."""

    name: str
    rows: int
    missing: int
    non_finite: int = 0
    grid: NumericGrid | None = None
    categories: Categories | None = None


class SlotSummary(Part, frozen=True, kw_only=True):
    """What the windows of one slot of the season held, added up."""

    slot: int
    """Hour of the day (0-23) or of the week (0-167, from Monday)."""
    rows: int
    periods: int
    """Days on which the slot was seen."""
    features: tuple[FeatureSummary, ...]


class SchemaAnomaly(Part, frozen=True, kw_only=True):
    """What TFDV's schema validation found in a window."""

    feature: str
    code: str
    """TFDV's name of the anomaly, for example ``ENUM_TYPE_UNEXPECTED_STRING_VALUES``."""
    detail: str


class WindowSummary(Record, frozen=True, kw_only=True, tag="window-summary"):
    """What one event-time window held.

    Offsets are accounted once: over all summaries
    ``sum(accepted) + sum(dead_letters) + sum(late) == sum(offsets_read)``.
    """

    window_start: float
    window_end: float
    accepted: int
    dead_letters: int
    late: int
    offsets_read: int
    offsets: tuple[OffsetRange, ...]
    """Per partition, the hull of the accepted rows' offsets: what a retrain replays."""
    features: tuple[FeatureSummary, ...]
    anomalies: tuple[SchemaAnomaly, ...] = ()
    statistics: Artifact | None = None
    """The TFDV statistics proto of the same rows."""


class TestResult(Part, frozen=True, kw_only=True):
    """One test of one feature in one window."""

    __test__ = False  # not a test case, whatever its name begins with

    name: str
    """location, dispersion, shape, missing, non_finite, zero, category, unseen, …"""
    statistic: float
    p: float
    effect: float
    """In standard deviations (shares on the probit scale)."""


class FeatureVerdict(Part, frozen=True, kw_only=True):
    """How one feature compares with the reference."""

    feature: str
    outcome: DriftOutcome
    reason: str
    n: int
    effect: float
    """Largest absolute effect over the tests that were significant; else over those of the whole
    distribution (location, dispersion, shape, category)."""
    p: float
    """Combined p of this window."""
    p_limit: float
    hits: int
    """Windows of the last `of` in which the feature was beyond its limit."""
    of: int
    tests: tuple[TestResult, ...]
    lane: Literal["", "sustained", "single", "slow"] = ""
    """What raised it: hits in several windows, one window far beyond, or a slow change."""


class DriftVerdict(Record, frozen=True, kw_only=True, tag="drift-verdict"):
    """The judgement on one window."""

    window_start: float
    window_end: float
    outcome: DriftOutcome
    reason: str
    rows: int
    offsets: tuple[OffsetRange, ...]
    reference_id: str
    """record_id of the promotion whose reference was used; empty when there was none."""
    reference_version: int
    features: tuple[FeatureVerdict, ...]
    anomalies: tuple[SchemaAnomaly, ...] = ()
    accepted: int = 0
    dead_letters: int = 0
    late: int = 0
    offsets_read: int = 0

    # ------------------------------------------------------------------ retrain
    season: str = ""
    """The slot whose history was the yardstick, in words; empty without a season."""


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


class Metric(Part, frozen=True, kw_only=True):
    """One number of an evaluation on one slice ("" = overall)."""

    name: str
    slice: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    champion: float | None = None


class ComponentRun(Part, frozen=True, kw_only=True):
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


class RetrainFailure(Record, frozen=True, kw_only=True, tag="retrain-failure"):
    """A retrain that gave no version."""

    request_id: str
    component: str
    reason: str
    advice: str
    attempt: int = 1


# ------------------------------------------------------------------ serving


class Sample(Part, frozen=True, kw_only=True):
    """One value that a gate saw."""

    name: str
    value: float


class GateResult(Part, frozen=True, kw_only=True):
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
    window_start: float | None = None
    window_end: float | None = None


class Answer(Record, frozen=True, kw_only=True, tag="answer"):
    """What became of a command or a trigger: accepted, merged or refused, and why."""

    to: str
    accepted: bool
    reason: str
    result_id: str = ""


# ---------------------------------------------------------------- artifacts


class ReferenceSummary(Record, frozen=True, kw_only=True, tag="reference-summary"):
    """The yardstick: merged window summaries of the rows a version was trained on."""

    version: int
    window_start: float
    window_end: float
    rows: int
    features: tuple[FeatureSummary, ...]
    slots: tuple[SlotSummary, ...] = ()
    """The same by hour of the day or week, where a season is known."""


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
    | Answer
    | ReferenceSummary
    | DeadLetter
)
