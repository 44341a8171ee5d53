"""One stretch of mature labels against the baseline: three measures, limits from the budget.

* ``auc`` (ordering) and ``brier`` (a proper score) are hit when they are worse, ``calibration``
  (mean predicted minus observed) when it moves either way.
* The sampling error is new in every look; the baseline's own error and the day's wobble stay, so
  they enter as the persistent error of `streaming.drift.thresholds.alarm_rules`, which turns the budget into a
  limit for hits in 3 of 5 looks (and a stricter one for a single look).
* Two one-sided tests and a two-sided one spend as two features do at one limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from msgspec.structs import replace
from scipy import special

from streaming.contracts.quality import QualityMetric
from streaming.drift.statistics.pvalues import two_sided
from streaming.drift.thresholds.alarm_rules import Lane
from streaming.quality.counts import Counts
from streaming.quality.measures import Measure, measure_all
from streaming.quality.settings import QualityRules

TESTED = ("auc", "brier", "calibration")
SPOKEN = {"auc": "AUC", "brier": "the Brier score", "calibration": "calibration"}
_TESTS = 2
"""Features' worth of false alarms: half, half and one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One measure against its baseline."""

    metric: QualityMetric
    change: float
    """For the worse, in the measure's own units; of calibration either way."""
    sustained: bool
    """Beyond the limit for sustained hits, and the floor."""
    single: bool
    """Beyond the stricter limit of a single look, and the floor."""


def measured(counts: Counts) -> dict[str, Measure]:
    """Every measure of labelled counts."""
    return measure_all(
        counts.scores, counts.positives.astype(float), counts.negatives.astype(float)
    )


def compare(
    now: Counts, baseline: Counts, *, seconds: float, rules: QualityRules
) -> tuple[Comparison, ...]:
    """Every tested measure that both sides have.

    `seconds` is the length of the stretch: the budget is over stretches of this length.
    """
    here, before = measured(now), measured(baseline)
    sustained, single = lanes(rules, seconds)
    return tuple(
        _compare(here[name], before[name], sustained, single, rules)
        for name in TESTED
        if name in here and name in before
    )


def lanes(rules: QualityRules, seconds: float) -> tuple[Lane, Lane]:
    """The budget of sustained hits, and that of a single look."""
    looks = max(1.0, rules.period_seconds / seconds)
    block = max(1.0, min(looks, rules.wobble_seconds / seconds))
    alarms = rules.false_alarms * (1.0 - rules.scores_share)
    return (
        Lane(
            alarms * (1.0 - rules.single_share),
            looks,
            _TESTS,
            max(block, rules.of),
            rules.sustained,
            rules.of,
        ),
        Lane(alarms * rules.single_share, looks, _TESTS, block, 1, 1),
    )


def _compare(
    now: Measure, before: Measure, sustained: Lane, single: Lane, rules: QualityRules
) -> Comparison:
    area = now.name == "auc"
    error = sqrt(max(now.variance, 1e-18))
    stretch = 1.0 / max(before.value * (1.0 - before.value), 1e-9) if area else 1.0
    change = before.value - now.value if area else now.value - before.value
    distance = before.logit - now.logit if area else change
    persistence = (before.variance + (rules.wobble * stretch) ** 2) / error**2
    p, allowed = two_sided(distance / error, persistence), sustained.limit(persistence)
    worse = now.name == "calibration" or change > 0.0
    beyond = worse and abs(change) >= _floor(now.name, rules)
    reach = float(-special.ndtri(allowed / 2.0)) * sqrt(1.0 + persistence) * error / stretch
    reach = max(reach, _floor(now.name, rules))
    metric = replace(
        now.metric(),
        baseline=before.value,
        p=p,
        limit=before.value - reach if area else before.value + reach,
        of=rules.of,
    )
    return Comparison(
        metric=metric,
        change=change,
        sustained=beyond and p <= allowed,
        single=beyond and p <= single.limit(persistence),
    )


def _floor(name: str, rules: QualityRules) -> float:
    if name == "auc":
        return rules.auc_fall
    return rules.brier_rise if name == "brier" else rules.calibration_shift
