"""Records for the commands' tests, with the least that each needs."""

from __future__ import annotations

from streaming.contracts.records import (
    Artifact,
    CanaryVerdict,
    CommandReply,
    DeadLetter,
    DriftVerdict,
    FeatureVerdict,
    GateResult,
    GateSample,
    Metric,
    ModelVersion,
    Promotion,
    RolloutStatus,
)

MODEL = "big_tipper"


def version(number: int, *, reason: str = "", blessed: bool = True) -> ModelVersion:
    return ModelVersion(
        record_id=f"version-{number}",
        model=MODEL,
        at=float(number),
        version=number,
        request_id=f"request-{number}",
        artifact=Artifact(uri="x", digest=f"digest-{number}"),
        base_version=number - 1,
        blessed=blessed,
        reason=reason,
        evaluation=(Metric(name="auc", slice="", value=0.9, low=0.89, high=0.91, n=10),),
        components=(),
        training_rows=1000,
        window_start=0.0,
        window_end=1.0,
        load_seconds=0.1,
        warm_predict_seconds=0.001,
    )


def waiting(reason: str, *, at: float = 2.0) -> CommandReply:
    """The announcement that a retrain waits."""
    return CommandReply(
        record_id=f"waiting-{at}",
        model=MODEL,
        at=at,
        command_id="initial",
        accepted=False,
        reason=f"Waiting: {reason}",
    )


def promotion(number: int, *, replaced: int = 0, reason: str = "") -> Promotion:
    return Promotion(
        record_id=f"promotion-{number}",
        model=MODEL,
        at=10.0 + number,
        caused_by=(f"version-{number}",),
        version=number,
        replaced=replaced,
        change="promoted" if replaced else "initial",
        reason=reason,
        artifact=Artifact(uri="x", digest=f"digest-{number}"),
        reference=None,
        window_start=0.0,
        window_end=1.0,
    )


def status(
    phase: str,
    *,
    version: int = 2,
    champion: int = 1,
    weight: int = 0,
    waits_for: str = "",
    reason: str = "",
    at: float = 20.0,
) -> RolloutStatus:
    return RolloutStatus(
        record_id=f"status-{phase}-{weight}-{at}",
        model=MODEL,
        at=at,
        rollout_id="rollout-2",
        version=version,
        champion=champion,
        phase=phase,
        weight=weight,
        step=1,
        reason=reason,
        waits_for=waits_for,
    )


def canary_verdict(*, weight: int = 10, reason: str = "", gate: str = "errors") -> CanaryVerdict:
    result = GateResult(
        gate=gate,
        outcome="insufficient",
        reason=reason,
        query="",
        n=120,
        limit=0.005,
        samples=(
            GateSample(name="excess", value=0.00125),
            GateSample(name="log_e_fail", value=0.25),
        ),
        missing=300,
    )
    return CanaryVerdict(
        record_id=f"verdict-{weight}",
        model=MODEL,
        at=21.0,
        version=2,
        rollout_id="rollout-2",
        step=1,
        weight=weight,
        outcome="insufficient",
        reason=reason,
        gates=(result,),
        requests=120,
        seconds_in_step=12.0,
    )


def dead_letter(
    number: int,
    *,
    payload: bytes = b'{"trip_id": "t1", "fare": "x"}',
    reason: str = "bad-type",
    detail: str = "",
    topic: str = "taxi.trips",
    cut: int = 0,
) -> DeadLetter:
    return DeadLetter(
        record_id=f"letter-{number:04}",
        model=MODEL,
        at=float(number),
        topic=topic,
        partition=0,
        offset=number,
        reason=reason,
        detail=detail,
        payload=payload,
        payload_bytes=len(payload) + cut,
    )


def drift_verdict(*, reason: str = "", feature: str = "fare") -> DriftVerdict:
    moved = FeatureVerdict(
        feature=feature,
        outcome="drifted",
        reason=reason,
        n=100,
        effect=0.8,
        p=1e-9,
        p_limit=1e-5,
        hits=3,
        of=5,
        tests=(),
    )
    return DriftVerdict(
        record_id="drift-1",
        model=MODEL,
        at=5.0,
        window_start=4.0,
        window_end=5.0,
        outcome="drifted",
        reason=reason,
        rows=100,
        offsets=(),
        reference_id="",
        reference_version=1,
        features=(moved,),
    )
