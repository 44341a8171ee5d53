"""What a verdict says before its labels are mature, and in words what an estimate assumes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import msgspec

from streaming.contracts.ids import digest
from streaming.contracts.records import ALARMED, DriftOutcome, DriftVerdict
from streaming.quality.counts import Counts
from streaming.quality.estimate import Estimate
from streaming.quality.scores import ScoreDriftState
from streaming.quality.settings import QualityRules
from streaming.quality.tasks import quality_of
from streaming.quality.verdict import Judgement, recorded_metrics
from streaming.quality.version_baseline import VersionBaseline

_SEVERITY: tuple[DriftOutcome, ...] = ("drifted", "suspected", "inconclusive", "stable")
"""Drift outcomes, the worst first."""


def estimated_quality(
    baseline: VersionBaseline,
    counts: Counts,
    latest_inputs: DriftOutcome | Literal[""],
    rules: QualityRules,
) -> Estimate:
    """The quality that the scores of a window suggest, by the version's mature labels so far.

    Parameters
    ----------
    latest_inputs:
        Outcome of the newest drift verdict that is known; the inputs may have moved since.
    """
    ready = baseline.baseline_batches >= rules.min_baseline_batches
    estimated = quality_of(rules.task).estimated(
        counts, baseline.counts if ready else None, contradicted=baseline.contradicted
    )
    if not estimated.violation and latest_inputs in ALARMED:
        return replace(estimated, violation="the inputs have moved")
    return estimated


def state_digest(baseline: VersionBaseline, scores: ScoreDriftState | None) -> str:
    """Digest of what is remembered of a version, 24 hex digits; empty states have one too."""
    remembered = (
        _plain(baseline.counts),
        baseline.baseline_batches,
        _plain(baseline.pending),
        baseline.pending_since,
        baseline.pending_inputs,
        [(b.start, b.end, sorted(b.hits), b.inputs) for b in baseline.batches],
        None if scores is None else (_plain(scores.baseline), scores.history),
    )
    return digest(msgspec.json.encode(remembered, order="deterministic"))[:24]


def _plain(counts: Counts) -> list[Any]:
    columns = (counts.buckets, counts.served, counts.positives, counts.negatives)
    histograms = [
        [name, ids.tolist(), rows.tolist()]
        for name, (ids, rows) in sorted(counts.histograms.items())
    ]
    return [*(column.tolist() for column in columns), *histograms]


def provisional(
    start: float,
    counts: Counts,
    estimated: Estimate,
    live: bool,
    age: float,
    rules: QualityRules,
) -> Judgement:
    """The judgement before the labels are mature: the estimate, and the labels so far."""
    task = quality_of(rules.task)
    share = counts.labelled / counts.predictions
    labelled = f"{share:.0%} of the predictions have a label {age:.0f} s after the window"
    shown = next((m for m in estimated.metrics if m.name in task.names), None)
    estimate_text = "no estimate"
    if shown is not None:
        estimate_text = f"estimated {task.names[shown.name]} {shown.value:.3f}"
    if estimated.violation:
        invalid = "" if shown is None else "invalid: "
        estimate_text += f" ({invalid}{estimated.violation})"
    not_live = "" if live else " Not the live version."
    return Judgement(
        outcome="inconclusive",
        reason=f"Provisional: {labelled}; {estimate_text}.{not_live}",
        since=start,
        metrics=recorded_metrics(task, task.measured(counts)),
    )


def worst_outcome(verdicts: tuple[DriftVerdict, ...]) -> DriftOutcome | Literal[""]:
    outcomes = {verdict.outcome for verdict in verdicts}
    for outcome in _SEVERITY:
        if outcome in outcomes:
            return outcome
    return ""


def assumption_of(estimated: Estimate) -> str:
    if not estimated.assumption:
        return f"Not estimated for this task: {estimated.violation}."
    if not estimated.violation:
        return estimated.assumption
    return f"{estimated.assumption} It cannot be relied on: {estimated.violation}."
