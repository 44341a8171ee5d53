"""Values of the records that the scripted system writes: features, gates and quality metrics."""

from __future__ import annotations

import math

from streaming.contracts.records import (
    DriftOutcome,
    FeatureVerdict,
    GateOutcome,
    GateResult,
    GateSample,
    Histogram,
    Metric,
    QualityMetric,
    TestResult,
)

FEATURES = {
    "fare": 0.93,
    "trip_miles": 0.78,
    "trip_seconds": 0.41,
    "payment_type": 0.62,
    "company": 0.0,
    "trip_start_hour": 0.0,
    "pickup_census_tract": 0.0,
}
"""Effect of the shift on each feature, in standard deviations."""
LIMIT_SD = 0.25
GATES = ("errors", "latency_p99", "prediction_drift", "sample_ratio")


def feature_verdicts(
    end: float, outcome: DriftOutcome, *, shifted: bool
) -> tuple[FeatureVerdict, ...]:
    """Features of the window that ends at `end`, with a small deterministic variation."""
    if outcome == "inconclusive":
        return ()
    verdicts = []
    for number, (name, shift) in enumerate(FEATURES.items()):
        effect = (shift if shifted else 0.0) + 0.05 * abs(math.sin(end + number))
        beyond = effect > LIMIT_SD
        test = TestResult(name="location", statistic=effect, p=1e-9, effect=effect)
        verdicts.append(
            FeatureVerdict(
                feature=name,
                outcome="stable"
                if not beyond
                else "drifted"
                if outcome == "drifted"
                else "suspected",
                reason="",
                n=2000,
                effect=effect,
                p=1e-9 if beyond else 0.4,
                p_limit=1e-5,
                hits=3 if beyond else 0,
                of=5,
                tests=(test,),
                test="location",
                limit_sd=LIMIT_SD,
                histogram=histogram(name, effect),
            )
        )
    return tuple(verdicts)


def histogram(name: str, effect: float) -> Histogram:
    """Ten bins, or four categories, of which `effect` moves some mass."""
    if name in ("payment_type", "company"):
        moved = min(effect, 0.9) / 3
        return Histogram(
            labels=("Cash", "Credit Card", "No Charge", "Unknown"),
            reference=(0.6, 0.39, 0.006, 0.004),
            window=(0.6 - moved, 0.39 + moved, 0.006, 0.004),
        )
    edges = tuple(3.25 + 4.0 * number for number in range(11))
    densities = [
        [math.exp(-((number - centre) ** 2) / 4.0) for number in range(10)]
        for centre in (3.0, 3.0 + 2.0 * effect)
    ]
    reference, window = (tuple(d / sum(row) for d in row) for row in densities)
    return Histogram(edges=edges, reference=reference, window=window)


def quality_metrics(auc: float) -> tuple[QualityMetric, ...]:
    """AUC with an interval, baseline and limit."""
    metric = QualityMetric(
        name="auc", value=auc, low=auc - 0.03, high=auc + 0.03, n=600, baseline=0.9, limit=0.85
    )
    return (metric,)


def evaluation(version: int, gain: float) -> tuple[Metric, ...]:
    """Evaluation of a version; the second one is compared with the first on two slices."""
    metrics = [Metric(name="auc", slice="", value=0.9, low=0.885, high=0.915, n=4000)]
    if version > 1:
        value = 0.5 + gain
        metrics.append(
            Metric(
                name="auc",
                slice="after_shift=1",
                value=value,
                low=value - 0.03,
                high=value + 0.03,
                n=1500,
                champion=0.5,
            )
        )
    return tuple(metrics)


def gate_results(outcome: GateOutcome, reason: str) -> tuple[GateResult, ...]:
    """Every gate; only the latency gate fails."""
    results = []
    for gate in GATES:
        failed = outcome == "fail" and gate == "latency_p99"
        results.append(
            GateResult(
                gate=gate,
                outcome="fail" if failed else "pass" if outcome == "fail" else outcome,
                reason=reason,
                query="",
                n=400,
                limit=0.2,
                samples=(GateSample(name="canary", value=0.3 if failed else 0.02),),
            )
        )
    return tuple(results)
