"""The gate on the distribution of the scores: canary against champion in the same minutes.

The test is that of Kolmogorov and Smirnov on the score buckets, stratified by time (`matched`),
valid at every look (`looks`). Its tail bound e · exp(−2 n D²) holds for every size of two equal
samples (Wei & Dudley 2012); equal scores make it
conservative, and so do strata: their difference has a smaller covariance than that of one stratum
of the same effective size (Anderson's inequality). A confidence sequence for distribution functions
(Howard & Ramdas, Bernoulli 28, 2022) is valid at every look too, but twice as wide at these sizes.

Of a multiclass task the scores are the top probabilities, and the shares of the predicted classes
are compared too: the largest difference of one class, with Hoeffding's bound (Journal of the
American Statistical Association 58, 1963) for each class that was predicted. Both comparisons then
have half of the error probability.
"""

from __future__ import annotations

import math

from msgspec.structs import replace

from serving.evidence.looks import look_number, spent
from serving.evidence.matched import Matched, add_stratum, distance, largest_difference
from serving.evidence.rules import PredictionGateRules
from streaming.contracts.base import Value
from streaming.contracts.records import (
    GateOutcome,
    GateResult,
    GateSample,
    PredictionScores,
    VersionScores,
)

FIRST_LOOK = 10.0
"""Effective size of the first look: 20 predictions per arm. A flipped head is found there."""
CHANCE = 1.36
"""5 % point of √n · D: up to a distance of this over √n, chance explains it."""
NEEDED_BY_NEXT_WEIGHT = ((5, 50), (10, 100), (25, 200), (50, 400), (100, 1000))
"""Predictions per arm that a pass needs before the canary's next weight."""
MEASUREMENT = "Scores that the applications got, by version: records of the topic prediction-scores"
_REMEMBERED = 64


class PredictionEvidence(Value, frozen=True, kw_only=True):
    """The scores of one rollout."""

    scores: Matched = Matched()
    look: int = 0
    """Number of the latest look."""
    effective: float = 0.0
    """Effective size at the latest look."""
    distance: float = 0.0
    """Distance at the latest look."""
    critical: float = 1.0
    """Distance that chance exceeds with the probability that the latest look may spend."""
    classes: Matched = Matched()
    """Predictions by class; empty where the task has none."""
    class_distance: float = 0.0
    """Largest difference of a class's share at the latest look."""
    class_critical: float = 1.0
    """Difference that chance exceeds with the probability that the latest look may spend on it."""
    failed: bool = False
    """Whether a look found a difference. It was the last one: data that come later do not take it
    back."""
    seen: tuple[str, ...] = ()
    """Ids of the latest records."""


def add_scores(
    evidence: PredictionEvidence,
    record: PredictionScores,
    *,
    canary: int,
    champion: int,
    rules: PredictionGateRules,
) -> PredictionEvidence:
    """Add a record's scores, and look if enough came since the last look.

    Each slot of the record is a stratum. A second delivery changes nothing.
    """
    if record.record_id in evidence.seen:
        return evidence
    scores, classes = evidence.scores, evidence.classes
    by_slot: dict[float, dict[int, VersionScores]] = {}
    for entry in record.scores:
        by_slot.setdefault(entry.slot, {})[entry.version] = entry
    for _, versions in sorted(by_slot.items()):
        ours, theirs = versions.get(canary), versions.get(champion)
        if ours is not None and theirs is not None:
            scores = add_stratum(
                scores, (ours.buckets, (ours.counts,)), (theirs.buckets, (theirs.counts,))
            )
            classes = add_stratum(
                classes,
                (ours.classes, (ours.class_counts,)),
                (theirs.classes, (theirs.class_counts,)),
            )
    seen = (*evidence.seen[1 - _REMEMBERED :], record.record_id)
    return _looked(replace(evidence, scores=scores, classes=classes, seen=seen), rules)


def _looked(evidence: PredictionEvidence, rules: PredictionGateRules) -> PredictionEvidence:
    effective = evidence.scores.effective
    look = look_number(effective, FIRST_LOOK)
    if look <= evidence.look or evidence.failed:
        return evidence
    number = len(evidence.classes.buckets)
    alpha = spent(rules.alpha, look) / (2.0 if number else 1.0)
    critical = math.sqrt((1.0 - math.log(alpha)) / (2.0 * effective))
    class_critical = math.sqrt(math.log(2.0 * max(number, 1) / alpha) / (2.0 * effective))
    seen, of_class = distance(evidence.scores), largest_difference(evidence.classes)
    return replace(
        evidence,
        look=look,
        effective=effective,
        distance=round(seen, 6),
        critical=round(critical, 6),
        class_distance=round(of_class, 6),
        class_critical=round(class_critical, 6) if number else 1.0,
        failed=rules.has_limit
        and (
            (seen >= critical and seen >= rules.floor)
            or (of_class >= class_critical and of_class >= rules.floor)
        ),
    )


def needed_predictions(next_weight: int) -> int:
    """Predictions per arm that a pass needs before this weight of the canary.

    >>> [needed_predictions(weight) for weight in (1, 5, 10, 30, 100)]
    [50, 50, 100, 400, 1000]
    """
    return next(needed for weight, needed in NEEDED_BY_NEXT_WEIGHT if next_weight <= weight)


def judge_predictions(
    evidence: PredictionEvidence, *, next_weight: int, rules: PredictionGateRules
) -> GateResult:
    """The gate's result at the latest look.

    It fails when the distance is proven and above the floor. It passes when enough predictions came
    and the distance is below the floor, or no larger than chance explains; only the floor counts
    before the promotion, where there are enough predictions.
    """
    holds = rules.mode == "critical" or (rules.mode == "soft" and evidence.scores.n1 > 0)
    return scores_result(evidence, *_outcome(evidence, next_weight, rules), holds, rules=rules)


def scores_result(
    evidence: PredictionEvidence,
    outcome: GateOutcome,
    missing: int,
    reason: str,
    holds: bool,
    *,
    rules: PredictionGateRules,
) -> GateResult:
    """The result of the gate with what was measured at the latest look."""
    scores = evidence.scores
    values = {
        "canary_predictions": scores.n1,
        "champion_predictions": scores.n0,
        "effective": evidence.effective,
        "distance": evidence.distance,
        "critical": evidence.critical,
        "look": evidence.look,
    }
    if evidence.classes.n1:
        values["class_distance"] = evidence.class_distance
        values["class_critical"] = evidence.class_critical
    return GateResult(
        gate="predictions",
        outcome=outcome,
        reason=reason,
        query=MEASUREMENT,
        n=scores.n1 + scores.n0,
        limit=rules.floor,
        samples=tuple(GateSample(name=name, value=float(v)) for name, v in values.items()),
        missing=missing,
        mode=rules.mode,
        holds=holds,
    )


def _outcome(
    evidence: PredictionEvidence, next_weight: int, rules: PredictionGateRules
) -> tuple[GateOutcome, int, str]:
    scores = evidence.scores
    sizes = f"{scores.n1} predictions of the canary, {scores.n0} of the champion"
    if not scores.n1:
        return (
            "insufficient",
            needed_predictions(next_weight),
            (
                "No prediction of the canary came from the applications, or none of the champion "
                "at the same time. Does the label service run, and do they write what they got?"
            ),
        )
    worst = max(evidence.distance, evidence.class_distance)
    difference = f"the scores' distributions differ by {evidence.distance:.3f} (Kolmogorov-Smirnov)"
    critical = evidence.critical
    if evidence.class_distance > evidence.distance:
        difference = f"the share of a predicted class differs by {evidence.class_distance:.3f}"
        critical = evidence.class_critical
    if evidence.failed:
        return (
            "fail",
            0,
            (
                f"In the same minutes {difference}, more than the {critical:.3f} of "
                f"chance and the {rules.floor:g} tolerated; {sizes}."
            ),
        )
    needed = needed_predictions(next_weight)
    missing = max(0, math.ceil(needed - 2.0 * evidence.effective))
    if missing:
        return "insufficient", missing, f"About {missing} more predictions are needed ({sizes})."
    chance = CHANCE / math.sqrt(evidence.effective)
    limit = rules.floor if next_weight == 100 else max(rules.floor, chance)
    if worst >= limit:
        return (
            "insufficient",
            needed,
            (f"So far {difference}, which is not proven but more than {limit:.3f}; {sizes}."),
        )
    return "pass", 0, f"At most {difference}, tolerated are {limit:.3f}; {sizes}."
