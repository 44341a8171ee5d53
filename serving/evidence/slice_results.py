"""The results of the gates on scores and quality in slices, from their evidence (`slices`).

A slice holds a soft gate on quality where its labels would have let a canary without any loss pass,
so that many small slices do not wait for one another's labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from serving.evidence.looks import spent
from serving.evidence.predictions import (
    CHANCE,
    FIRST_LOOK,
    PredictionEvidence,
    needed_predictions,
)
from serving.evidence.quality import NAMES, QualityEvidence, missing_labels
from serving.evidence.rules import EvidenceRules, PredictionGateRules, QualityGateRules
from serving.evidence.slices import SliceEvidence, named
from streaming.contracts.records import (
    GateMode,
    GateOutcome,
    GateResult,
    GateSample,
    SliceResult,
)

NEEDED_IN_SLICE = ((10, 0), (25, 10), (50, 20), (100, 30))
"""Predictions of a slice per arm that a pass needs before the canary's next weight. A flipped head
has failed by then."""
LENGTHENED = 5.0
"""A slice holds a gate where it has what it needs before all predictions together have this
multiple of what they need: about as many as a rollout brings in its planned time."""
FOUND = 1.28
"""Standard errors above the limit from which nine in ten rollouts find a harm."""
SHOWN = 5
"""A reason names at most this many slices; the record has all of them."""
_WHERE = "predictions of the applications by the field rollout.slices.field"


def judge_slice_scores(
    slices: Sequence[SliceEvidence],
    everything: PredictionEvidence,
    *,
    next_weight: int,
    rules: EvidenceRules,
) -> GateResult:
    """The gate on the scores of the slices; `everything` is the evidence of all predictions."""
    mine, needed = rules.of_slice[0], needed_in_slice(next_weight)
    if not mine.has_limit:
        return _without_limit(mine)
    total = everything.scores.n1 + everything.scores.n0
    parts = tuple(_scores_part(part, total, mine, next_weight) for part in named(slices, rules))
    return _gate(
        "predictions_by_slice",
        parts,
        limit=mine.floor,
        mode=mine.mode,
        any_data=total > 0,
        words=_Words(
            harmed=lambda part: (
                f"In slice {part.name} the scores' distributions differ by {part.value:.3f} "
                f"(Kolmogorov-Smirnov), more than chance and the {mine.floor:g} tolerated"
            ),
            lacking=lambda part: (
                f"Slice {part.name}: about {part.missing} more predictions are needed"
                if part.missing
                else f"Slice {part.name}: its scores' distributions differ by {part.value:.3f}, "
                "which is not proven but more than chance explains"
            ),
            passed="No slice has other scores than the champion's.",
            unit="predictions",
            smallest=lambda part: f"smallest distance found {part.smallest_harm:.2g}",
        ),
        samples=(GateSample(name="needed", value=float(needed)),),
    )


def _without_limit(rules: PredictionGateRules) -> GateResult:
    """The result of a gate that cannot fail: insufficient, and it holds nothing."""
    return GateResult(
        gate="predictions_by_slice",
        outcome="insufficient",
        reason=(
            "The evaluation found slices in which the scores of both versions lie so far apart "
            "that no distance can speak against the canary; the labels judge the slices."
        ),
        query=f"By slice: {_WHERE}",
        n=0,
        limit=rules.floor,
        samples=(),
        mode=rules.mode,
        holds=False,
    )


def judge_slice_quality(
    slices: Sequence[SliceEvidence], everything: QualityEvidence, *, rules: EvidenceRules
) -> GateResult:
    """The gate on the realised quality of the slices; `everything` has all labels."""
    mine, name = rules.of_slice[1], NAMES[rules.quality.measure]
    labels = everything.outcomes.n1 + everything.outcomes.n0
    planned = everything.outcomes.n1 + missing_labels(everything, rules.of_all[1])
    parts = tuple(
        _quality_part(part.name, part.quality, labels, planned, mine)
        for part in named(slices, rules)
    )
    return _gate(
        "quality_by_slice",
        parts,
        limit=mine.margin,
        mode=mine.mode,
        any_data=labels > 0,
        words=_Words(
            harmed=lambda part: (
                f"In slice {part.name} the canary is worse than the champion by {part.value:.3f} "
                f"({name})"
            ),
            lacking=lambda part: (
                f"Slice {part.name}: about {part.missing} more labels are needed to exclude a loss "
                f"of {mine.margin:g} ({name})"
            ),
            passed=f"No slice loses {mine.margin:g} ({name}).",
            unit="labels",
            smallest=lambda part: f"smallest loss found {part.smallest_harm:.2g}",
        ),
        samples=(),
    )


def needed_in_slice(next_weight: int) -> int:
    """Predictions of a slice per arm that a pass needs before this weight of the canary.

    >>> [needed_in_slice(weight) for weight in (5, 25, 30, 100)]
    [0, 10, 20, 30]
    """
    return next(needed for weight, needed in NEEDED_IN_SLICE if next_weight <= weight)


def smallest_distance(rules: PredictionGateRules, effective: float) -> float:
    """The smallest distance of the scores that nine in ten rollouts find; 1 = not even the largest.

    Parameters
    ----------
    rules:
        The gate in one slice.
    effective:
        Half of the slice's predictions per arm, where both arms have as many.
    """
    if effective < FIRST_LOOK:
        return 1.0
    alpha = spent(rules.alpha, 1 + math.floor(math.log(effective / FIRST_LOOK) / math.log(1.25)))
    proven = math.sqrt((1.0 - math.log(alpha)) / (2.0 * effective))
    # a share of one half has the largest standard error
    return min(1.0, max(rules.floor, proven) + FOUND * 0.5 / math.sqrt(effective))


def _scores_part(
    part: SliceEvidence, total: int, rules: PredictionGateRules, next_weight: int
) -> SliceResult:
    evidence, needed = part.predictions, needed_in_slice(next_weight)
    scores = evidence.scores
    share = min(1.0, part.answered / total) if total else 0.0
    # where the step has nothing to show, whether the slice will be judged at the last one
    at = next_weight if needed else 100
    large = LENGTHENED * share * needed_predictions(at) >= needed_in_slice(at)
    missing = max(0, math.ceil(needed - 2.0 * evidence.scores.effective)) if large else 0
    worst = max(evidence.distance, evidence.class_distance)
    chance = CHANCE / math.sqrt(evidence.effective) if evidence.effective else 1.0
    outcome: GateOutcome = "pass"
    if evidence.failed:
        outcome = "fail"
    elif missing or not large or (needed and worst >= max(rules.floor, chance)):
        outcome = "insufficient"
    return SliceResult(
        name=part.name,
        outcome=outcome,
        requests=scores.n1,
        bad=0,
        requests_beside=scores.n0,
        bad_beside=0,
        share=round(share, 6),
        smallest_harm=round(smallest_distance(rules, evidence.scores.effective), 4),
        missing=missing,
        holds=large,
        value=worst,
    )


def _quality_part(
    name: str, evidence: QualityEvidence, total: int, planned: int, rules: QualityGateRules
) -> SliceResult:
    outcomes = evidence.outcomes
    share = (outcomes.n1 + outcomes.n0) / total if total else 0.0
    missing = 0 if evidence.passed else missing_labels(evidence, rules)
    large = share > 0 and LENGTHENED * share * planned >= outcomes.n1 + missing
    smallest, shown = 1.0, False
    if evidence.look:
        # a canary without any loss would have passed by now
        shown = -float(ndtri(spent(rules.alpha_pass, evidence.look))) * evidence.error <= (
            rules.margin / 2.0
        )
        width = -float(ndtri(spent(rules.alpha_fail, evidence.look)))
        smallest = min(1.0, max(rules.margin / 2.0, (width + FOUND) * evidence.error))
    outcome: GateOutcome = "insufficient"
    if evidence.failed:
        outcome = "fail"
    elif evidence.passed and large:
        outcome = "pass"
    return SliceResult(
        name=name,
        outcome=outcome,
        requests=outcomes.n1,
        bad=0,
        requests_beside=outcomes.n0,
        bad_beside=0,
        share=round(share, 6),
        smallest_harm=round(smallest, 4),
        missing=missing if large else 0,
        holds=large and (rules.mode == "critical" or shown),
        value=evidence.loss,
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """What one of the gates says."""

    harmed: Callable[[SliceResult], str]
    lacking: Callable[[SliceResult], str]
    passed: str
    unit: str
    smallest: Callable[[SliceResult], str]


def _gate(
    name: str,
    parts: tuple[SliceResult, ...],
    *,
    limit: float,
    mode: GateMode,
    any_data: bool,
    words: _Words,
    samples: tuple[GateSample, ...],
) -> GateResult:
    """The gate's result from those of the slices."""
    failed = [part for part in parts if part.outcome == "fail"]
    waiting = [part for part in parts if part.holds and part.outcome == "insufficient"]
    seen = sum(part.requests for part in parts)
    outcome: GateOutcome = "pass"
    if failed:
        outcome = "fail"
        worst = max(failed, key=lambda part: part.value or 0.0)
        reason = f"{words.harmed(worst)}; {_counts(worst, words.unit)}."
    elif not seen:
        outcome = "insufficient"
        reason = f"No {words.unit} of the canary came from a named slice" + (
            f": do the {_WHERE} name them?" if any_data else " yet."
        )
    elif waiting:
        outcome = "insufficient"
        worst = max(waiting, key=lambda part: part.missing)
        reason = f"{words.lacking(worst)} ({_counts(worst, words.unit)})."
    else:
        reason = words.passed + _small(parts, words)
    return GateResult(
        gate=name,
        outcome=outcome,
        reason=reason,
        query=f"By slice: {_WHERE}",
        n=sum(part.requests + part.requests_beside for part in parts),
        limit=limit,
        samples=(GateSample(name="slices", value=float(len(parts))), *samples),
        missing=max((part.missing for part in waiting), default=0),
        mode=mode,
        holds=mode == "critical" or (mode == "soft" and bool(waiting)),
        slices=parts,
    )


def _counts(part: SliceResult, unit: str) -> str:
    return f"{part.requests} {unit} of the canary, {part.requests_beside} of the champion"


def _small(parts: Sequence[SliceResult], words: _Words) -> str:
    """The slices with too little data, as a further sentence."""
    small = [part for part in parts if part.outcome == "insufficient"]
    if not small:
        return ""
    shown = "; ".join(
        f"{part.name} ({part.requests} against {part.requests_beside}"
        + (f"; {words.smallest(part)})" if part.smallest_harm < 1 else "; nothing is found)")
        for part in small[:SHOWN]
    )
    more = f"; and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
    return f" Too few {words.unit} to judge: {shown}{more}."
