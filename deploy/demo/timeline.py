"""What has happened so far, put together from the records as they come.

`Story.add` takes each record once (a replay after a crash repeats ids) and keeps what the
screen, the checks and the report need. Nothing here waits, reads or decides.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from deploy.demo.report import Moment
from streaming.contracts import topics
from streaming.contracts.records import (
    ALARMED,
    AnyRecord,
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

FOLLOWED: tuple[str, ...] = tuple(
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
    )
)
"""The topics a demonstration listens to."""


@dataclass(slots=True)
class Accounts:
    """Sums over the window summaries."""

    accepted: int = 0
    dead_letters: int = 0
    late: int = 0
    offsets_read: int = 0


@dataclass(slots=True, kw_only=True)
class Story:
    """Everything one model's records have told since `started_at`."""

    model: str
    started_at: float
    timeline: list[Moment] = field(default_factory=list)
    accounts: Accounts = field(default_factory=Accounts)
    verdicts: list[DriftVerdict] = field(default_factory=list)
    quality: list[QualityVerdict] = field(default_factory=list)
    """Realised verdicts on the version that was live."""
    estimates: list[QualityVerdict] = field(default_factory=list)
    """What was said of the live version's predictions before their labels came."""
    requests: list[RetrainRequest] = field(default_factory=list)
    progress: dict[str, list[RetrainProgress]] = field(default_factory=dict)
    failures: list[RetrainFailure] = field(default_factory=list)
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    canary: list[CanaryVerdict] = field(default_factory=list)
    rollouts: list[RolloutStatus] = field(default_factory=list)
    promotions: list[Promotion] = field(default_factory=list)
    answers: dict[str, CommandReply] = field(default_factory=dict)
    schema: list[SchemaVerdict] = field(default_factory=list)
    schema_versions: dict[int, SchemaVersion] = field(default_factory=dict)
    proposals: dict[str, SchemaProposal] = field(default_factory=dict)
    """Each in its newest state."""
    dead: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason."""
    _seen: set[str] = field(default_factory=set)
    _dead_seen: set[tuple[str, int, int]] = field(default_factory=set)

    def note(self, at: float, what: str, detail: str = "") -> None:
        """Put something on the timeline."""
        self.timeline.append(
            Moment(at_seconds=round(at - self.started_at, 3), what=what, detail=detail)
        )

    def add(self, record: AnyRecord) -> None:
        """Take in one record; a known id or another model's changes nothing."""
        if record.model != self.model:
            return
        if isinstance(record, DeadLetter):
            self._dead_letter(record)
            return
        if record.record_id in self._seen:
            return
        self._seen.add(record.record_id)
        self._take(record)

    def _take(self, record: AnyRecord) -> None:
        match record:
            case WindowSummary():
                self._account(record)
            case DriftVerdict():
                self._verdict(record)
            case QualityVerdict():
                self._quality(record)
            case RetrainRequest():
                self.requests.append(record)
                self.note(record.at, f"retrain requested ({record.cause})", record.reason)
            case RetrainProgress():
                self.progress.setdefault(record.request_id, []).append(record)
            case RetrainFailure():
                self.failures.append(record)
                self.note(record.at, f"retrain failed in {record.component}", record.reason)
            case ModelVersion():
                self.versions[record.version] = record
                blessed = "blessed" if record.blessed else "not blessed"
                self.note(record.at, f"version {record.version} {blessed}", record.reason)
            case CanaryVerdict():
                self._canary(record)
            case RolloutStatus():
                self._rollout(record)
            case Promotion():
                self.promotions.append(record)
                self.note(record.at, f"version {record.version} {record.change}", record.reason)
            case SchemaVerdict() | SchemaProposal() | SchemaVersion():
                self._schema(record)
            case CommandReply():
                self.answers[record.to] = record

    def _account(self, summary: WindowSummary) -> None:
        self.accounts.accepted += summary.accepted
        self.accounts.dead_letters += summary.dead_letters
        self.accounts.late += summary.late
        self.accounts.offsets_read += summary.offsets_read

    def _verdict(self, verdict: DriftVerdict) -> None:
        previous = self.verdicts[-1].outcome if self.verdicts else ""
        self.verdicts.append(verdict)
        if verdict.outcome != previous:
            self.note(
                max(verdict.window_end, self.started_at),
                f"windows {verdict.outcome}",
                verdict.reason,
            )

    def _quality(self, verdict: QualityVerdict) -> None:
        if not verdict.live:
            return
        if verdict.stage == "estimated":
            self.estimates.append(verdict)
            return
        previous = self.quality[-1] if self.quality else None
        self.quality.append(verdict)
        before = (previous.version, previous.outcome) if previous else None
        if before != (verdict.version, verdict.outcome):
            what = f"quality of version {verdict.version} {verdict.outcome}"
            self.note(verdict.at, what, verdict.reason)

    def _canary(self, verdict: CanaryVerdict) -> None:
        before = self.canary[-1] if self.canary else None
        self.canary.append(verdict)
        same = before is not None and (before.rollout_id, before.step, before.outcome) == (
            verdict.rollout_id,
            verdict.step,
            verdict.outcome,
        )
        if not same:
            what = f"canary {verdict.outcome} at {verdict.weight} %"
            self.note(verdict.at, what, verdict.reason)

    def _rollout(self, status: RolloutStatus) -> None:
        before = self.rollouts[-1] if self.rollouts else None
        self.rollouts.append(status)
        if before is None or (before.phase, before.weight) != (status.phase, status.weight):
            what = f"rollout of version {status.version} {status.phase} at {status.weight} %"
            self.note(status.at, what, status.reason)

    def _schema(self, record: SchemaVerdict | SchemaProposal | SchemaVersion) -> None:
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

    def _dead_letter(self, letter: DeadLetter) -> None:
        where = (letter.topic, letter.partition, letter.offset)
        if where not in self._dead_seen:
            self._dead_seen.add(where)
            self.dead[letter.reason] += 1

    # ---------------------------------------------------------------- questions

    @property
    def live(self) -> int:
        """The version that is live; 0 when there is none."""
        return self.promotions[-1].version if self.promotions else 0

    @property
    def settled(self) -> bool:
        """Whether no rollout is under way, as far as anybody has said."""
        return not self.rollouts or self.rollouts[-1].phase == "idle"

    @property
    def retrains(self) -> list[RetrainRequest]:
        """Requests but the initial one."""
        return [request for request in self.requests if request.cause != "initial"]

    @property
    def offer(self) -> SchemaProposal | None:
        """The schema change that awaits a decision."""
        opened = [one for one in self.proposals.values() if one.state == "open"]
        return opened[-1] if opened else None

    def held_against(self, schema_version: int) -> list[SchemaVerdict]:
        """The verdicts of windows that were held against this version of the schema."""
        return [one for one in self.schema if one.schema_version == schema_version]

    def promotion_of(self, version: int) -> Promotion | None:
        """The promotion that made `version` live."""
        for promotion in self.promotions:
            if promotion.version == version and promotion.change != "rolled-back":
                return promotion
        return None

    def version_of(self, request_id: str) -> ModelVersion | None:
        """What a request led to."""
        for version in self.versions.values():
            if version.request_id == request_id:
                return version
        return None

    def against(self, version: int) -> list[DriftVerdict]:
        """The verdicts that used the reference of `version`."""
        return [verdict for verdict in self.verdicts if verdict.reference_version == version]

    def judged(self, version: int, outcome: str) -> list[QualityVerdict]:
        """The realised verdicts on `version` with this outcome."""
        return [v for v in self.quality if v.version == version and v.outcome == outcome]

    def alarms(self, *, until: float = float("inf")) -> list[DriftVerdict]:
        """Suspected and drifted windows that ended by `until`."""
        return [
            verdict
            for verdict in self.verdicts
            if verdict.outcome in ALARMED and verdict.window_end <= until
        ]

    def rollout_of(self, version: int) -> list[RolloutStatus]:
        """Every status about `version`, oldest first."""
        return [status for status in self.rollouts if status.version == version]

    def rolled_back(self, version: int) -> float | None:
        """When the rollout of `version` had gone back to its champion; None while it has not."""
        statuses = self.rollout_of(version)
        going = [status for status in statuses if status.phase == "rolling-back"]
        if not going:
            return None
        later = [s for s in self.rollouts if s.at >= going[0].at and s.phase != "rolling-back"]
        return later[0].at if later and self.live != version else None

    def rollout_span(self, version: int, now: float) -> tuple[float, float] | None:
        """From the version's appearance to the end of its rollout (`now` while it goes on)."""
        made = self.versions.get(version)
        if made is None:
            return None
        promotion = self.promotion_of(version)
        back = self.rolled_back(version)
        if promotion is None and back is None:
            return made.at, now
        told = [status.at for status in self.rollout_of(version)]
        return made.at, max([*told, promotion.at if promotion else 0.0, back or 0.0])
