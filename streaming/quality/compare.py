"""Compares the labels of one batch with the version's baseline, with limits from the budget.

* ``auc`` (ordering) and ``brier`` (a proper score) count as an exceedance when they are worse;
  ``calibration`` (mean predicted minus observed) when it changes in either direction.
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
from streaming.drift.statistics.pvalues import two_sided
from streaming.drift.thresholds.alarm_rules import AlarmRule
from streaming.quality.counts import Counts
from streaming.quality.measures import Measure, measure_all
from streaming.quality.settings import QualityRules

TESTED = ("auc", "brier", "calibration")
DISPLAY_NAMES = {"auc": "AUC", "brier": "the Brier score", "calibration": "calibration"}
_TESTS = 2
"""Two-sided tests that the three tests count as in the budget: half, half and one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The comparison of one measure with its baseline."""

    metric: QualityMetric
    change: float
    """Change for the worse, in the measure's own units; for calibration, the signed change."""
    sustained: bool
    """Whether the change is beyond the m-of-k rule's limit and the smallest reported change."""
    single: bool
    """Whether the change is beyond the limit of a single batch and the smallest reported change."""


def measured(counts: Counts) -> dict[str, Measure]:
    """Every measure of labelled counts."""
    return measure_all(
        counts.scores, counts.positives.astype(float), counts.negatives.astype(float)
    )


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
    current, reference = measured(batch), measured(baseline)
    sustained, single = batch_alarm_rules(rules, seconds)
    return tuple(
        _compare(current[name], reference[name], sustained, single, rules)
        for name in TESTED
        if name in current and name in reference
    )


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
    current: Measure,
    reference: Measure,
    sustained: AlarmRule,
    single: AlarmRule,
    rules: QualityRules,
) -> Comparison:
    is_auc = current.name == "auc"
    error = sqrt(max(current.variance, 1e-18))
    logit_scale = 1.0 / max(reference.value * (1.0 - reference.value), 1e-9) if is_auc else 1.0
    change = reference.value - current.value if is_auc else current.value - reference.value
    distance = reference.logit - current.logit if is_auc else change
    variance_ratio = (reference.variance + (rules.day_variation * logit_scale) ** 2) / error**2
    p, critical_p = (
        two_sided(distance / error, variance_ratio),
        sustained.critical_p(variance_ratio),
    )
    worse = current.name == "calibration" or change > 0.0
    beyond = worse and abs(change) >= _min_change(current.name, rules)
    critical_change = (
        float(-special.ndtri(critical_p / 2.0)) * sqrt(1.0 + variance_ratio) * error / logit_scale
    )
    critical_change = max(critical_change, _min_change(current.name, rules))
    metric = replace(
        current.metric(),
        baseline=reference.value,
        p=p,
        limit=reference.value - critical_change if is_auc else reference.value + critical_change,
        of=rules.of,
    )
    return Comparison(
        metric=metric,
        change=change,
        sustained=beyond and p <= critical_p,
        single=beyond and p <= single.critical_p(variance_ratio),
    )


def _min_change(name: str, rules: QualityRules) -> float:
    if name == "auc":
        return rules.auc_fall
    return rules.brier_rise if name == "brier" else rules.calibration_shift
