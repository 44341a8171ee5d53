"""What a paired comparison means for a rollout: when it is settled, its record and its gate."""

from __future__ import annotations

from serving.paired import not_compared
from serving.shadow_rules import ShadowRules
from serving.state import Rollout
from streaming.contracts.codec import with_text_id
from streaming.contracts.records import (
    AnswerComparison,
    GateResult,
    GateSample,
    PairedComparison,
)


def settled(
    newest: PairedComparison | None, *, waited: float, rules: ShadowRules
) -> PairedComparison | None:
    """The comparison that decides; None while another one may still bring a pass or a fail.

    Parameters
    ----------
    newest:
        The newest comparison, None before the first one has ended.
    waited:
        Seconds since the rollout waits for it.
    """
    if newest is not None and newest.outcome in ("pass", "fail"):
        return newest
    if waited < rules.deadline_seconds:
        return None
    missing = f"The answers were not compared within {rules.deadline_seconds:.0f} s."
    return newest if newest is not None else not_compared(missing)


def comparison_record(
    rollout: Rollout, comparison: PairedComparison, *, model: str, now: float
) -> AnswerComparison:
    """The record of a settled comparison, once for each time that the rollout waits for one."""
    record = AnswerComparison(
        record_id="",
        model=model,
        at=now,
        caused_by=rollout.caused_by[:1],
        version=rollout.candidate.version,
        champion=rollout.champion,
        rollout_id=rollout.rollout_id,
        comparison=comparison,
    )
    return with_text_id(record, "answer-comparison")


def paired_gate(comparison: PairedComparison, rules: ShadowRules) -> GateResult:
    """The comparison as a gate of the verdict before the first weight."""
    statistics = comparison.statistics
    samples = []
    if statistics is not None:
        samples.append(GateSample(name="agreement", value=statistics.agreement))
        if statistics.spearman is not None:
            samples.append(GateSample(name="rank_correlation", value=statistics.spearman))
    return GateResult(
        gate="paired",
        outcome=comparison.outcome,
        reason=comparison.reason,
        query="answers of champion and canary to the same recent requests, in pairs",
        n=comparison.rows,
        limit=rules.rank_correlation,
        samples=tuple(samples),
    )
