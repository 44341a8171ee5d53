"""Compares the labels of one batch with the version's baseline, with limits from the budget.

* The task names three measures (`tasks.strategy.TaskQuality.contrasts`). Two count as an exceedance
  when they are worse: of a binary task ``auc`` (ordering) and ``brier`` (a proper score). One does
  when it changes in either direction: ``calibration`` (mean predicted minus observed).
* The sampling error of a batch is new in each batch. The baseline's own error and the between-day
  deviation persist, so they enter as the persistent error of
  `streaming.drift.thresholds.alarm_rules`. That module turns the budget into a limit for
  exceedances in 3 of 5 batches, and into a stricter one for a single batch.
* Two one-sided tests and a two-sided one spend as much of the budget as two two-sided tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from msgspec.structs import replace
from scipy import special

from streaming.contracts.quality_records import QualityMetric
from streaming.contracts.task import BINARY, Task
from streaming.drift.statistics.pvalues import two_sided
from streaming.drift.thresholds.alarm_rules import AlarmRule
from streaming.quality.counts import Counts
from streaming.quality.measures import Measure
from streaming.quality.settings import QualityRules
from streaming.quality.tasks import quality_of
from streaming.quality.tasks.strategy import Contrast

_TESTS = 2
"""Two-sided tests that the three tests count as in the budget: half, half and one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The comparison of one measure with its baseline."""

    metric: QualityMetric
    change: float
    """Change for the worse, in the measure's own units; the signed change where neither side is
    better."""
    sustained: bool
    """Whether the change is beyond the m-of-k rule's limit and the smallest reported change."""
    single: bool
    """Whether the change is beyond the limit of a single batch and the smallest reported change."""


def measured(counts: Counts, task: Task = BINARY) -> dict[str, Measure]:
    """Every measure of labelled counts, by name."""
    return quality_of(task).measured(counts)


def compare(
    batch: Counts, baseline: Counts, *, seconds: float, rules: QualityRules
) -> tuple[Comparison, ...]:
    """The comparisons of the tested measures that both sides have.

    Parameters
    ----------
    batch, baseline:
        Labelled counts of the batch and of the version's baseline.
    seconds:
        Length of the batch; the budget is spread over batches of this length.
    rules:
        Budget and smallest reported changes.
    """
    sustained, single = batch_alarm_rules(rules, seconds)
    contrasts = quality_of(rules.task).contrasts(batch, baseline, rules)
    return tuple(_compare(contrast, sustained, single, rules) for contrast in contrasts)


def batch_alarm_rules(rules: QualityRules, seconds: float) -> tuple[AlarmRule, AlarmRule]:
    """The alarm rule for exceedances in several batches, and that for a single batch."""
    batches = max(1.0, rules.period_seconds / seconds)
    block = max(1.0, min(batches, rules.offset_seconds / seconds))
    alarms = rules.false_alarms * (1.0 - rules.prediction_drift_share)
    return (
        AlarmRule(
            alarms=alarms * (1.0 - rules.single_share),
            windows=batches,
            features=_TESTS,
            block=max(block, rules.of),
            sustained=rules.sustained,
            of=rules.of,
        ),
        AlarmRule(
            alarms=alarms * rules.single_share,
            windows=batches,
            features=_TESTS,
            block=block,
            sustained=1,
            of=1,
        ),
    )


def _compare(
    contrast: Contrast, sustained: AlarmRule, single: AlarmRule, rules: QualityRules
) -> Comparison:
    current, reference = contrast.current, contrast.reference
    higher = contrast.better == "higher"
    value = reference.value
    error = sqrt(max(current.variance, 1e-18))
    logit_scale = 1.0 / max(value * (1.0 - value), 1e-9) if contrast.on_logits else 1.0
    change = value - current.value if higher else current.value - value
    distance = reference.logit - current.logit if contrast.on_logits else change
    variance_ratio = (reference.variance + (rules.day_variation * logit_scale) ** 2) / error**2
    p, critical_p = (
        two_sided(distance / error, variance_ratio),
        sustained.critical_p(variance_ratio),
    )
    worse = contrast.better == "neither" or change > 0.0
    beyond = worse and abs(change) >= contrast.min_change
    critical_change = (
        float(-special.ndtri(critical_p / 2.0)) * sqrt(1.0 + variance_ratio) * error / logit_scale
    )
    critical_change = max(critical_change, contrast.min_change)
    metric = replace(
        current.metric(),
        baseline=value,
        p=p,
        limit=value - critical_change if higher else value + critical_change,
        of=rules.of,
    )
    return Comparison(
        metric=metric,
        change=change,
        sustained=beyond and p <= critical_p,
        single=beyond and p <= single.critical_p(variance_ratio),
    )
