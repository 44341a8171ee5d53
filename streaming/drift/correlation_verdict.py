"""The verdict on how features move together: one more member of the family of features."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.contracts.records import DriftOutcome, FeatureVerdict, WindowSummary
from streaming.drift.correlation.statistic import TOGETHER, Moved, PreparedTogether, together_test
from streaming.drift.feature_verdict import level_of, undecided
from streaming.drift.history import Level, Past
from streaming.drift.settings import DriftRules
from streaming.drift.thresholds.alarm_rules import Lane
from streaming.drift.thresholds.min_p import Spending


def judge_together(
    window: WindowSummary,
    reference: PreparedTogether,
    past: Sequence[Past],
    rules: DriftRules,
    lane: Lane,
) -> tuple[FeatureVerdict, Level | None]:
    """The verdict, and its level for the history (None when not judged).

    Parameters
    ----------
    past:
        Its earlier windows that still count.
    lane:
        Of sustained hits: a single window alarms nobody.
    """
    if window.sample is None:
        return undecided(TOGETHER, 0, "the window holds no sample of rows", past, rules), None
    tested = together_test(reference, window.sample, rules)
    if tested is None:
        why = "the window's sample holds too few rows"
        return undecided(TOGETHER, 0, why, past, rules), None
    test, moved = tested
    allowed = Spending.of(lane, [test], 1.0)
    level = level_of(allowed.significant(), rules)
    levels = [*(one.level for one in past), int(level)]
    outcome: DriftOutcome = "stable"
    if sum(one >= Level.DRIFTED for one in levels) >= rules.sustained:
        outcome = "drifted"
    elif sum(one >= Level.SUSPECTED for one in levels) >= rules.sustained:
        outcome = "suspected"
    hits = sum(one >= Level.SUSPECTED for one in levels)
    verdict = FeatureVerdict(
        feature=TOGETHER,
        outcome=outcome,
        reason=_reason(reference, moved, test.effect, test.n, hits, rules),
        n=test.n,
        effect=test.effect,
        p=test.p,
        p_limit=allowed.allowed,
        hits=hits,
        of=rules.of,
        tests=(test.result(),),
        lane="" if outcome == "stable" else "sustained",
        test=test.name,
        limit_sd=rules.drifted_sd if outcome == "drifted" else rules.suspected_sd,
    )
    return verdict, level


def change_in_words(moved: Moved) -> str:
    """What became of a pair.

    >>> change_in_words(Moved(one="fare", other="trip_miles", before=0.91, now=0.42))
    'fare and trip_miles move together less than before: correlation 0.91 -> 0.42'
    >>> change_in_words(Moved(one="a", other="b", before=0.6, now=-0.6))
    'a and b no longer move together: correlation 0.60 -> -0.60'
    """
    if moved.before * moved.now < 0.0 or abs(moved.now) < abs(moved.before) / 4.0:
        what = "no longer move together" if abs(moved.before) >= 0.1 else "now move together"
    elif abs(moved.now) < abs(moved.before):
        what = "move together less than before"
    else:
        what = "move together more than before"
    pair = f"{moved.one} and {moved.other}"
    return f"{pair} {what}: correlation {moved.before:.2f} -> {moved.now:.2f}"


def _reason(
    reference: PreparedTogether, moved: Moved, effect: float, n: int, hits: int, rules: DriftRules
) -> str:
    seen = f", beyond the limit in {hits} of {rules.of} windows" if hits else ""
    return (
        f"{change_in_words(moved)} (effect {effect:.2f} sd, n = {n:,}){seen}; in the reference "
        f"pairs correlate by {reference.mean_correlation:.2f} on average: "
        f"{len(reference.features)} features vary like {reference.effective_features:.1f} "
        "independent ones."
    )
