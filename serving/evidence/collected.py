"""All evidence of one rollout: what is added to it, and the results of its gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from msgspec.structs import replace

from serving.evidence.labels import judge_by_labels
from serving.evidence.predictions import PredictionEvidence, add_scores, judge_predictions
from serving.evidence.quality import QualityEvidence, add_verdict, judge_realised
from serving.evidence.queries import QueryEvidence, judge_queries
from serving.evidence.rules import NO_LIMIT, SLICE_GATES, EvidenceRules
from serving.evidence.slice_results import judge_slice_quality, judge_slice_scores
from serving.evidence.slices import (
    SliceEvidence,
    add_slice_scores,
    add_slice_verdict,
)
from streaming.contracts.base import Value
from streaming.contracts.records import (
    AnyRecord,
    GateResult,
    ModelVersion,
    PredictionScores,
    QualityVerdict,
)


class RolloutEvidence(Value, frozen=True, kw_only=True):
    """The evidence of one rollout besides its request counts."""

    predictions: PredictionEvidence = PredictionEvidence()
    quality: QualityEvidence = QualityEvidence()
    queries: tuple[QueryEvidence, ...] = ()
    """One entry for each gate with a query that was looked at."""
    slices: tuple[SliceEvidence, ...] = ()
    """The scores and outcomes of each slice; empty where none is judged by them."""


_LARGEST_LIMIT = 0.9
"""A tolerated distance above it leaves too little room to tell harm from what was expected."""
_EXPECTED_SLICES = ("", "after_shift:1")
"""Slices of the evaluation that may say how the scores differ now: all rows, and those since the
shift that the retrain answered."""


def rules_for(candidate: ModelVersion, rules: EvidenceRules) -> EvidenceRules:
    """The rules for one candidate: what its evaluation found is no surprise.

    A version that was trained on new data is meant to score otherwise than the champion. Its
    evaluation compared their scores on the same rows; the floor begins at that distance. In a slice
    it begins at the largest one that the evaluation found in any of its own slices. Where hardly
    any room is left above it, distances have no limit: a shift that broke the champion wholly sets
    the scores of any version that works wholly apart from it, and only labels can judge them.
    """
    expected = max(
        (
            metric.value
            for metric in candidate.evaluation
            if metric.name == "score_distance" and metric.slice in _EXPECTED_SLICES
        ),
        default=0.0,
    )
    anywhere = max(
        (metric.value for metric in candidate.evaluation if metric.name == "score_distance"),
        default=0.0,
    )
    floor = _tolerated(rules.predictions.floor, expected)
    in_slices = _tolerated(rules.slices.scores, anywhere)
    return dataclasses.replace(
        rules,
        predictions=dataclasses.replace(rules.predictions, floor=floor),
        slices=dataclasses.replace(rules.slices, scores=in_slices),
    )


def _tolerated(floor: float, expected: float) -> float:
    """The tolerated distance where the evaluation found this one.

    >>> _tolerated(0.1, 0.5), _tolerated(0.1, 0.85), _tolerated(0.95, 0.0)
    (0.6, 0.99, 0.95)
    """
    tolerated = floor + expected
    return NO_LIMIT if expected > 0 and tolerated > _LARGEST_LIMIT else tolerated


def add_record(
    evidence: RolloutEvidence,
    record: AnyRecord,
    *,
    canary: int,
    champion: int,
    rules: EvidenceRules,
) -> RolloutEvidence:
    """Add what a record says about canary and champion; other records change nothing."""
    if not champion or not rules.measured:
        return evidence
    slices, judged = evidence.slices, bool(rules.slices.values)
    if isinstance(record, PredictionScores):
        predictions = add_scores(
            evidence.predictions, record, canary=canary, champion=champion, rules=rules.of_all[0]
        )
        if judged and predictions is not evidence.predictions:
            slices = add_slice_scores(slices, record, canary=canary, champion=champion, rules=rules)
        return replace(evidence, predictions=predictions, slices=slices)
    if isinstance(record, QualityVerdict):
        quality = add_verdict(
            evidence.quality, record, canary=canary, champion=champion, rules=rules.of_all[1]
        )
        if judged and quality is not evidence.quality:
            slices = add_slice_verdict(
                slices, record, canary=canary, champion=champion, rules=rules
            )
        return replace(evidence, quality=quality, slices=slices)
    return evidence


def judge_evidence(
    evidence: RolloutEvidence, *, next_weight: int, rules: EvidenceRules
) -> tuple[GateResult, ...]:
    """The results of all gates, also of those that decide nothing (`deciding`)."""
    measured: tuple[GateResult, ...] = ()
    if rules.measured:
        of_scores, of_quality = rules.of_all
        measured = (
            judge_predictions(evidence.predictions, next_weight=next_weight, rules=of_scores)
            if of_scores.has_limit
            else judge_by_labels(
                evidence.predictions, evidence.quality, next_weight=next_weight, rules=of_scores
            ),
            judge_realised(evidence.quality, rules=of_quality),
        )
    if rules.measured and rules.slices.values:
        measured += (
            judge_slice_scores(
                evidence.slices, evidence.predictions, next_weight=next_weight, rules=rules
            ),
            judge_slice_quality(evidence.slices, evidence.quality, rules=rules),
        )
    return (*measured, *judge_queries(evidence.queries, rules=rules))


def deciding(gates: Sequence[GateResult]) -> tuple[GateResult, ...]:
    """The gates whose outcome counts: no dry-run, and of the rest what holds or was decided."""
    return tuple(
        gate
        for gate in gates
        if gate.mode != "dry-run" and (gate.holds or gate.outcome in ("pass", "fail"))
    )


def failing(evidence: RolloutEvidence, *, rules: EvidenceRules) -> tuple[GateResult, ...]:
    """The gates that fail on scores and labels: they may come after the promotion."""
    gates = judge_evidence(evidence, next_weight=100, rules=rules)
    late = [gate for gate in gates if gate.gate in ("predictions", "quality", *SLICE_GATES)]
    return tuple(gate for gate in deciding(late) if gate.outcome == "fail")
