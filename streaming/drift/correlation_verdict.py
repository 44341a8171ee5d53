"""The verdict on the correlations between features, as that of one more feature."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.contracts.records import DriftOutcome, FeatureVerdict, WindowSummary
from streaming.drift.correlation.statistic import (
    CORRELATION,
    PairChange,
    PreparedCorrelation,
    correlation_test,
)
from streaming.drift.feature_verdict import level_of, undecided
from streaming.drift.history import JudgedWindow, Level
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.alarm_rules import AlarmRule
from streaming.drift.thresholds.min_p import MinPTest


def judge_correlation(
    window: WindowSummary,
    reference: PreparedCorrelation,
    earlier: Sequence[JudgedWindow],
    rules: DriftRules,
    rule: AlarmRule,
) -> tuple[FeatureVerdict, Level | None]:
    """The verdict on the correlations, and its level for the history (None when not judged).

    Parameters
    ----------
    earlier:
        The earlier windows that still count.
    rule:
        The rule for sustained exceedances; a single window raises no alarm.
    """
    if window.sample is None:
        why = "the window holds no sample of rows"
        return undecided(CORRELATION, 0, why, earlier, rules), None
    result = correlation_test(reference, window.sample, rules)
    if result is None:
        why = "the window's sample holds too few rows"
        return undecided(CORRELATION, 0, why, earlier, rules), None
    test, change = result
    decision = MinPTest.of(rule, [test], 1.0)
    level = level_of(decision.significant(), rules)
    levels = [*(judged.level for judged in earlier), int(level)]
    outcome: DriftOutcome = "stable"
    if sum(reached >= Level.DRIFTED for reached in levels) >= rules.sustained:
        outcome = "drifted"
    elif sum(reached >= Level.SUSPECTED for reached in levels) >= rules.sustained:
        outcome = "suspected"
    hits = sum(reached >= Level.SUSPECTED for reached in levels)
    verdict = FeatureVerdict(
        feature=CORRELATION,
        outcome=outcome,
        reason=_reason(reference, change, test, hits=hits, of=rules.of),
        n=test.n,
        effect=test.effect,
        p=test.p,
        p_limit=decision.critical_level,
        hits=hits,
        of=rules.of,
        tests=(test.result(),),
        raised_by="" if outcome == "stable" else "sustained",
        test=test.name,
        limit_sd=rules.drifted_sd if outcome == "drifted" else rules.suspected_sd,
    )
    return verdict, level


def describe_change(change: PairChange) -> str:
    """Sentence part about the change of a pair's correlation.

    >>> describe_change(PairChange(first="fare", second="miles", reference=0.91, window=0.42))
    'fare and miles move together less than before: correlation 0.91 -> 0.42'
    >>> describe_change(PairChange(first="a", second="b", reference=0.6, window=-0.6))
    'a and b no longer move together: correlation 0.60 -> -0.60'
    """
    before, now = change.reference, change.window
    if before * now < 0.0 or abs(now) < abs(before) / 4.0:
        what = "no longer move together" if abs(before) >= 0.1 else "now move together"
    elif abs(now) < abs(before):
        what = "move together less than before"
    else:
        what = "move together more than before"
    pair = f"{change.first} and {change.second}"
    return f"{pair} {what}: correlation {before:.2f} -> {now:.2f}"


def _reason(
    reference: PreparedCorrelation, change: PairChange, test: TestStatistic, *, hits: int, of: int
) -> str:
    exceedances = f", beyond the limit in {hits} of {of} windows" if hits else ""
    return (
        f"{describe_change(change)} (effect {test.effect:.2f} sd, n = {test.n:,}){exceedances}; "
        f"the reference's pairs correlate by {reference.mean_correlation:.2f} on average, so "
        f"{len(reference.features)} features vary like {reference.effective_features:.1f} "
        "independent ones."
    )
