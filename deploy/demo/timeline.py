"""Collects one model's records in the order of their arrival.

`RecordTimeline.add` accepts each record once, because a replay after a crash repeats records with
the same id. It keeps what the screen, the checks, the charts and the report need. It does no I/O
and makes no decisions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from deploy.demo.report import TimelineEntry
from serving.phase import Phase
from streaming.contracts import topics
from streaming.contracts.records import (
    ALARMED,
    AnyRecord,
    ApprovalOutcome,
    ApprovalRequest,
    CanaryVerdict,
    CommandReply,
    DeadLetter,
    DriftVerdict,
    ModelVersion,
    Promotion,
    QualityVerdict,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RolloutStatus,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)

FOLLOWED_TOPICS: tuple[str, ...] = tuple(
    topic.name
    for topic in (
        topics.WINDOW_STATISTICS,
        topics.DRIFT_VERDICTS,
        topics.QUALITY_VERDICTS,
        topics.RETRAIN_REQUESTS,
        topics.RETRAIN_PROGRESS,
        topics.RETRAIN_FAILURES,
        topics.MODEL_VERSIONS,
        topics.CANARY_VERDICTS,
        topics.PROMOTIONS,
        topics.ROLLOUTS,
        topics.COMMAND_REPLIES,
        topics.DEAD_LETTERS,
        topics.SCHEMA_VERDICTS,
        topics.SCHEMA_PROPOSALS,
        topics.SCHEMA_VERSIONS,
        topics.APPROVAL_REQUESTS,
        topics.APPROVAL_OUTCOMES,
    )
)
"""The topics that a demonstration reads."""


@dataclass(slots=True)
class EventCounts:
    """Sums over the window summaries."""

    accepted: int = 0
    dead_letters: int = 0
    late: int = 0
    offsets_read: int = 0


@dataclass(slots=True, kw_only=True)
class RecordTimeline:
    """All records of one model since `started_at`."""

    model: str
    started_at: float
    entries: list[TimelineEntry] = field(default_factory=list)
    """Readable events, in the order in which they became known."""
    counts: EventCounts = field(default_factory=EventCounts)
    verdicts: list[DriftVerdict] = field(default_factory=list)
    quality: list[QualityVerdict] = field(default_factory=list)
    """Realised verdicts on the version that was live."""
    estimates: list[QualityVerdict] = field(default_factory=list)
    """Estimated verdicts on the live version, made before its labels arrived."""
    requests: list[RetrainRequest] = field(default_factory=list)
    progress: dict[str, list[RetrainProgress]] = field(default_factory=dict)
    failures: list[RetrainFailure] = field(default_factory=list)
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    canary: list[CanaryVerdict] = field(default_factory=list)
    rollouts: list[RolloutStatus] = field(default_factory=list)
    promotions: list[Promotion] = field(default_factory=list)
    replies: dict[str, CommandReply] = field(default_factory=dict)
    schema: list[SchemaVerdict] = field(default_factory=list)
    schema_versions: dict[int, SchemaVersion] = field(default_factory=dict)
    proposals: dict[str, SchemaProposal] = field(default_factory=dict)
    """Schema proposals by id, each in its newest state."""
    approval_requests: list[ApprovalRequest] = field(default_factory=list)
    approval_outcomes: dict[str, ApprovalOutcome] = field(default_factory=dict)
    """How requests ended, by the id of the request."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """Number of dead letters by reason."""
    _known_ids: set[str] = field(default_factory=set)
    _known_dead: set[tuple[str, int, int]] = field(default_factory=set)

    def note(self, at: float, what: str, detail: str = "") -> None:
        """Append a readable event."""
        self.entries.append(
            TimelineEntry(at_seconds=round(at - self.started_at, 3), what=what, detail=detail)
        )

    def add(self, record: AnyRecord) -> None:
        """Add one record; records of other models and repeated ids are ignored."""
        if record.model != self.model:
            return
        if isinstance(record, DeadLetter):
            self._add_dead_letter(record)
        elif record.record_id not in self._known_ids:
            self._known_ids.add(record.record_id)
            self._add(record)

    def _add(self, record: AnyRecord) -> None:
        match record:
            case WindowSummary():
                self.counts.accepted += record.accepted
                self.counts.dead_letters += record.dead_letters
                self.counts.late += record.late
                self.counts.offsets_read += record.offsets_read
            case DriftVerdict():
                self._add_drift_verdict(record)
            case QualityVerdict():
                self._add_quality_verdict(record)
            case RetrainRequest() | RetrainProgress() | RetrainFailure() | ModelVersion():
                self._add_retrain(record)
            case CanaryVerdict() | RolloutStatus() | Promotion():
                self._add_rollout(record)
            case SchemaVerdict() | SchemaProposal() | SchemaVersion():
                self._add_schema(record)
            case CommandReply():
                self.replies[record.command_id] = record
            case ApprovalRequest():
                self.approval_requests.append(record)
                self.note(record.at, f"approval of version {record.version} requested")
            case ApprovalOutcome():
                self.approval_outcomes[record.request_id] = record
                self.note(record.at, f"version {record.version} {record.outcome}", record.reason)

    def _add_drift_verdict(self, verdict: DriftVerdict) -> None:
        previous = self.verdicts[-1].outcome if self.verdicts else ""
        self.verdicts.append(verdict)
        if verdict.outcome != previous:
            at = max(verdict.window_end, self.started_at)
            version = verdict.reference_version
            against = f" against version {version}" if version else ""
            self.note(at, f"windows {verdict.outcome}{against}", verdict.reason)

    def _add_quality_verdict(self, verdict: QualityVerdict) -> None:
        if not verdict.live:
            return
        if verdict.stage == "estimated":
            self.estimates.append(verdict)
            return
        previous = self.quality[-1] if self.quality else None
        self.quality.append(verdict)
        if previous is None or (previous.version, previous.outcome) != (
            verdict.version,
            verdict.outcome,
        ):
            what = f"quality of version {verdict.version} {verdict.outcome}"
            self.note(verdict.at, what, verdict.reason)

    def _add_retrain(
        self, record: RetrainRequest | RetrainProgress | RetrainFailure | ModelVersion
    ) -> None:
        match record:
            case RetrainRequest():
                self.requests.append(record)
                self.note(record.at, f"retrain requested ({record.cause})", record.reason)
            case RetrainProgress():
                self.progress.setdefault(record.request_id, []).append(record)
            case RetrainFailure():
                self.failures.append(record)
                self.note(
                    record.at, f"retrain {record.outcome} in {record.component}", record.reason
                )
            case ModelVersion():
                self.versions[record.version] = record
                blessed = "blessed" if record.blessed else "not blessed"
                self.note(record.at, f"version {record.version} {blessed}", record.reason)

    def _add_rollout(self, record: CanaryVerdict | RolloutStatus | Promotion) -> None:
        match record:
            case CanaryVerdict():
                last = self.canary[-1] if self.canary else None
                self.canary.append(record)
                if last is None or (last.rollout_id, last.step, last.outcome) != (
                    record.rollout_id,
                    record.step,
                    record.outcome,
                ):
                    what = f"canary {record.outcome} at {record.weight} %"
                    self.note(record.at, what, record.reason)
            case RolloutStatus():
                status = self.rollouts[-1] if self.rollouts else None
                self.rollouts.append(record)
                if status is None or (status.phase, status.weight) != (record.phase, record.weight):
                    what = f"rollout of version {record.version} {record.phase}"
                    weight = f" at {record.weight} %" if record.weight else ""
                    self.note(record.at, f"{what}{weight}", record.reason)
            case Promotion():
                self.promotions.append(record)
                change = "live" if record.change == "initial" else record.change
                self.note(record.at, f"version {record.version} {change}", record.reason)

    def _add_schema(self, record: SchemaVerdict | SchemaProposal | SchemaVersion) -> None:
        match record:
            case SchemaVerdict():
                previous = self.schema[-1].outcome if self.schema else "conforms"
                self.schema.append(record)
                if record.outcome != previous:
                    at = max(record.window_end, self.started_at)
                    self.note(at, f"schema {record.outcome}", record.reason)
            case SchemaProposal():
                self.proposals[record.proposal_id] = record
                self.note(record.at, f"schema change {record.state}", record.reason)
            case SchemaVersion():
                self.schema_versions[record.version] = record
                self.note(record.at, f"schema version {record.version}", record.reason)

    def _add_dead_letter(self, record: DeadLetter) -> None:
        position = (record.topic, record.partition, record.offset)
        if position not in self._known_dead:
            self._known_dead.add(position)
            self.dead_letters[record.reason] += 1

    # ------------------------------------------------------------------ queries

    @property
    def live(self) -> int:
        """The live version; 0 when there is none."""
        return self.promotions[-1].version if self.promotions else 0

    @property
    def rollout_idle(self) -> bool:
        """Whether no rollout is under way, by the newest rollout status."""
        return not self.rollouts or self.rollouts[-1].phase == Phase.IDLE

    @property
    def retrains(self) -> list[RetrainRequest]:
        """All retrain requests except the initial one."""
        return [request for request in self.requests if request.cause != "initial"]

    @property
    def open_proposal(self) -> SchemaProposal | None:
        """The schema change that awaits a decision."""
        proposals = [p for p in self.proposals.values() if p.state == "open"]
        return proposals[-1] if proposals else None

    def validated_against(self, schema_version: int) -> list[SchemaVerdict]:
        """Schema verdicts that used this version of the schema."""
        return [v for v in self.schema if v.schema_version == schema_version]

    def promotion_of(self, version: int) -> Promotion | None:
        """The promotion that made `version` live."""
        for promotion in self.promotions:
            if promotion.version == version and promotion.change != "rolled-back":
                return promotion
        return None

    def version_of(self, request_id: str) -> ModelVersion | None:
        """The version that a retrain request produced."""
        for version in self.versions.values():
            if version.request_id == request_id:
                return version
        return None

    def judged_against(self, version: int) -> list[DriftVerdict]:
        """Drift verdicts that used the reference of `version`."""
        return [verdict for verdict in self.verdicts if verdict.reference_version == version]

    def quality_of(self, version: int, outcome: str) -> list[QualityVerdict]:
        """Realised quality verdicts on `version` with this outcome."""
        return [v for v in self.quality if v.version == version and v.outcome == outcome]

    def alarms(self, *, until: float = float("inf")) -> list[DriftVerdict]:
        """Suspected and drifted windows that ended by `until`."""
        return [
            verdict
            for verdict in self.verdicts
            if verdict.outcome in ALARMED and verdict.window_end <= until
        ]

    def rollout_of(self, version: int) -> list[RolloutStatus]:
        """All rollout statuses of `version`, oldest first."""
        return [status for status in self.rollouts if status.version == version]

    def rolled_back_at(self, version: int) -> float | None:
        """Time at which the rollback of `version` to its champion was complete; else None."""
        rollbacks = [s for s in self.rollout_of(version) if s.phase == Phase.ROLLING_BACK]
        if not rollbacks:
            return None
        later = [
            s for s in self.rollouts if s.at >= rollbacks[0].at and s.phase != Phase.ROLLING_BACK
        ]
        return later[0].at if later and self.live != version else None

    def rollout_span(self, version: int, now: float) -> tuple[float, float] | None:
        """From the creation of `version` to the end of its rollout, or to `now` while it runs."""
        model_version = self.versions.get(version)
        if model_version is None:
            return None
        promotion = self.promotion_of(version)
        rolled_back = self.rolled_back_at(version)
        if promotion is None and rolled_back is None:
            return model_version.at, now
        times = [status.at for status in self.rollout_of(version)]
        end = max([*times, promotion.at if promotion else 0.0, rolled_back or 0.0])
        return model_version.at, end
