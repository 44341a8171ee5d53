"""The verdict on one feature in one window: its tests, their limits and the counted exceedances.

A test is significant when the familywise size at its level is at most the critical level that the
alarm rule allows (`min_p`). A feature exceeds its limit when a significant test also reaches an
effect floor:

* `drifted`: exceeds it, with the drifted effect, in `sustained` of the last `of` windows;
* `suspected`: exceeds it in `sustained` of them with a smaller effect, or exceeds the much stricter
  limit of a single window now, or a CUSUM exceeds its limit (`cusum`);
* `stable`: none of these;
* `inconclusive`: its values could not be compared, or nothing was found in buckets that are too
  coarse for them.

Benjamini-Hochberg is not used. On raw exceedances within a window, before windows are counted, it
raises up to 900 times the allowed false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from msgspec.structs import replace as replace_struct

from streaming.contracts.records import DriftOutcome, FeatureSummary, FeatureVerdict
from streaming.drift import messages
from streaming.drift.budget import BudgetAllocation
from streaming.drift.display.distances import (
    NO_DISPLAY,
    FeatureDisplay,
    display_categorical,
    display_numeric,
)
from streaming.drift.explanation.category_change import CategoryChange
from streaming.drift.explanation.leading import leading_test
from streaming.drift.explanation.numeric_change import NumericChange
from streaming.drift.explanation.phrases import Change
from streaming.drift.feature_cusum import update_feature_cusum
from streaming.drift.history import CusumStates, FeatureHistory, JudgedWindow, Level
from streaming.drift.prepared_reference import PreparedFeature
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.categorical import categorical_tests
from streaming.drift.statistics.numeric import numeric_tests
from streaming.drift.statistics.proportions import share_test
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.critical_effect import critical_effect
from streaming.drift.thresholds.cusum import CusumReading
from streaming.drift.thresholds.min_p import MinPTest
from streaming.resolution import UNRESOLVED

MAIN_TESTS = ("location", "dispersion", "shape", "category")
"""The tests that define a feature's effect while none is significant, because the effects of small
shares are all noise then."""
_MAX_STATISTIC = 1e12
"""Larger statistics are replaced by this, because JSON has no infinity."""

RaisedBy = Literal["", "sustained", "single", "cusum"]
"""The alarm rule that raised an outcome; empty for a stable feature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureJudgement:
    """The verdict on one feature and what to remember of the window."""

    verdict: FeatureVerdict
    level: Level | None
    """The level for the history; None when the feature was not judged."""
    cusum: CusumStates


def judge_feature(
    name: str,
    window: FeatureSummary | None,
    reference: PreparedFeature | None,
    history: FeatureHistory,
    budget: BudgetAllocation,
    *,
    schema_anomaly: bool,
) -> FeatureJudgement:
    """Judge one feature of a window.

    Parameters
    ----------
    window, reference:
        The feature's summary in the window, and its prepared reference; None where it is absent.
    history:
        The feature's earlier windows.
    budget:
        The alarm rules before the feature's tests are known.
    schema_anomaly:
        Whether the window's schema validation found an anomaly of this feature.
    """
    rules = budget.rules

    def not_judged(rows: int, why: str) -> FeatureJudgement:
        verdict = undecided(name, rows, why, history.earlier, rules)
        return FeatureJudgement(verdict=verdict, level=None, cusum=history.cusum)

    problem = _problem(name, window, reference, rules, schema_anomaly=schema_anomaly)
    if problem or window is None or reference is None:
        return not_judged(0 if window is None else window.rows, problem)
    if window.grid is not None:
        reference = reference.at(window.grid.fraction_bits)
    tests, display, change = run_tests(window, reference, rules)
    budget = budget.for_tests(tests)
    sustained = MinPTest.of(budget.sustained, tests, reference.union_ratio(tests))
    significant = sustained.significant()
    level = level_of(significant, rules)
    too_few = messages.too_few_values(window, reference, rules)
    if too_few and level is Level.WITHIN:
        return not_judged(window.rows, too_few)
    cusum = update_feature_cusum(tests, window, reference, budget, history)
    levels = [*(judged.level for judged in history.earlier), int(level)]
    single = sustained.with_exact_tail(budget.single, reference.union_ratio)
    single_level = level_of(single.significant(), rules)
    outcome, raised_by = _outcome(levels, single_level, cusum.readings, rules)
    verdict = _verdict(
        name,
        window.rows,
        outcome=outcome,
        levels=levels,
        significant=significant,
        sustained=sustained,
        rules=rules,
        change=change,
    )
    if raised_by == "cusum":
        largest = max(cusum.readings, key=lambda reading: reading.relative_sum)
        verdict = _with_cusum(verdict, largest)
    distances, histogram = display.distances, display.histogram
    verdict = replace_struct(verdict, raised_by=raised_by, distances=distances, histogram=histogram)
    if outcome == "stable" and reference.shared_pairs > UNRESOLVED:
        reason = messages.too_coarse(reference.shared_pairs, reference.weights)
        verdict = replace_struct(verdict, outcome="inconclusive", reason=reason)
    return FeatureJudgement(verdict=verdict, level=level, cusum=cusum.states(history.cusum))


def _with_cusum(verdict: FeatureVerdict, reading: CusumReading) -> FeatureVerdict:
    """The verdict with the CUSUM's reason, and its effect unless this window alone has a larger."""
    verdict = replace_struct(verdict, reason=messages.cusum_reason(reading))
    if abs(reading.effect) < verdict.effect:
        return verdict
    limit = round(reading.critical_effect, 4)
    return replace_struct(verdict, effect=abs(reading.effect), test=reading.test, limit_sd=limit)


def run_tests(
    window: FeatureSummary, reference: PreparedFeature, rules: DriftRules
) -> tuple[list[TestStatistic], FeatureDisplay, Change]:
    """Run every test that has enough rows; also return what to display and to explain.

    The tests have their weights and come in a fixed order.
    """

    def share(test: str, count: int, reference_count: int, *, one_sided: bool) -> TestStatistic:
        return share_test(
            test,
            count,
            window.rows,
            reference_count=reference_count,
            m=reference.rows,
            rules=rules,
            effective_sample_fraction=reference.effective_sample_fraction(reference.rows),
            one_sided=one_sided,
        )

    tests = [share("missing", window.missing, reference.missing, one_sided=False)]
    if "non_finite" in reference.weights:
        tests.append(share("non_finite", window.non_finite, reference.non_finite, one_sided=True))
    display, change = NO_DISPLAY, Change(window, reference)
    if not messages.too_few_values(window, reference, rules):
        numbers, categories = reference.numbers, reference.categories
        if numbers is not None and window.grid is not None:
            counts = numbers.align(window.grid)
            fraction = reference.effective_sample_fraction(numbers.m)
            tests += numeric_tests(numbers, counts, rules, fraction)
            display = display_numeric(reference.bins, counts)
            change = Change(window, reference, NumericChange(numbers, counts))
        elif categories is not None and window.categories is not None:
            aligned = categories.align(window.categories)
            fraction = reference.effective_sample_fraction(categories.m)
            tests += categorical_tests(categories, aligned, rules, fraction)
            display = display_categorical(reference.bins, aligned)
            change = Change(window, reference, CategoryChange(categories, aligned))
    weighted = [
        replace_struct(test, weight=reference.weights[test.name])
        for test in tests
        if test.name in reference.weights
    ]
    return weighted, display, change


def _problem(
    name: str,
    window: FeatureSummary | None,
    reference: PreparedFeature | None,
    rules: DriftRules,
    *,
    schema_anomaly: bool,
) -> str:
    """Why the feature cannot be judged at all; empty when it can."""
    if window is None or reference is None:
        return f"{name} is not in the {'window' if window is None else 'reference'}"
    if min(window.rows, reference.rows) < rules.min_rows:
        return messages.too_few_rows(window.rows, reference.rows, rules)
    if _differs_in_kind(window, reference):
        return f"{name} was counted as another kind than in the reference"
    if schema_anomaly and is_lost(window, reference, rules):
        missing = window.missing / window.rows
        return f"{name} is missing in {missing:.0%} of rows and breaks the schema"
    return ""


def _differs_in_kind(window: FeatureSummary, reference: PreparedFeature) -> bool:
    """Whether the window's buckets or categories are not comparable with the reference's."""
    if reference.numbers is not None:
        return window.grid is None
    return reference.categories is not None and window.categories is None


def is_lost(window: FeatureSummary, reference: PreparedFeature, rules: DriftRules) -> bool:
    """Whether most rows lack the feature now and did not in the reference."""
    return (
        window.missing > rules.max_missing * window.rows
        and reference.missing <= rules.max_missing * reference.rows
    )


def level_of(significant: Sequence[TestStatistic], rules: DriftRules) -> Level:
    """The level that the largest effect of these significant tests reaches."""
    if not significant:
        return Level.WITHIN
    largest = max(abs(test.effect) for test in significant)
    if largest >= rules.drifted_sd:
        return Level.DRIFTED
    return Level.SUSPECTED if largest >= rules.suspected_sd else Level.WITHIN


def _outcome(
    levels: Sequence[int], single: Level, cusum: Sequence[CusumReading], rules: DriftRules
) -> tuple[DriftOutcome, RaisedBy]:
    """The outcome and the alarm rule that raised it."""
    if sum(level >= Level.DRIFTED for level in levels) >= rules.sustained:
        return "drifted", "sustained"
    if sum(level >= Level.SUSPECTED for level in levels) >= rules.sustained:
        return "suspected", "sustained"
    if single >= Level.SUSPECTED:
        return "suspected", "single"
    if any(reading.exceeded for reading in cusum):
        return "suspected", "cusum"
    return "stable", ""


def _verdict(
    name: str,
    rows: int,
    *,
    outcome: DriftOutcome,
    levels: Sequence[int],
    significant: Sequence[TestStatistic],
    sustained: MinPTest,
    rules: DriftRules,
    change: Change,
) -> FeatureVerdict:
    leading = _leading(sustained.tests, significant, rules, change)
    nearest = min(sustained.tests, key=lambda test: test.p / test.weight)
    hits = sum(level >= Level.SUSPECTED for level in levels)
    strongest = max(significant, key=lambda test: abs(test.effect), default=leading)
    is_weaker = level_of([leading], rules) < level_of([strongest], rules)
    floor = rules.drifted_sd if outcome == "drifted" and not is_weaker else rules.suspected_sd
    limit = critical_effect(leading, sustained.critical_p(leading), floor)
    beyond_now = levels[-1] > Level.WITHIN
    return FeatureVerdict(
        feature=name,
        outcome=outcome,
        reason=messages.feature_reason(
            leading,
            hits,
            rules,
            limit,
            beyond_now=beyond_now,
            change=change.of(leading) if significant else "",
            strongest=strongest if is_weaker else None,
        ),
        n=rows,
        effect=abs(leading.effect),
        p=sustained.p(nearest),
        p_limit=sustained.critical_level,
        hits=hits,
        of=rules.of,
        tests=tuple(_finite(test).result() for test in sustained.tests),
        test=leading.name,
        limit_sd=round(limit, 4),
    )


def _leading(
    tests: Sequence[TestStatistic],
    significant: Sequence[TestStatistic],
    rules: DriftRules,
    change: Change,
) -> TestStatistic:
    """The test that names what happened: of the significant tests that reach a floor, the one whose
    cause explains the others (`explanation`). Without a significant test, the main test with the
    largest effect.
    """
    if significant:
        beyond = [test for test in significant if level_of([test], rules) > Level.WITHIN]
        level = level_of(significant, rules)
        strongest = [test for test in significant if level_of([test], rules) == level]
        return leading_test(beyond or significant, strongest, change.values)
    main = [test for test in tests if test.name in MAIN_TESTS]
    return max(main or tests, key=lambda test: abs(test.effect))


def undecided(
    name: str, rows: int, why: str, earlier: Sequence[JudgedWindow], rules: DriftRules
) -> FeatureVerdict:
    """The inconclusive verdict on a feature that was not judged, with the reason."""
    return FeatureVerdict(
        feature=name,
        outcome="inconclusive",
        reason=f"Not judged: {why}.",
        n=rows,
        effect=0.0,
        p=1.0,
        p_limit=0.0,
        hits=sum(judged.level >= Level.SUSPECTED for judged in earlier),
        of=rules.of,
        tests=(),
    )


def _finite(test: TestStatistic) -> TestStatistic:
    if isfinite(test.statistic) and abs(test.statistic) <= _MAX_STATISTIC:
        return test
    return replace_struct(test, statistic=_MAX_STATISTIC if test.statistic > 0 else -_MAX_STATISTIC)
