"""The gate on the scores' distribution: harm fails at any look, identical canaries do not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from serving.evidence.matched import Matched, add_stratum, distance
from serving.evidence.predictions import (
    PredictionEvidence,
    add_scores,
    judge_predictions,
    needed_predictions,
)
from serving.evidence.rules import PredictionGateRules
from streaming.contracts.records import GateResult, PredictionScores, VersionScores

Floats = npt.NDArray[np.float64]
RULES = PredictionGateRules()
CANARY, CHAMPION = 2, 1
BUCKETS = np.arange(-40, 41)
WEIGHTS = (1, 5, 10, 25, 50)
CHUNK_SECONDS, CHUNKS = 5, 84


def shares(mean: float, sd: float = 1.2) -> Floats:
    """Shares of the buckets for logits of this normal distribution; a bucket is 0.15 wide."""
    weights: Floats = np.exp(-0.5 * ((BUCKETS * 0.15 - mean) / sd) ** 2)
    total: Floats = weights / weights.sum()
    return total


def record(number: int, counts: dict[int, npt.NDArray[np.int64]]) -> PredictionScores:
    scores = tuple(
        VersionScores(
            version=version,
            slot=10.0 * number,
            buckets=tuple(BUCKETS[row > 0].tolist()),
            counts=tuple(row[row > 0].tolist()),
        )
        for version, row in counts.items()
    )
    return PredictionScores(
        record_id=f"r{number}", model="m", at=0.0, offsets=(), read=0, counted=0,
        slot_seconds=10.0, scores=scores,
    )  # fmt: skip


def rollout(
    seed: int, rate: float, canary: Callable[[Floats], Floats], rules: PredictionGateRules = RULES
) -> tuple[PredictionEvidence, int]:
    """The evidence of a whole rollout whose mixture of requests moves by 2 sd, and its end."""
    rng = np.random.default_rng(seed)
    evidence = PredictionEvidence()
    for chunk in range(CHUNKS):
        weight = WEIGHTS[min(len(WEIGHTS) - 1, chunk * CHUNK_SECONDS // 60)] / 100
        champion = shares(-1.3 + math.sin(chunk / 10))
        sizes = rng.poisson(rate * CHUNK_SECONDS * np.array([weight, 1 - weight]))
        counts = {
            CANARY: rng.multinomial(sizes[0], canary(champion)),
            CHAMPION: rng.multinomial(sizes[1], champion),
        }
        evidence = add_scores(
            evidence, record(chunk, counts), canary=CANARY, champion=CHAMPION, rules=rules
        )
        if evidence.failed:
            return evidence, (chunk + 1) * CHUNK_SECONDS
    return evidence, CHUNKS * CHUNK_SECONDS


def flipped(champion: Floats) -> Floats:
    return champion[::-1]


def constant(champion: Floats) -> Floats:
    single: Floats = np.eye(len(champion))[int(np.argmax(champion))]
    return single


def shifted(champion: Floats) -> Floats:
    """By 0.6 of a logit, half a standard deviation."""
    return np.roll(champion, 4)


def apart(champion: Floats) -> Floats:
    """Scores that the champion hardly ever gives."""
    return shares(5.5, 0.2)


def steeper(champion: Floats) -> Floats:
    """The same middle with a quarter of the spread."""
    return shares(float(champion @ BUCKETS) * 0.15, 0.3)


def same(champion: Floats) -> Floats:
    return champion


def judged(evidence: PredictionEvidence, next_weight: int = 100) -> GateResult:
    return judge_predictions(evidence, next_weight=next_weight, rules=RULES)


@pytest.mark.parametrize("rate", [20.0, 100.0])
@pytest.mark.parametrize("harm", [flipped, constant, shifted, steeper])
def test_changed_scores_fail_at_every_rate(harm: Callable[[Floats], Floats], rate: float) -> None:
    ends = [rollout(seed, rate, harm) for seed in range(12)]
    assert [judged(evidence).outcome for evidence, _ in ends] == ["fail"] * 12
    assert max(evidence.scores.n1 for evidence, _ in ends) < 1200


def test_identical_canaries_pass_and_fail_in_at_most_one_percent() -> None:
    outcomes = [judged(rollout(seed, 40.0, same)[0]).outcome for seed in range(200)]
    assert outcomes.count("fail") <= 2
    assert outcomes.count("pass") >= 195


def test_the_looks_keep_the_budget_without_a_floor() -> None:
    """A floor hides false alarms; with none, 20 % over all looks must be kept too."""
    rules = PredictionGateRules(floor=1e-9, alpha=0.2)
    failed = [rollout(1000 + seed, 40.0, same, rules)[0].failed for seed in range(100)]
    assert sum(failed) <= 27  # 20 and two standard deviations


def test_a_small_improvement_below_the_floor_never_fails() -> None:
    def nudged(champion: Floats) -> Floats:
        return 0.75 * champion + 0.25 * np.roll(champion, 1)

    assert not any(rollout(seed, 400.0, nudged)[0].failed for seed in range(5))


def test_pooling_over_weights_is_no_difference() -> None:
    """The canary gets 1 % while scores are low and half while they are high."""
    matched, pooled = Matched(), {CANARY: np.zeros(81), CHAMPION: np.zeros(81)}
    for mean, canary, champion in ((-2.0, 100, 9900), (1.0, 5000, 5000)):
        counts = {
            CANARY: np.rint(shares(mean) * canary * 1000).astype(int),
            CHAMPION: np.rint(shares(mean) * champion * 1000).astype(int),
        }
        matched = add_stratum(
            matched,
            (BUCKETS.tolist(), (counts[CANARY].tolist(),)),
            (BUCKETS.tolist(), (counts[CHAMPION].tolist(),)),
        )
        for version, row in counts.items():
            pooled[version] += row
    apart = np.cumsum(pooled[CANARY] / pooled[CANARY].sum())
    apart -= np.cumsum(pooled[CHAMPION] / pooled[CHAMPION].sum())
    assert np.max(np.abs(apart)) > 0.4
    assert distance(matched) < 0.001


def test_a_second_delivery_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    delivered = record(1, {v: rng.multinomial(50, shares(0.0)) for v in (CANARY, CHAMPION)})
    args = {"canary": CANARY, "champion": CHAMPION, "rules": RULES}
    evidence = add_scores(PredictionEvidence(), delivered, **args)  # type: ignore[arg-type]
    assert add_scores(evidence, delivered, **args) == evidence  # type: ignore[arg-type]


def test_without_predictions_it_is_insufficient_and_a_soft_gate_does_not_hold() -> None:
    result = judged(PredictionEvidence())
    assert (result.outcome, result.holds, result.missing) == ("insufficient", False, 1000)
    critical = PredictionGateRules(mode="critical")
    result = judge_predictions(PredictionEvidence(), next_weight=100, rules=critical)
    assert (result.outcome, result.holds) == ("insufficient", True)


def test_predictions_of_one_arm_only_are_no_evidence() -> None:
    rng = np.random.default_rng(0)
    alone = record(1, {CANARY: rng.multinomial(5000, shares(0.0))})
    evidence = add_scores(
        PredictionEvidence(), alone, canary=CANARY, champion=CHAMPION, rules=RULES
    )
    assert judged(evidence).outcome == "insufficient"


def test_early_steps_need_fewer_predictions() -> None:
    evidence, _ = rollout(3, 20.0, same)
    early = add_scores(
        PredictionEvidence(),
        record(0, {v: np.rint(shares(0.0) * 100).astype(int) for v in (CANARY, CHAMPION)}),
        canary=CANARY,
        champion=CHAMPION,
        rules=RULES,
    )
    assert judged(evidence).outcome == "pass"
    assert judged(early, next_weight=5).outcome == "pass"
    assert judged(early, next_weight=100).outcome == "insufficient"
    assert needed_predictions(7) == 100
