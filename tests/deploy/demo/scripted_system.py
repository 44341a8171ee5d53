"""A scripted stack in memory: it behaves as the real one should, or fails on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.demo.control import TrafficStatus
from deploy.demo.system import Addresses
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.ids import record_id
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    ApprovalOutcome,
    ApprovalRequest,
    Artifact,
    CanaryVerdict,
    Command,
    CommandReply,
    DeadLetter,
    DriftOutcome,
    DriftVerdict,
    GateOutcome,
    ModelVersion,
    Promotion,
    QualityCause,
    QualityVerdict,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RolloutStatus,
    SchemaAnomaly,
    SchemaFinding,
    SchemaProposal,
    SchemaVerdict,
    SchemaVersion,
    ScoreCounts,
    WindowSummary,
)
from tests.deploy.demo.scripted_records import (
    evaluation,
    feature_verdicts,
    gate_results,
    quality_metrics,
)
from tests.deploy.demo.scripted_traffic import CONTRACT, WINDOW, ScriptedTraffic

ARTIFACT = Artifact(uri="file:///nowhere", digest="0")
WEIGHTS = (10, 25, 50, 100)


@dataclass
class ScriptedSystem:
    """Implements `DemoSystem`; each field but the last three injects a failure."""

    never_starts: bool = False
    early_alarm: bool = False
    never_drifts: bool = False
    second_retrain: bool = False
    training_fails: bool = False
    weak_version: bool = False
    canary_fails: bool = False
    client_errors: bool = False
    unstable_afterwards: bool = False
    lost_events: int = 0
    traffic_dies: bool = False
    stays_on_canary: bool = False
    missing_dead_letters: int = 0
    trains_on_broken: bool = False
    quality_cause: QualityCause = "concept"
    never_proposes: bool = False
    trained_schema: int = 2
    refuses_commands: bool = False
    decision: str = ""
    """How people's requests end: ``approved`` or ``rejected``; empty: nobody is asked."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(1_000_000.0))
    delays: list[tuple[str, int]] = field(default_factory=list)
    is_down: bool = False
    console_opened_at: float | None = None

    def __post_init__(self) -> None:
        self.log = MemoryLog(clock=self.clock)
        self.contract = CONTRACT
        self.addresses = Addresses(bootstrap="memory", envoy="http://nowhere")
        self.traffic = SystemTraffic(self)
        self.scheduled: list[tuple[float, Callable[[], None]]] = []
        self.live = 0
        self.schema = self.new_column_windows = 0
        """Active version, and the number of consecutive windows with the new column."""
        self.dead_letters = 0
        self.job_submitted = False
        self.drifted_windows = self.degraded_windows = 0

    # ------------------------------------------------------------------ system

    def up(self, on_progress: Callable[[str], None]) -> None:
        on_progress("the engines")
        if self.never_starts:
            raise ConfigurationError("Port 9092 is used by another program.")
        events = topics.applications_topic(CONTRACT.events_topic, partitions=2)
        self.log.ensure([*topics.RECORD_TOPICS, events])

    def submit_job(self) -> str:
        self.job_submitted = True
        return "job-1"

    def delay_server(self, role: str, latency_ms: int) -> None:
        self.delays.append((role, latency_ms))
        self.traffic.slow_canary = latency_ms > 0

    def open_console(self) -> str:
        self.console_opened_at = self.clock.now()
        return "http://127.0.0.1:8580"

    def close_console(self) -> None:
        return None

    def log_file(self, process: str) -> Path:
        return Path("log") / f"{process}.log"

    def down(self) -> None:
        self.is_down = True

    # ------------------------------------------------------------------- parts

    def advance(self) -> None:
        """Perform what is due: scheduled changes, the end of a window, commands."""
        now = self.clock.now()
        due = [entry for entry in self.scheduled if entry[0] <= now]
        self.scheduled = [entry for entry in self.scheduled if entry[0] > now]
        for _, action in due:
            action()
        if self.job_submitted and now >= self.traffic.window_end + 1:
            self._close_window()
        for message in self.log.read(self.log.spans("commands")[0]):
            self._apply_command(decode(message.value or b""))

    def _close_window(self) -> None:
        """Write the records of the window that ends at `window_end`."""
        end = self.traffic.window_end
        rows, bad = self.traffic.pop_window()
        read, lost = rows, min(self.lost_events, rows)
        self.lost_events -= lost
        anomalies = (
            (SchemaAnomaly(feature="fare_amount", code="SCHEMA_NEW_COLUMN", detail=""),)
            if bad
            else ()
        )
        counts: dict[str, Any] = {
            "accepted": read - bad - lost, "dead_letters": bad, "late": 0,
            "offsets_read": read - lost, "offsets": (), "anomalies": anomalies,
            "window_start": end - WINDOW, "window_end": end,
        }  # fmt: skip
        self._write(WindowSummary, ("summary", end), at=end, features=(), **counts)
        for _ in range(bad - min(self.missing_dead_letters, bad)):
            self.dead_letters += 1
            self._write(
                DeadLetter, ("dead", self.dead_letters), topic="taxi.trips", partition=0,
                offset=self.dead_letters, reason="wrong_type", detail="", payload=b"",
                payload_bytes=0, at=end,
            )  # fmt: skip
        self._write_schema_verdict(end)
        self._write_quality_verdict(end)
        outcome = self._judge(end)
        self._write(
            DriftVerdict, ("verdict", end), at=end, outcome=outcome, reason=outcome, rows=rows,
            reference_id="r" if self.live else "", reference_version=self.live, **counts,
            features=feature_verdicts(
                end, outcome, shifted=self.traffic.began("shifted", end) and self.live == 1
            ),
        )  # fmt: skip
        self._trigger(outcome, bad)

    def _write_schema_verdict(self, end: float) -> None:
        """Validate the window; the third one with the new column makes a proposal."""
        if not self.schema:
            self._write_schema_version(1)
        unknown = self.traffic.new_column and self.schema == 1
        self.new_column_windows += unknown
        new = SchemaFinding(kind="new_column", feature="tolls", outcome="suspected", reason="new")
        self._write(
            SchemaVerdict, ("schema", end), at=end, window_start=end - WINDOW, window_end=end,
            outcome="suspected" if unknown else "conforms",
            reason="tolls is new" if unknown else "", rows=1,
            schema_version=self.schema, schema_digest=str(self.schema),
            findings=(new,) if unknown else (),
        )  # fmt: skip
        if unknown and self.new_column_windows == 3 and not self.never_proposes:
            self._write_proposal("open")

    def _write_proposal(self, state: str) -> None:
        self._write(
            SchemaProposal, ("proposal", state), proposal_id="p", state=state, base_version=1,
            base_digest="1", digest="2", text="", diff="", changes=(), affects=(), evidence=(),
            reason=state,
        )  # fmt: skip

    def _write_schema_version(self, number: int) -> None:
        self.schema = number
        self._write(
            SchemaVersion, ("schema-version", number), version=number, digest=str(number),
            text="", accepted_by="demo", reason="accepted", parent=number - 1,
        )  # fmt: skip

    def _write_quality_verdict(self, end: float) -> None:
        """Judge the live version on the window's labels."""
        if not self.live:
            return
        inputs = self.live == 1 and self.traffic.began("shifted", end)
        shifted = inputs or (self.live == 1 and self.traffic.began("concept_shift", end))
        self.degraded_windows += shifted
        outcome = "stable"
        if shifted:
            outcome = "degraded" if self.degraded_windows >= 3 else "suspected"
        degraded = outcome == "degraded"
        cause = "inputs" if inputs else self.quality_cause
        auc = 0.62 if shifted else 0.9
        self._write(
            QualityVerdict, ("quality", end), at=end, stage="realised", version=self.live,
            live=True, window_start=end - WINDOW, window_end=end, since=end - WINDOW,
            outcome=outcome, cause=cause if degraded else "", reason=outcome,
            predictions=100, labelled=100, expected_share=1.0, metrics=quality_metrics(auc),
            counts=ScoreCounts(buckets=(), served=(), positives=(), negatives=()),
        )  # fmt: skip
        if degraded and self.degraded_windows == 3 and not self.scheduled and cause == "concept":
            self._request_retrain("concept", 2)
            if self.second_retrain:
                self._request_retrain("concept", 3)

    def _judge(self, end: float) -> DriftOutcome:
        if not self.live:
            return "inconclusive"
        if self.early_alarm and self.traffic.phase == "ordinary":
            return "suspected"
        if self.live == 2:
            return "drifted" if self.unstable_afterwards else "stable"
        if self.traffic.began("shifted", end) and not self.never_drifts:
            self.drifted_windows += 1
            return "drifted" if self.drifted_windows >= 3 else "suspected"
        return "stable"

    def _trigger(self, outcome: str, bad: int) -> None:
        if not self.live and not self.scheduled:
            self._request_retrain("initial", 1)
        elif (outcome == "drifted" and self.drifted_windows == 3 and self.live == 1) or (
            bad and self.trains_on_broken
        ):
            self._request_retrain("drift", 2)
            if self.second_retrain:
                self._request_retrain("drift", 3)

    def _apply_command(self, command: Record) -> None:
        if not isinstance(command, Command):
            return
        if self.refuses_commands:
            self._write(
                CommandReply, ("reply", command.record_id), command_id=command.record_id,
                accepted=False, reason="no",
            )  # fmt: skip
        elif command.action == "approve":
            requests = [r for r in self._requests() if r.record_id == command.subject]
            if requests and requests[0].digest == command.digest and self.live == 0:
                self.decide(requests[0], "approved")
        elif command.action == "accept-schema":
            if self.schema == 1 and (command.subject, command.digest) == ("p", "2"):
                self._write_proposal("accepted")
                self._write_schema_version(2)
        elif not self.scheduled and self.live == 1:
            self._request_retrain("manual", 2)

    def _requests(self) -> list[ApprovalRequest]:
        messages = self.log.read(self.log.spans("approval-requests")[0])
        records = [decode(message.value or b"") for message in messages]
        return [record for record in records if isinstance(record, ApprovalRequest)]

    def _request_retrain(self, cause: str, version: int) -> None:
        now = self.clock.now()
        request = self._write(
            RetrainRequest, ("request", version), cause=cause, reason="enough", events=(),
            labels=(), window_start=now - 60, window_end=now, base_version=version - 1,
            deadline=now + 600,
        )  # fmt: skip
        self._write(
            RetrainProgress, ("progress", version), request_id=request, attempt=1, worker="w",
            component="Trainer", state="started", step=3, steps=7,
        )  # fmt: skip
        self.scheduled.append((now + 20, lambda: self._write_version(request, version)))

    def _write_version(self, request: str, version: int) -> None:
        if self.training_fails and version == 2:
            self._write(
                RetrainFailure, ("failure", version), request_id=request, component="Trainer",
                reason="The loss is not finite.", advice="Look at the examples.",
            )  # fmt: skip
            return
        self._write(
            ModelVersion, ("version", version), version=version, request_id=request,
            artifact=ARTIFACT, base_version=version - 1, blessed=True, reason="better",
            evaluation=evaluation(version, 0.01 if self.weak_version else 0.3), components=(),
            training_rows=9000, window_start=0.0, window_end=0.0, load_seconds=0.1,
            warm_predict_seconds=0.01,
            schema_version=min(self.schema, self.trained_schema),
            schema_digest=str(min(self.schema, self.trained_schema)),
        )  # fmt: skip
        goes_on = {1: lambda: self._promote(1), 2: lambda: self._step(0)}
        if version in goes_on:
            act = self._ask_people if self.decision else lambda _: goes_on[version]()
            self.scheduled.append((self.clock.now() + 1, lambda: act(version)))

    def _ask_people(self, version: int) -> None:
        self._write(
            ApprovalRequest, ("ask", version), rollout_id="ro", version=version,
            champion=version - 1, stage="before-canary", artifact="a", evaluation="e",
            digest=f"digest-{version}", deadline=self.clock.now() + 9000, reason="", on_yes="",
            on_no="", on_deadline="",
        )  # fmt: skip

    def decide(self, request: ApprovalRequest, outcome: str) -> None:
        """A person, or the demonstration, has decided."""
        self._write(
            ApprovalOutcome, ("ended", request.version), request_id=request.record_id,
            rollout_id="ro", version=request.version, outcome=outcome, reason=f"{outcome} by ann",
        )  # fmt: skip
        if outcome == "approved":
            goes_on = {1: lambda: self._promote(1), 2: lambda: self._step(0)}
            goes_on[request.version]()

    def _step(self, step: int) -> None:
        """Set the weight of the step; its verdict follows after five seconds."""
        self._write_rollout("stepping", WEIGHTS[step], step)
        self.scheduled.append((self.clock.now() + 5, lambda: self._judge_step(step)))

    def _write_rollout(self, phase: str, weight: int, step: int = 0) -> None:
        self.traffic.weight = weight
        self._write(
            RolloutStatus, ("status", phase, weight), rollout_id="ro", version=2, champion=1,
            phase=phase, weight=weight, step=step, reason=phase,
        )  # fmt: skip

    def _judge_step(self, step: int) -> None:
        slow = bool(self.delays)
        outcome: GateOutcome = "fail" if slow or self.canary_fails else "pass"
        reason = "slow" if slow else "counts"
        self._write(
            CanaryVerdict, ("canary", step), version=2, rollout_id="ro", step=step,
            weight=WEIGHTS[step], outcome=outcome, reason=reason,
            gates=gate_results(outcome, reason), requests=80, seconds_in_step=5.0,
        )  # fmt: skip
        now = self.clock.now()
        if outcome == "fail":
            delay = 20.0 if self.stays_on_canary else 0.1
            self.scheduled.append((now + delay, lambda: self._write_rollout("rolling-back", 0)))
            self.scheduled.append((now + delay + 2, lambda: self._write_rollout("idle", 0)))
        elif step + 1 < len(WEIGHTS):
            self._step(step + 1)
        else:
            self._write_rollout("promoting", 0)
            self.scheduled.append((now + 2, lambda: self._promote(2)))

    def _promote(self, version: int) -> None:
        self.live = version
        self._write(
            Promotion, ("promotion", version), version=version, replaced=version - 1,
            change="promoted" if version > 1 else "initial", reason="passed", artifact=ARTIFACT,
            reference=ARTIFACT, window_start=0.0, window_end=0.0,
        )  # fmt: skip
        if version == 2:
            self._write_rollout("baking", 0)
            self.scheduled.append((self.clock.now() + 5, lambda: self._write_rollout("idle", 0)))

    def _write(self, kind: Any, key: tuple[object, ...], **values: Any) -> str:
        identity = record_id(kind.__name__, CONTRACT.model, *key)
        values.setdefault("at", self.clock.now())
        self.log.append([kind(record_id=identity, model=CONTRACT.model, **values)])
        return identity


class SystemTraffic(ScriptedTraffic):
    """The traffic of a scripted system; each status advances traffic and system."""

    def __init__(self, system: ScriptedSystem) -> None:
        super().__init__(system.clock, system.log)
        self._system = system
        self.client_errors = system.client_errors

    def status(self) -> TrafficStatus:
        self.dies = self._system.traffic_dies and self._system.live > 0
        self.advance()
        self._system.advance()
        return super().status()
