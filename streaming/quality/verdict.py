"""The quality verdict on a window: outcome, reason and evidence, computed from values alone.

Mature windows are gathered into batches of enough labels. The first batches of a version whose
inputs are stable form its baseline; later batches are compared with it (`compare`). Exceedances in
3 of 5 batches are `degraded`, a large one in a single batch is `suspected`. What cannot be judged
is `inconclusive`, never `stable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace as replace_struct

from streaming.contracts.drift_records import DriftOutcome
from streaming.contracts.quality_records import (
    QualityCause,
    QualityMetric,
    QualityOutcome,
)
from streaming.quality.compare import Comparison, compare
from streaming.quality.counts import Counts
from streaming.quality.measures import Measure
from streaming.quality.settings import QualityRules
from streaming.quality.tasks import quality_of
from streaming.quality.tasks.strategy import TaskQuality
from streaming.quality.version_baseline import (
    JudgedBatch,
    VersionBaseline,
    cause_of,
    inputs_of,
)

_CAUSES: dict[QualityCause, str] = {
    "concept": "The inputs are stable, so their relation to the labels has changed "
    "(concept drift).",
    "inputs": "The inputs drifted too and explain it; input drift has its own retrain trigger.",
    "unknown": "The inputs could not be judged, so the cause is unknown.",
    "": "",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatureWindow:
    """The predictions of one version in a window whose labels are mature."""

    version: int
    live: bool
    """Whether the version was live throughout the window."""
    start: float
    end: float
    counts: Counts
    expected: float
    """Number of labels that should have arrived by now."""
    inputs: DriftOutcome | str
    """The worst drift outcome of the window; empty when there was no drift verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Outcome, reason and evidence of a verdict."""

    outcome: QualityOutcome
    reason: str
    since: float
    """Start of the batch."""
    metrics: tuple[QualityMetric, ...] = ()
    cause: QualityCause = ""
    shift_start: float = 0.0
    """When degraded: end of the first batch beyond the limit, else 0."""


def judge_quality(
    window: MatureWindow, baseline: VersionBaseline, rules: QualityRules
) -> tuple[Judgement, VersionBaseline]:
    """Judge a window, and return the state for the next window of this version.

    Windows must come in order of time, each once. The same arguments give the same judgement.
    """
    task = quality_of(rules.task)
    window_metrics = recorded_metrics(task, task.measured(window.counts))
    reason = _not_judged(window, rules)
    if reason:
        return _inconclusive(reason, window.start, window_metrics), baseline
    baseline = baseline.with_window(window.start, window.counts, window.inputs)
    since = window.start if baseline.pending_since is None else baseline.pending_since
    measures = task.measured(baseline.pending)
    reason = task.too_few(baseline.pending, rules)
    if reason:
        return _inconclusive(reason, since, recorded_metrics(task, measures)), baseline
    inputs = inputs_of(baseline.pending_inputs)
    if baseline.baseline_batches < rules.min_baseline_batches:
        if inputs == "moved":
            reason = "No baseline yet: windows whose inputs moved are not used for one."
        else:
            baseline = baseline.with_baseline_batch()
            reason = (
                f"Batch {baseline.baseline_batches} of {rules.min_baseline_batches} for the "
                f"baseline of version {window.version}."
            )
        metrics = recorded_metrics(task, measures)
        return _inconclusive(reason, since, metrics), baseline.without_pending()
    comparisons = compare(
        baseline.pending, baseline.counts, seconds=window.end - since, rules=rules
    )
    hits = frozenset(c.metric.name for c in comparisons if c.sustained)
    batch = JudgedBatch(start=since, end=window.end, hits=hits, inputs=inputs)
    baseline = baseline.with_batch(batch, rules.of)
    judgement = _conclude(comparisons, measures, baseline, since, rules)
    if judgement.outcome == "stable" and not hits and inputs != "moved":
        baseline = _extended(baseline, rules)
    return judgement, baseline.without_pending()


def recorded_metrics(
    task: TaskQuality,
    measures: Mapping[str, Measure],
    compared: Mapping[str, QualityMetric] | None = None,
) -> tuple[QualityMetric, ...]:
    """The measures as parts of a record, in a fixed order; the compared ones with their limit."""
    compared = compared or {}
    return tuple(
        compared.get(name) or measures[name].metric()
        for name in task.recorded
        if name in measures or name in compared
    )


def _not_judged(window: MatureWindow, rules: QualityRules) -> str:
    """Why a window is left out of the batch; empty when it is not."""
    if not window.live:
        return f"Version {window.version} was not live throughout the window: measured, not judged."
    labelled = window.counts.labelled
    if labelled < rules.min_expected_share * window.expected:
        return (
            f"{labelled} labels arrived where about {window.expected:.0f} were expected: labels "
            "are missing, and those that arrived may be a biased selection."
        )
    return ""


def _conclude(
    comparisons: tuple[Comparison, ...],
    measures: Mapping[str, Measure],
    baseline: VersionBaseline,
    since: float,
    rules: QualityRules,
) -> Judgement:
    compared = {
        c.metric.name: replace_struct(c.metric, hits=len(baseline.hits(c.metric.name)))
        for c in comparisons
    }
    task = quality_of(rules.task)
    metrics = recorded_metrics(task, measures, compared)
    sustained = [c for c in comparisons if compared[c.metric.name].hits >= rules.sustained]
    if sustained:
        worst = sustained[0]
        hits = baseline.hits(worst.metric.name)
        cause = cause_of(hits, rules)
        return Judgement(
            outcome="degraded",
            cause=cause,
            reason=f"{_describe(worst, task)}, beyond its limit in {len(hits)} of the last "
            f"{len(baseline.batches)} batches. {_CAUSES[cause]}",
            since=since,
            metrics=metrics,
            shift_start=hits[0].end,
        )
    single = [c for c in comparisons if c.single]
    if single:
        reason = f"{_describe(single[0], task)}, far beyond its limit in this batch."
        return Judgement(outcome="suspected", reason=reason, since=since, metrics=metrics)
    if not comparisons:
        return Judgement(outcome="inconclusive", reason="Nothing could be measured.", since=since)
    first = comparisons[0]
    reason = f"{_describe(first, task)}: within the limit of {first.metric.limit:.3f}."
    return Judgement(outcome="stable", reason=reason, since=since, metrics=metrics)


def _describe(comparison: Comparison, task: TaskQuality) -> str:
    metric = comparison.metric
    assert metric.baseline is not None
    name = task.names[metric.name]
    return f"{name} is {metric.value:.3f} (baseline {metric.baseline:.3f})"


def _extended(baseline: VersionBaseline, rules: QualityRules) -> VersionBaseline:
    """The baseline with the pending batch added, unless it is full or a latest batch has a hit."""
    is_full = baseline.baseline_batches >= rules.max_baseline_batches
    if is_full or any(batch.hits for batch in baseline.batches):
        return baseline
    return baseline.with_baseline_batch()


def _inconclusive(reason: str, since: float, metrics: tuple[QualityMetric, ...]) -> Judgement:
    return Judgement(outcome="inconclusive", reason=reason, since=since, metrics=metrics)
