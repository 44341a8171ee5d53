"""A whole stack in memory that behaves as the real one should, or goes wrong on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.demo.control import ArmCount, Phase, Second, TrafficConfig, TrafficStatus
from deploy.demo.system import Addresses
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.errors import PermanentError
from streaming.contracts.ids import record_id
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Artifact,
    CanaryVerdict,
    Command,
    CommandReply,
    DeadLetter,
    DriftVerdict,
    Metric,
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

MODEL = "big_tipper"
WINDOW = 5.0
ARTIFACT = Artifact(uri="file:///nowhere", digest="0")
CONTRACT = ModelContract(
    model=MODEL, module="", events_topic="taxi.trips", labels_topic="taxi.tips", key="trip_id",
    time="event_time", window_seconds=WINDOW, max_out_of_orderness_seconds=1.0,
)  # fmt: skip


@dataclass
class World:
    """What can go wrong is a field; by default nothing does."""

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
    unexplained: int = 0
    trains_on_broken: bool = False
    blames: QualityCause = "concept"
    never_proposes: bool = False
    trains_under: int = 2
    refuses: bool = False

    clock: ManualClock = field(default_factory=lambda: ManualClock(1_000_000.0))
    said: list[str] = field(default_factory=list)
    faults: list[tuple[str, int]] = field(default_factory=list)
    is_down: bool = False

    def __post_init__(self) -> None:
        self.log = MemoryLog(clock=self.clock)
        self.contract = CONTRACT
        self.addresses = Addresses(bootstrap="memory", envoy="http://nowhere")
        self.plans: list[tuple[float, Callable[[], None]]] = []
        self.live = 0
        self.weight = 0
        self.phase: Phase = "ordinary"
        self.new_column = False
        self.schema = self.unknown = 0
        """Version in force, and windows in a row that have the new column."""
        self.since: dict[str, float] = {}
        self.started = 0.0
        self.sent = self.broken = self.letters = self.requests = self.errors = 0
        self.asking = self.finished = self.job = False
        self.window_end = 0.0
        self.in_window = self.broken_in_window = 0
        self.drifted = self.fallen = 0
        self.per_second: list[Second] = []
        self.last = 0.0

    # ------------------------------------------------------------------ system

    def up(self, say: Callable[[str], None]) -> None:
        say("the engines")
        events = topics.applications_topic(CONTRACT.events_topic, partitions=2)
        self.log.ensure([*topics.RECORD_TOPICS, events])

    def submit_job(self) -> str:
        self.job = True
        return "job-1"

    def slow_down(self, role: str, latency_ms: int) -> None:
        self.faults.append((role, latency_ms))

    def log_file(self, process: str) -> Path:
        return Path("log") / f"{process}.log"

    def down(self) -> None:
        self.is_down = True

    # ----------------------------------------------------------------- traffic

    def start(self, config: TrafficConfig, phase: Phase = "ordinary") -> None:
        self.config = config
        self.started = self.last = self.clock.now()
        self.phase, self.finished = phase, False
        self.since = {phase: self.started}
        self._send(config.history_rows)
        self.window_end = (self.started // WINDOW + 1) * WINDOW

    def switch(self, phase: Phase) -> None:
        self.phase = phase
        self.since[phase] = self.clock.now()
        self.finished = phase == "stop"
        if phase == "shifted":
            self.drifted = 0

    def predict(self) -> None:
        self.asking = True

    def add_column(self) -> None:
        self.new_column = True

    def seconds(self) -> list[Second]:
        return self.per_second

    def status(self) -> TrafficStatus:
        if self.traffic_dies and self.live:
            raise PermanentError("The traffic process has died.")
        self._go_on()
        return TrafficStatus(
            at=self.clock.now(), phase=self.phase, phase_since=dict(self.since), sent=self.sent,
            failed=0, broken=self.broken, labels=self.sent, history_done=True,
            finished=self.finished, requests=self.requests, errors=self.errors,
            first_error="503: no" if self.errors else "",
        )  # fmt: skip

    # ------------------------------------------------------------------- parts

    def _go_on(self) -> None:
        now = self.clock.now()
        seconds, self.last = now - self.last, now
        if not self.finished:
            self._send(round(seconds * self.config.events_per_second))
        if self.asking and not self.finished:
            self._ask(now, round(seconds * self.config.predictions_per_second))
        due = [plan for plan in self.plans if plan[0] <= now]
        self.plans = [plan for plan in self.plans if plan[0] > now]
        for _, act in due:
            act()
        if self.job and now >= self.window_end + 1:
            self._close()
        for message in self.log.read(self.log.spans("commands")[0]):
            self._command(decode(message.value or b""))

    def _send(self, count: int) -> None:
        bad = round(count * 0.3) if self.phase == "broken" else 0
        self.log.append_raw(CONTRACT.events_topic, [(b"k", b"{}")] * count)
        self.sent += count
        self.broken += bad
        self.in_window += count
        self.broken_in_window += bad

    def _ask(self, now: float, count: int) -> None:
        on_canary = count // 10 if self.weight else 0
        wrong = int(self.client_errors and self.weight > 0)
        slow = on_canary if self.faults and self.faults[-1][1] else 0
        arms = {"stable": ArmCount(requests=count - on_canary, errors=wrong, last_at=now)}
        if on_canary:
            first = now if slow else 0.0
            arms["canary"] = ArmCount(
                requests=on_canary, slow=slow, first_slow_at=first, last_at=now
            )
        self.requests += count
        self.errors += wrong
        self.per_second.append(Second(at=int(now), arms=arms))

    def _close(self) -> None:
        """The window that ends at `window_end` is judged."""
        end = self.window_end
        rows, bad = self.in_window, self.broken_in_window
        self.window_end = (self.clock.now() // WINDOW + 1) * WINDOW
        self.in_window = self.broken_in_window = 0
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
            "window_start": end - WINDOW, "window_end": end, "features": (),
        }  # fmt: skip
        self._say(WindowSummary, ("summary", end), at=end, **counts)
        for _ in range(bad - min(self.unexplained, bad)):
            self.letters += 1
            self._say(
                DeadLetter, ("dead", self.letters), topic="taxi.trips", partition=0,
                offset=self.letters, reason="wrong_type", detail="", payload=b"",
                payload_bytes=0, at=end,
            )  # fmt: skip
        self._schema(end)
        self._quality(end)
        outcome = self._judge(end)
        self._say(
            DriftVerdict, ("verdict", end), at=end, outcome=outcome, reason=outcome, rows=rows,
            reference_id="r" if self.live else "", reference_version=self.live, **counts,
        )  # fmt: skip
        self._trigger(outcome, bad)

    def _schema(self, end: float) -> None:
        """The window against the schema; the third with the new column makes a proposal."""
        if not self.schema:
            self._version_of_schema(1)
        wrong = self.new_column and self.schema == 1
        self.unknown += wrong
        new = SchemaFinding(kind="new_column", feature="tolls", outcome="suspected", reason="new")
        self._say(
            SchemaVerdict, ("schema", end), at=end, window_start=end - WINDOW, window_end=end,
            outcome="suspected" if wrong else "conforms", reason="tolls is new" if wrong else "",
            rows=1, schema_version=self.schema, schema_digest=str(self.schema),
            findings=(new,) if wrong else (),
        )  # fmt: skip
        if wrong and self.unknown == 3 and not self.never_proposes:
            self._proposal("open")

    def _proposal(self, state: str) -> None:
        self._say(
            SchemaProposal, ("proposal", state), proposal_id="p", state=state, base_version=1,
            base_digest="1", digest="2", text="", diff="", changes=(), affects=(), evidence=(),
            reason=state,
        )  # fmt: skip

    def _version_of_schema(self, number: int) -> None:
        self.schema = number
        self._say(
            SchemaVersion, ("schema-version", number), version=number, digest=str(number),
            text="", accepted_by="demo", reason="accepted", parent=number - 1,
        )  # fmt: skip

    def _quality(self, end: float) -> None:
        """What came true of the window, of the live version."""
        if not self.live:
            return
        turned = "turned" in self.since and end > self.since["turned"] and self.live == 1
        self.fallen += turned
        found = "stable" if not turned else "degraded" if self.fallen >= 3 else "suspected"
        bad = found == "degraded"
        self._say(
            QualityVerdict, ("quality", end), at=end, stage="realised", version=self.live,
            live=True, window_start=end - WINDOW, window_end=end, since=end - WINDOW,
            outcome=found, cause=self.blames if bad else "", reason=found, predictions=100,
            labelled=100, expected_share=1.0, metrics=(),
            counts=ScoreCounts(buckets=(), served=(), positives=(), negatives=()),
        )  # fmt: skip
        if bad and self.fallen == 3 and not self.plans and self.blames == "concept":
            self._retrain("concept", 2)
            if self.second_retrain:
                self._retrain("concept", 3)

    def _judge(self, end: float) -> str:
        if not self.live:
            return "inconclusive"
        if self.early_alarm and self.phase == "ordinary":
            return "suspected"
        if self.live == 2:
            return "drifted" if self.unstable_afterwards else "stable"
        if "shifted" in self.since and end > self.since["shifted"] and not self.never_drifts:
            self.drifted += 1
            return "drifted" if self.drifted >= 3 else "suspected"
        return "stable"

    def _trigger(self, outcome: str, bad: int) -> None:
        if not self.live and not self.plans:
            self._retrain("initial", 1)
        elif (outcome == "drifted" and self.drifted == 3 and self.live == 1) or (
            bad and self.trains_on_broken
        ):
            self._retrain("drift", 2)
            if self.second_retrain:
                self._retrain("drift", 3)

    def _command(self, command: Record) -> None:
        if not isinstance(command, Command):
            return
        if self.refuses:
            self._say(
                CommandReply, ("answer", command.record_id), to=command.record_id, accepted=False,
                reason="no",
            )  # fmt: skip
        elif command.action == "accept-schema":
            if self.schema == 1 and (command.subject, command.digest) == ("p", "2"):
                self._proposal("accepted")
                self._version_of_schema(2)
        elif not self.plans and self.live == 1:
            self._retrain("manual", 2)

    def _retrain(self, cause: str, version: int) -> None:
        now = self.clock.now()
        request = self._say(
            RetrainRequest, ("request", version), cause=cause, reason="enough", events=(),
            labels=(), window_start=now - 60, window_end=now, base_version=version - 1,
            deadline=now + 600,
        )  # fmt: skip
        self._say(
            RetrainProgress, ("progress", version), request_id=request, attempt=1, worker="w",
            component="Trainer", state="started", step=3, steps=7,
        )  # fmt: skip
        self.plans.append((now + 20, lambda: self._version(request, version)))

    def _version(self, request: str, version: int) -> None:
        if self.training_fails and version == 2:
            self._say(
                RetrainFailure, ("failure", version), request_id=request, component="Trainer",
                reason="The loss is not finite.", advice="Look at the examples.",
            )  # fmt: skip
            return
        gain = 0.01 if self.weak_version else 0.3
        evaluation = [Metric(name="auc", slice="", value=0.9)]
        if version > 1:
            evaluation.append(
                Metric(name="auc", slice="after_shift=1", value=0.5 + gain, champion=0.5)
            )
        self._say(
            ModelVersion, ("version", version), version=version, request_id=request,
            artifact=ARTIFACT, base_version=version - 1, blessed=True, reason="better",
            evaluation=tuple(evaluation), components=(), training_rows=9000, window_start=0.0,
            window_end=0.0, load_seconds=0.1, warm_predict_seconds=0.01,
            schema_version=min(self.schema, self.trains_under),
            schema_digest=str(min(self.schema, self.trains_under)),
        )  # fmt: skip
        now = self.clock.now()
        if version == 1:
            self.plans.append((now + 1, lambda: self._promote(1)))
        elif version == 2:
            self.plans.append((now + 1, lambda: self._rollout("stepping", 5)))
            self.plans.append((now + 6, self._verdict))

    def _rollout(self, phase: str, weight: int) -> None:
        self.weight = weight
        self._say(
            RolloutStatus, ("status", phase, weight), rollout_id="ro", version=2, champion=1,
            phase=phase, weight=weight, step=0, reason=phase,
        )  # fmt: skip

    def _verdict(self) -> None:
        slow = bool(self.faults)
        outcome = "fail" if slow or self.canary_fails else "pass"
        self._say(
            CanaryVerdict, ("canary",), version=2, rollout_id="ro", step=0, weight=5,
            outcome=outcome, reason="slow" if slow else "counts", gates=(), requests=80,
            seconds_in_step=5.0,
        )  # fmt: skip
        now = self.clock.now()
        if outcome == "pass":
            self.plans.append((now + 5, lambda: self._promote(2)))
            return
        late = 20.0 if self.stays_on_canary else 0.1
        self.plans.append((now + late, lambda: self._rollout("rolling-back", 0)))
        self.plans.append((now + late + 2, lambda: self._rollout("idle", 0)))

    def _promote(self, version: int) -> None:
        if version == 2:
            self._rollout("idle", 100)
            self.weight = 0
        self.live = version
        self._say(
            Promotion, ("promotion", version), version=version, replaced=version - 1,
            change="promoted" if version > 1 else "initial", reason="passed", artifact=ARTIFACT,
            reference=ARTIFACT, window_start=0.0, window_end=0.0,
        )  # fmt: skip

    def _say(self, kind: Any, key: tuple[object, ...], **values: Any) -> str:
        identity = record_id(kind.__name__, MODEL, *key)
        values.setdefault("at", self.clock.now())
        self.log.append([kind(record_id=identity, model=MODEL, **values)])
        return identity
