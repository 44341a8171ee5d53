"""The gate on the scores where no distance can speak against the canary: the labels decide.

A shift that breaks the champion wholly sets the scores of every version that works wholly apart
from the champion's; the evaluation found that on the same rows. A flipped head would be as far away
from it. What tells them apart are labels: the paired comparison asked them before the first
request, and the realised quality asks them during the rollout.
"""

from __future__ import annotations

from serving.evidence.predictions import PredictionEvidence, scores_result
from serving.evidence.quality import QualityEvidence
from serving.evidence.rules import PredictionGateRules
from streaming.contracts.records import GateOutcome, GateResult

_APART = (
    "The evaluation found the scores of both versions so far apart on the same rows that no "
    "distance of live ones can speak against the canary"
)


def judge_by_labels(
    evidence: PredictionEvidence,
    quality: QualityEvidence,
    *,
    next_weight: int,
    rules: PredictionGateRules,
) -> GateResult:
    """The gate's result by the realised quality of the same versions.

    It passes once the labels exclude a loss, and never fails: a proven loss fails the gate on
    quality. In between it is insufficient. That holds a soft gate before the promotion only, and
    only if labels come at all.
    """
    outcome: GateOutcome = "pass" if quality.passed else "insufficient"
    labels = quality.outcomes.n1
    waits = rules.mode == "soft" and next_weight == 100 and labels > 0
    reason = f"{_APART}; {labels} labels have not confirmed it yet."
    if quality.passed:
        reason = f"{_APART}; {labels} labels exclude that it is worse."
    elif not labels:
        reason = f"{_APART}, and no labels of both versions have come yet."
    return scores_result(
        evidence, outcome, 0, reason, rules.mode == "critical" or waits, rules=rules
    )
