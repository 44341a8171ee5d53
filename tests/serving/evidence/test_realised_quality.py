"""The gate on realised quality: a loss of 0.02 AUC never passes, and fails with enough labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import ndtri

from serving.evidence.measures import measured, score_of
from serving.evidence.quality import QualityEvidence, add_verdict, judge_realised
from serving.evidence.rules import QualityGateRules
from streaming.contracts.records import GateResult, QualityVerdict, ScoreCounts
from streaming.quality.counts import score_buckets
from streaming.quality.counts import score_of as score_of_bucket
from streaming.quality.measures import measure_all

Floats = npt.NDArray[np.float64]
CANARY, CHAMPION = 2, 1
RULES = QualityGateRules()
EDGES = np.linspace(-6.0, 6.0, 101)
LOGITS = (EDGES[1:] + EDGES[:-1]) / 2
BUCKETS = score_buckets(1 / (1 + np.exp(-LOGITS)))
RATE = 0.22


def shares(auc: float) -> tuple[Floats, Floats]:
    """Shares of the buckets among positives and negatives: binormal scores of this AUC."""
    apart = float(np.sqrt(2) * ndtri(auc))
    positive = np.exp(-0.5 * (LOGITS + 1.3 - apart) ** 2)
    negative = np.exp(-0.5 * (LOGITS + 1.3) ** 2)
    return positive / positive.sum(), negative / negative.sum()


def verdict(version: int, window: int, rows: tuple[Any, Any], **changes: Any) -> QualityVerdict:
    served = rows[0] + rows[1]
    values = {
        "record_id": f"{version}-{window}", "model": "m", "at": 0.0, "stage": "realised",
        "version": version, "live": version == CHAMPION, "window_start": 60.0 * window,
        "window_end": 60.0 * (window + 1), "since": 0.0, "outcome": "inconclusive", "cause": "",
        "reason": "", "predictions": int(served.sum()), "labelled": int(served.sum()),
        "expected_share": 1.0, "metrics": (),
        "counts": ScoreCounts(
            buckets=tuple(BUCKETS.tolist()), served=tuple(served.tolist()),
            positives=tuple(rows[0].tolist()), negatives=tuple(rows[1].tolist()),
        ), **changes,
    }  # fmt: skip
    return QualityVerdict(**values)


def draw(rng: np.random.Generator, auc: float, labels: int) -> tuple[Any, Any]:
    positives = rng.binomial(labels, RATE)
    positive, negative = shares(auc)
    return rng.multinomial(positives, positive), rng.multinomial(labels - positives, negative)


def rollout(
    seed: int, canary_auc: float, *, windows: int = 60, labels: int = 1000,
    champion_auc: float = 0.85, rules: QualityGateRules = RULES,
) -> list[GateResult]:  # fmt: skip
    """The gate's results after each window."""
    rng = np.random.default_rng(seed)
    evidence, results = QualityEvidence(), []
    for window in range(windows):
        for version, auc in ((CHAMPION, champion_auc), (CANARY, canary_auc)):
            record = verdict(version, window, draw(rng, auc, labels))
            evidence = add_verdict(evidence, record, canary=CANARY, champion=CHAMPION, rules=rules)
        results.append(judge_realised(evidence, rules=rules))
        if results[-1].outcome == "fail":
            break
    return results


def test_a_loss_of_two_points_fails_with_enough_labels_and_passes_at_most_within_alpha() -> None:
    runs = [rollout(seed, 0.83) for seed in range(40)]
    assert sum(run[-1].outcome == "fail" for run in runs) >= 38
    assert sum(any(result.outcome == "pass" for result in run) for run in runs) <= 1


def test_from_enough_labels_on_the_default_holds_what_it_cannot_pass() -> None:
    """So a loss of 0.02 is not promoted even where it does not fail."""
    for seed in range(20):
        held = [result for result in rollout(seed, 0.83) if result.missing <= 1]
        assert all(result.holds for result in held if result.outcome == "insufficient")


def test_an_equal_canary_passes_and_fails_in_at_most_one_percent() -> None:
    runs = [rollout(seed, 0.85, windows=45) for seed in range(100)]
    assert sum(run[-1].outcome == "fail" for run in runs) <= 1
    assert sum(run[-1].outcome == "pass" for run in runs) >= 90


def test_a_better_canary_passes() -> None:
    assert rollout(0, 0.88)[-1].outcome == "pass"


def test_a_gross_loss_is_found_early() -> None:
    results = rollout(1, 0.6, labels=300)
    assert results[-1].outcome == "fail"
    assert len(results) <= 3


@pytest.mark.parametrize("measure", ["log_loss", "brier"])
def test_losses_are_compared_too(measure: Any) -> None:
    rules = QualityGateRules(measure=measure, margin=0.01)
    assert rollout(0, 0.65, rules=rules)[-1].outcome == "fail"
    assert rollout(0, 0.85, rules=rules)[-1].outcome == "pass"


@pytest.mark.parametrize(
    ("mode", "holds"), [("soft", False), ("critical", True), ("dry-run", False)]
)
def test_without_labels_only_a_critical_gate_holds(mode: Any, holds: bool) -> None:
    result = judge_realised(QualityEvidence(), rules=QualityGateRules(mode=mode))
    assert (result.outcome, result.holds, result.mode) == ("insufficient", holds, mode)


def test_estimates_repeats_and_other_versions_change_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = draw(rng, 0.85, 500)
    add = {"canary": CANARY, "champion": CHAMPION, "rules": RULES}
    evidence = add_verdict(QualityEvidence(), verdict(CHAMPION, 0, rows), **add)  # type: ignore[arg-type]
    evidence = add_verdict(evidence, verdict(CANARY, 0, rows), **add)  # type: ignore[arg-type]
    assert evidence.outcomes.n1 == 500
    for record in (
        verdict(CANARY, 0, rows),
        verdict(3, 1, rows),
        verdict(CANARY, 1, rows, stage="estimated"),
    ):
        assert add_verdict(evidence, record, **add).outcomes == evidence.outcomes  # type: ignore[arg-type]
    alone = add_verdict(evidence, verdict(CANARY, 5, rows), **add)  # type: ignore[arg-type]
    assert alone.outcomes.n1 == 500, "the champion of that window has not come"


def test_the_order_of_the_versions_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    records = [verdict(v, w, draw(rng, 0.85, 300)) for w in range(4) for v in (CHAMPION, CANARY)]
    results = []
    for order in (records, records[::-1]):
        evidence = QualityEvidence()
        for record in order:
            evidence = add_verdict(evidence, record, canary=CANARY, champion=CHAMPION, rules=RULES)
        results.append(evidence.outcomes)
    assert results[0].n1 == results[1].n1
    assert results[0].canary == results[1].canary


def test_a_single_class_is_no_evidence() -> None:
    rows = np.rint(shares(0.85)[1] * 4000).astype(int)
    evidence = QualityEvidence()
    for version in (CHAMPION, CANARY):
        record = verdict(version, 0, (np.zeros_like(rows), rows))
        evidence = add_verdict(evidence, record, canary=CANARY, champion=CHAMPION, rules=RULES)
    assert judge_realised(evidence, rules=RULES).outcome == "insufficient"


@pytest.mark.parametrize("measure", ["auc", "log_loss", "brier"])
def test_the_measures_are_those_of_the_quality_verdicts(measure: Any) -> None:
    positives, negatives = (row.astype(float) for row in draw(np.random.default_rng(1), 0.8, 900))
    actual = measured(measure, BUCKETS, positives, negatives)
    expected = measure_all(score_of_bucket(BUCKETS), positives, negatives)[measure]
    assert actual is not None
    variance = expected.variance
    if measure == "auc":
        variance *= (expected.value * (1 - expected.value)) ** 2
    assert actual == pytest.approx((expected.value, variance))


def test_the_scores_of_the_buckets_are_those_of_the_grid() -> None:
    scores = np.array([0.0, 1e-9, 0.01, 0.3, 0.4999, 0.5, 0.7, 0.99, 1.0])
    buckets = score_buckets(scores)
    assert score_of(buckets) == pytest.approx(score_of_bucket(buckets), rel=1e-12)
