"""One feature of one window: run its tests, compare them with the limit, count its windows.

A test is significant when what the feature's tests spend at its level is at most what its lane
allows (`spending`). A feature is beyond its limit when a significant test also reaches an effect
floor:

* `drifted`: beyond, with the drifted effect, in `sustained` of the last `of` windows;
* `suspected`: beyond in `sustained` of them with a smaller effect, or beyond the much stricter
  limit of a single window now, or creeping away over many windows (`slow`);
* `stable`: neither; `inconclusive`: its values could not be compared.

Benjamini-Hochberg is not used: on raw hits inside a window, before counting windows, it breaks
the budget up to 900 times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from msgspec.structs import replace as replace_struct

from streaming.contracts.records import DriftOutcome, FeatureSummary, FeatureVerdict
from streaming.drift import messages
from streaming.drift.budget import Limits
from streaming.drift.display.distances import UNSEEN, Seen, seen_categories, seen_numbers
from streaming.drift.feature_cusum import FeatureSums, creeping
from streaming.drift.history import Level, Past
from streaming.drift.prepared_reference import PreparedFeature
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.categorical import category_tests
from streaming.drift.statistics.numeric import number_tests
from streaming.drift.statistics.proportions import share_test
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.critical_effect import limit_of
from streaming.drift.thresholds.cusum import Slow
from streaming.drift.thresholds.min_p import Spending

MAIN_TESTS = ("location", "dispersion", "shape", "category")
"""What a feature's effect means while nothing is significant: small shares are all noise then."""
_LARGEST = 1e12
"""Statistics are cut here: JSON has no infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What is remembered of one feature, and where the present window lies."""

    past: Sequence[Past]
    """The earlier windows that still count, at most `of` - 1."""
    sums: FeatureSums
    window_start: float
    oldest: float
    """Sums from before this time no longer count."""


def judge_feature(
    name: str,
    now: FeatureSummary | None,
    reference: PreparedFeature | None,
    before: Before,
    limits: Limits,
    *,
    schema_complains: bool,
) -> tuple[FeatureVerdict, Level | None, FeatureSums]:
    """The verdict on one feature, its level (None when not judged) and sums for the history.

    Parameters
    ----------
    schema_complains:
        Whether the window's schema validation found an anomaly of this feature.
    """
    rules, past = limits.rules, before.past
    problem = _problem(name, now, reference, rules, schema_complains=schema_complains)
    if problem or now is None or reference is None:
        rows = 0 if now is None else now.rows
        return undecided(name, rows, problem, past, rules), None, before.sums
    tests, seen = run_tests(now, reference, rules)
    limits = limits.grown(tests)
    sustained = Spending.of(limits.sustained, tests, reference.overlap(tests))
    significant = sustained.significant()
    level = level_of(significant, rules)
    too_few = messages.too_few_values(now, reference, rules)
    if too_few and level is Level.WITHIN:
        return undecided(name, now.rows, too_few, past, rules), None, before.sums
    alone = [test for test in tests if test.alone]
    single = Spending.of(limits.single, alone, reference.overlap(alone))
    suspected_now = level_of(single.significant(), rules)
    levels = [*(one.level for one in past), int(level)]
    creep = creeping(
        tests,
        now,
        reference,
        limits,
        before.sums,
        window_start=before.window_start,
        oldest=before.oldest,
    )
    outcome, lane = _outcome(levels, suspected_now, creep.lanes, rules)
    verdict = _verdict(name, now.rows, outcome, levels, significant, sustained, rules)
    if lane == "slow":
        verdict = _crept(verdict, max(creep.lanes, key=lambda one: one.reached))
    verdict = replace_struct(verdict, lane=lane, distances=seen.distances, histogram=seen.histogram)
    return verdict, level, creep.after(before.sums)


def _crept(verdict: FeatureVerdict, slow: Slow) -> FeatureVerdict:
    """Said by the slow lane, unless this window alone shows more."""
    verdict = replace_struct(verdict, reason=messages.of_slow(slow))
    if abs(slow.effect) < verdict.effect:
        return verdict
    limit = round(slow.limit_of_effect, 4)
    return replace_struct(verdict, effect=abs(slow.effect), test=slow.test, limit_sd=limit)


def run_tests(
    now: FeatureSummary, reference: PreparedFeature, rules: DriftRules
) -> tuple[list[Evidence], Seen]:
    """Every test that has enough rows, with its weight, in a fixed order; and what to show."""

    def share(test: str, count: int, before: int, *, only_more: bool) -> Evidence:
        return share_test(
            test,
            count,
            now.rows,
            before=before,
            m=reference.rows,
            rules=rules,
            worth=reference.worth(reference.rows),
            only_more=only_more,
        )

    tests = [share("missing", now.missing, reference.missing, only_more=False)]
    if "non_finite" in reference.weights:
        tests.append(share("non_finite", now.non_finite, reference.non_finite, only_more=True))
    seen = UNSEEN
    if not messages.too_few_values(now, reference, rules):
        numbers, categories = reference.numbers, reference.categories
        if numbers is not None and now.grid is not None:
            placed = numbers.placed(now.grid)
            tests += number_tests(numbers, placed, rules, reference.worth(numbers.m))
            seen = seen_numbers(reference.cells, placed)
        elif categories is not None and now.categories is not None:
            window = categories.placed(now.categories)
            tests += category_tests(categories, window, rules, reference.worth(categories.m))
            seen = seen_categories(reference.cells, window)
    return [replace_struct(test, weight=reference.weights[test.name]) for test in tests], seen


def _problem(
    name: str,
    now: FeatureSummary | None,
    reference: PreparedFeature | None,
    rules: DriftRules,
    *,
    schema_complains: bool,
) -> str:
    """Why the feature cannot be judged at all; empty when it can."""
    if now is None or reference is None:
        return f"{name} is not in the {'window' if now is None else 'reference'}"
    if min(now.rows, reference.rows) < rules.min_rows:
        return messages.too_few_rows(now.rows, reference.rows, rules)
    if messages.differs_in_kind(now, reference):
        return f"{name} was counted under another pivot or kind than the reference"
    if schema_complains and is_lost(now, reference, rules):
        return f"{name} is missing in {now.missing / now.rows:.0%} of rows and breaks the schema"
    return ""


def is_lost(now: FeatureSummary, reference: PreparedFeature, rules: DriftRules) -> bool:
    """Whether most rows lack the feature now and did not in the reference."""
    return (
        now.missing > rules.max_missing * now.rows
        and reference.missing <= rules.max_missing * reference.rows
    )


def level_of(significant: Sequence[Evidence], rules: DriftRules) -> Level:
    """How far these tests, which are significant, went."""
    if not significant:
        return Level.WITHIN
    largest = max(abs(test.effect) for test in significant)
    if largest >= rules.drifted_sd:
        return Level.DRIFTED
    return Level.SUSPECTED if largest >= rules.suspected_sd else Level.WITHIN


_Raised = Literal["", "sustained", "single", "slow"]


def _outcome(
    levels: Sequence[int], suspected_now: Level, slow: Sequence[Slow], rules: DriftRules
) -> tuple[DriftOutcome, _Raised]:
    """The outcome and the lane that raised it."""
    if sum(level >= Level.DRIFTED for level in levels) >= rules.sustained:
        return "drifted", "sustained"
    if sum(level >= Level.SUSPECTED for level in levels) >= rules.sustained:
        return "suspected", "sustained"
    if suspected_now >= Level.SUSPECTED:
        return "suspected", "single"
    if any(one.beyond for one in slow):
        return "suspected", "slow"
    return "stable", ""


def _verdict(
    name: str,
    rows: int,
    outcome: DriftOutcome,
    levels: Sequence[int],
    significant: Sequence[Evidence],
    sustained: Spending,
    rules: DriftRules,
) -> FeatureVerdict:
    leading = _leading(sustained.tests, significant, rules)
    nearest = min(sustained.tests, key=lambda test: test.p / test.weight)
    hits = sum(level >= Level.SUSPECTED for level in levels)
    floor = rules.drifted_sd if outcome == "drifted" else rules.suspected_sd
    limit = limit_of(leading, sustained.level(leading), floor)
    return FeatureVerdict(
        feature=name,
        outcome=outcome,
        reason=messages.of_feature(leading, hits, rules, limit, now=levels[-1] > Level.WITHIN),
        n=rows,
        effect=abs(leading.effect),
        p=sustained.p(nearest),
        p_limit=sustained.allowed,
        hits=hits,
        of=rules.of,
        tests=tuple(_finite(test).result() for test in sustained.tests),
        test=leading.name,
        limit_sd=round(limit, 4),
    )


def _leading(
    tests: Sequence[Evidence], significant: Sequence[Evidence], rules: DriftRules
) -> Evidence:
    """The test that tells best what happened: the largest effect, but shape, which sees every
    change a little, only where no plainer test goes as far."""
    if significant:
        return max(
            significant,
            key=lambda test: (level_of([test], rules), test.name != "shape", abs(test.effect)),
        )
    whole = [test for test in tests if test.name in MAIN_TESTS]
    return max(whole or tests, key=lambda test: abs(test.effect))


def undecided(
    name: str, rows: int, why: str, past: Sequence[Past], rules: DriftRules
) -> FeatureVerdict:
    """The verdict on what could not be judged, and why."""
    return FeatureVerdict(
        feature=name,
        outcome="inconclusive",
        reason=f"Not judged: {why}.",
        n=rows,
        effect=0.0,
        p=1.0,
        p_limit=0.0,
        hits=sum(one.level >= Level.SUSPECTED for one in past),
        of=rules.of,
        tests=(),
    )


def _finite(test: Evidence) -> Evidence:
    if isfinite(test.statistic) and abs(test.statistic) <= _LARGEST:
        return test
    return replace_struct(test, statistic=_LARGEST if test.statistic > 0 else -_LARGEST)
