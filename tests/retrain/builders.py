"""Records and rules for the tests of `retrain`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from retrain.policy import RetrainRules
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    Artifact,
    Cause,
    Command,
    DriftOutcome,
    DriftVerdict,
    ModelVersion,
    OffsetRange,
    Promotion,
    QualityCause,
    QualityOutcome,
    QualityStage,
    QualityVerdict,
    RetrainRequest,
    SchemaAnomaly,
    ScoreCounts,
)

MODEL = "taxi"
EVENTS = "trips"
LABELS = "tips"

CONTRACT = ModelContract(
    model=MODEL,
    module="retrain.models.big_tipper",
    events_topic=EVENTS,
    labels_topic=LABELS,
    key="trip_id",
    time="event_time",
    features=(
        FeatureSpec(name="fare", kind="number", required=True),
        FeatureSpec(name="trip_seconds", kind="integer"),
        FeatureSpec(name="company", kind="text", categorical=True),
    ),
)

RULES = RetrainRules(
    min_labelled_rows=100,
    cooldown_seconds=60.0,
    budget_runs=3,
    budget_seconds=10_000.0,
    deadline_seconds=300.0,
    rollout_timeout_seconds=600.0,
    back_off_seconds=20.0,
    recovery_windows=2,
    max_windows=16,
    history_choice=1.0,
)

WINDOW = 10.0


@dataclass(slots=True)
class FakeLabels:
    """A label counter with a fixed count; `counted` is the number of calls."""

    count: int = 10_000
    counted: int = 0
    spans_since: list[float | None] = field(default_factory=list)

    def spans(self, since: float | None = None) -> tuple[OffsetRange, ...]:
        self.spans_since.append(since)
        return (OffsetRange(topic=LABELS, partition=0, start=0, stop=self.count),)

    def count_since(self, time: float) -> int:
        self.counted += 1
        return self.count


def verdict(
    number: int,
    outcome: DriftOutcome = "stable",
    *,
    reference: int = 1,
    rows: int = 50,
    dead: int = 0,
    late: int = 0,
    anomalies: tuple[SchemaAnomaly, ...] = (),
) -> DriftVerdict:
    """The verdict on window `number`, whose offsets are rows·number … rows·number + rows."""
    return DriftVerdict(
        record_id=f"v{number}-{reference}",
        model=MODEL,
        at=number * WINDOW + WINDOW,
        window_start=number * WINDOW,
        window_end=number * WINDOW + WINDOW,
        outcome=outcome,
        reason=f"Window {number} is {outcome}.",
        rows=rows,
        offsets=(
            OffsetRange(topic=EVENTS, partition=0, start=number * rows, stop=number * rows + rows),
        ),
        reference_id=f"p{reference}" if reference else "",
        reference_version=reference,
        features=(),
        anomalies=anomalies,
        accepted=rows,
        dead_letters=dead,
        late=late,
        offsets_read=rows + dead + late,
    )


def quality(
    number: int,
    outcome: QualityOutcome = "stable",
    *,
    cause: QualityCause = "",
    version: int = 1,
    stage: QualityStage = "realised",
    live: bool = True,
) -> QualityVerdict:
    """The quality verdict on window `number`; a loss began at the end of the window before it."""
    return QualityVerdict(
        record_id=f"q{number}-{version}-{stage}",
        model=MODEL,
        at=number * WINDOW + 2 * WINDOW,
        stage=stage,
        version=version,
        live=live,
        window_start=number * WINDOW,
        window_end=number * WINDOW + WINDOW,
        since=number * WINDOW,
        outcome=outcome,
        cause=cause,
        reason=f"Window {number} is {outcome}.",
        predictions=50,
        labelled=50,
        expected_share=1.0,
        metrics=(),
        counts=ScoreCounts(buckets=(), served=(), positives=(), negatives=()),
        shift_start=number * WINDOW if outcome == "degraded" else 0.0,
    )


def promotion(version: int, at: float, *, replaced: int = 0, change: str = "promoted") -> Promotion:
    return Promotion(
        record_id=f"promotion-{version}-{at}",
        model=MODEL,
        at=at,
        version=version,
        replaced=replaced,
        change=change,  # type: ignore[arg-type]
        reason="",
        artifact=Artifact(uri="file:///m", digest="d"),
        reference=Artifact(uri="file:///r", digest="d"),
        window_start=0.0,
        window_end=1.0,
    )


def model_version(
    version: int, request_id: str, *, blessed: bool = True, at: float = 0.0
) -> ModelVersion:
    return ModelVersion(
        record_id=f"mv-{request_id}",
        model=MODEL,
        at=at,
        version=version,
        request_id=request_id,
        artifact=Artifact(uri="file:///m", digest="d"),
        base_version=version - 1,
        blessed=blessed,
        reason="",
        evaluation=(),
        components=(),
        training_rows=100,
        window_start=0.0,
        window_end=1.0,
        load_seconds=0.1,
        warm_predict_seconds=0.01,
    )


def retrain_command(
    name: str, *, at: float = 0.0, window: tuple[float | None, float | None] = (None, None)
) -> Command:
    return Command(
        record_id=name,
        model=MODEL,
        at=at,
        action="retrain",
        reason="tips look odd",
        who="ana",
        window_start=window[0],
        window_end=window[1],
    )


def request(
    name: str = "r1",
    *,
    cause: Cause = "manual",
    base_version: int = 0,
    at: float = 1_000.0,
    deadline: float = 9_000.0,
    events: tuple[OffsetRange, ...] = (),
    labels: tuple[OffsetRange, ...] = (),
    after_shift: tuple[OffsetRange, ...] = (),
    window_start: float = 0.0,
) -> RetrainRequest:
    return RetrainRequest(
        record_id=name,
        model=MODEL,
        at=at,
        cause=cause,
        reason="because",
        events=events,
        labels=labels,
        after_shift=after_shift,
        window_start=window_start,
        window_end=1_000.0,
        base_version=base_version,
        deadline=deadline,
    )


def servable(folder: Path) -> Path:
    """A folder that looks like a SavedModel."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(b"model")
    return folder
