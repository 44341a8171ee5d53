"""The gate on realised quality: canary against champion on the windows whose labels are mature.

The realised quality verdicts carry the counts of predictions and outcomes of every version of a
window (of other tasks than binary ones, of the losses), so both versions of a window are compared
once its labels are mature. The windows are strata, in which the champion is matched to the canary
(`matched`). The interval of the difference is normal, with the variances of `measures`, at looks
whose error probabilities add up to α (`looks`).
"""

from __future__ import annotations

import math

import numpy as np
from msgspec.structs import replace
from scipy.special import ndtri

from serving.evidence.looks import look_number, spent
from serving.evidence.matched import Matched, add_stratum
from serving.evidence.measures import LOSS, both_measured
from serving.evidence.rules import QualityGateRules, QualityMeasure
from streaming.contracts.base import Value
from streaming.contracts.records import (
    GateOutcome,
    GateResult,
    GateSample,
    QualityVerdict,
    ScoreCounts,
)

MIN_OF_CLASS = 20
"""Labels of either class that each version needs; the normal interval is too narrow with fewer."""
NAMES: dict[QualityMeasure, str] = {
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "brier",
    "loss": "bounded loss",
}
MEASUREMENT = (
    "Scores and labels by version and window: realised records of the topic quality-verdicts"
)
_WAITING = 2
"""Windows that wait for their other version: the label service writes all versions of a window
together."""
_REMEMBERED = 64


class WaitingWindow(Value, frozen=True, kw_only=True):
    """The counts of one version of a window whose other version has not come yet."""

    version: int
    window_start: float
    counts: ScoreCounts


class QualityEvidence(Value, frozen=True, kw_only=True):
    """The labelled predictions of one rollout."""

    outcomes: Matched = Matched()
    """Row 0 has the positive labels, row 1 the negative ones; with the measure ``loss`` one row has
    all labels, by bucket of the loss."""
    waiting: tuple[WaitingWindow, ...] = ()
    seen: tuple[str, ...] = ()
    """Ids of the latest records."""
    look: int = 0
    """Number of the latest look."""
    loss: float = 0.0
    """How much worse the canary was at the latest look, in units of the measure."""
    error: float = 0.0
    """Standard error of `loss`."""
    canary: float = 0.0
    champion: float = 0.0
    """The measure of either version at the latest look."""
    decided: bool = False
    """Whether there are enough labels: the interval that decides on passing is narrower than the
    margin."""
    failed: bool = False
    """Whether a look proved a loss. It was the last one."""
    passed: bool = False
    """Whether the latest look excludes a loss of the margin."""


def add_verdict(
    evidence: QualityEvidence,
    record: QualityVerdict,
    *,
    canary: int,
    champion: int,
    rules: QualityGateRules,
) -> QualityEvidence:
    """Add a realised verdict's counts, and look if enough labels came since the last look.

    Estimates, other versions and second deliveries change nothing.
    """
    is_ours = record.stage == "realised" and record.version in (canary, champion)
    if not is_ours or record.record_id in evidence.seen or canary == champion:
        return evidence
    evidence = replace(evidence, seen=(*evidence.seen[1 - _REMEMBERED :], record.record_id))
    start = record.window_start
    other = next(
        (w for w in evidence.waiting if w.window_start == start and w.version != record.version),
        None,
    )
    if other is None:
        entry = WaitingWindow(
            version=record.version, window_start=start, counts=_needed(record.counts)
        )
        return replace(evidence, waiting=(*evidence.waiting[1 - _WAITING :], entry))
    by_version = {record.version: record.counts, other.version: other.counts}
    ours, theirs = (_outcomes(by_version[version], rules.measure) for version in (canary, champion))
    return _looked(
        replace(
            evidence,
            outcomes=add_stratum(evidence.outcomes, ours, theirs),
            waiting=tuple(window for window in evidence.waiting if window is not other),
        ),
        rules,
    )


def _needed(counts: ScoreCounts) -> ScoreCounts:
    """The counts without the histograms that no measure of the gate reads."""
    kept = tuple(histogram for histogram in counts.histograms if histogram.name == LOSS)
    return replace(counts, histograms=kept)


def _outcomes(
    counts: ScoreCounts, measure: QualityMeasure
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Buckets, and the labels of each outcome in them."""
    if measure != LOSS:
        return counts.buckets, (counts.positives, counts.negatives)
    losses = next((entry for entry in counts.histograms if entry.name == LOSS), None)
    return ((), ((),)) if losses is None else (losses.ids, (losses.counts,))


def _looked(evidence: QualityEvidence, rules: QualityGateRules) -> QualityEvidence:
    outcomes = evidence.outcomes
    look = look_number(outcomes.effective, rules.min_labels / 2.0)
    if look <= evidence.look or evidence.failed:
        return evidence
    canary = np.asarray(outcomes.canary)
    # The champion's matched counts, scaled to the number of labels that they are worth.
    champion = np.asarray(outcomes.champion) * (outcomes.effective0 / outcomes.n1)
    if min(*canary.sum(axis=1), *champion.sum(axis=1)) < MIN_OF_CLASS:
        return evidence
    both = both_measured(rules.measure, outcomes.buckets, canary, champion)
    if both is None:
        return evidence
    ours, theirs = both
    loss = ours[0] - theirs[0] if rules.measure != "auc" else theirs[0] - ours[0]
    error = math.sqrt(ours[1] + theirs[1])
    fail_width = -float(ndtri(spent(rules.alpha_fail, look))) * error
    pass_width = -float(ndtri(spent(rules.alpha_pass, look))) * error
    return replace(
        evidence,
        look=look,
        loss=round(loss, 6),
        error=round(error, 6),
        canary=round(ours[0], 6),
        champion=round(theirs[0], 6),
        decided=pass_width <= rules.margin,
        failed=loss > fail_width and loss > rules.margin / 2.0,
        passed=loss + pass_width < rules.margin,
    )


def judge_realised(evidence: QualityEvidence, *, rules: QualityGateRules) -> GateResult:
    """The gate's result at the latest look.

    It fails when a loss is proven that is more than half of the margin, and passes when a loss of
    the margin is disproven. In between it is insufficient; a soft gate then holds the rollout only
    if there are enough labels for the margin.
    """
    outcome, reason = _outcome(evidence, rules)
    outcomes = evidence.outcomes
    values = {
        "canary_labels": float(outcomes.n1),
        "champion_labels": float(outcomes.n0),
        "canary": evidence.canary,
        "champion": evidence.champion,
        "loss": evidence.loss,
        "error": evidence.error,
        "look": float(evidence.look),
    }
    return GateResult(
        gate="quality",
        outcome=outcome,
        reason=reason,
        query=MEASUREMENT,
        n=outcomes.n1 + outcomes.n0,
        limit=rules.margin,
        samples=tuple(GateSample(name=name, value=value) for name, value in values.items()),
        missing=missing_labels(evidence, rules) if outcome == "insufficient" else 0,
        mode=rules.mode,
        holds=rules.mode == "critical" or (rules.mode == "soft" and evidence.decided),
    )


def missing_labels(evidence: QualityEvidence, rules: QualityGateRules) -> int:
    """Labelled predictions of the canary that are still missing for an interval of the margin."""
    n1 = evidence.outcomes.n1
    if not evidence.look:
        return max(1, rules.min_labels - n1)
    width = -float(ndtri(spent(rules.alpha_pass, evidence.look + 1))) * evidence.error
    return max(1, math.ceil(n1 * ((width / rules.margin) ** 2 - 1.0)))


def _outcome(evidence: QualityEvidence, rules: QualityGateRules) -> tuple[GateOutcome, str]:
    outcomes, name = evidence.outcomes, NAMES[rules.measure]
    labels = f"{outcomes.n1} labels of the canary, {outcomes.n0} of the champion"
    if not outcomes.n1:
        return "insufficient", "No window has mature labels of both versions yet."
    if not evidence.look:
        return "insufficient", f"Too few labels for a first look ({labels})."
    values = f"{name} {evidence.canary:.4f} against {evidence.champion:.4f}"
    if evidence.failed:
        return "fail", f"The canary is worse than the champion: {values}; {labels}."
    if evidence.passed:
        return "pass", f"No loss of {rules.margin:g}: {values}; {labels}."
    return "insufficient", (
        f"A loss of {rules.margin:g} is neither proven nor disproven: {values}, standard error "
        f"{evidence.error:.4f}; {labels}."
    )
