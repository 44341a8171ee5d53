"""The sentences of a verdict, which appear unchanged in the topic, in logs and on screen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from streaming.contracts.records import (
    DriftOutcome,
    FeatureSummary,
    FeatureVerdict,
    WindowSummary,
)
from streaming.drift.prepared_reference import PreparedFeature, PreparedReference
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.cusum import CusumReading

_TESTS_BY_RANK = frozenset(("location", "dispersion", "shape"))
"""Tests that see a change of the values only between buckets."""
_LIMIT = re.compile(r" \((limit [^()]*)\)")
_MAX_NAMED = 3
"""Maximum number of features that a window's sentence names; the others are counted."""


def feature_reason(
    leading: TestStatistic,
    hits: int,
    rules: DriftRules,
    limit: float,
    *,
    beyond_now: bool,
    change: str = "",
    strongest: TestStatistic | None = None,
) -> str:
    """Sentence about a feature: what changed most, how far, the limit, n, and the exceedances.

    Parameters
    ----------
    leading:
        The test that describes the change best.
    hits:
        Number of recent windows that exceeded the limit.
    limit:
        The effect that counts as an exceedance, in standard deviations.
    beyond_now:
        Whether the present window is one of them.
    change:
        The change in the feature's own terms; empty for none.
    strongest:
        The test that the outcome rests on, where the leading test does not reach its floor.

    Examples
    --------
    >>> test = TestStatistic(
    ...     name="location", statistic=30.0, p=1e-9, effect=0.7, n=2000, variance_ratio=5.0
    ... )
    >>> feature_reason(test, 3, DriftRules(), 0.5, beyond_now=True)
    'Its location differs by +0.70 sd (limit 0.50 sd, n = 2,000), beyond it in 3 of 5 windows.'
    >>> feature_reason(test, 3, DriftRules(), 0.8, beyond_now=False)[:77]
    'Beyond its limit in 3 of 5 windows, but not now: its location differs by +0.7'
    >>> feature_reason(test, 0, DriftRules(), 0.5, beyond_now=False, change="median from 8 to 14")
    'Its location differs by +0.70 sd: median from 8 to 14 (limit 0.50 sd, n = 2,000).'
    >>> shape = TestStatistic(
    ...     name="shape", statistic=30.0, p=1e-9, effect=0.53, n=2000, variance_ratio=5.0
    ... )
    >>> feature_reason(test, 0, DriftRules(), 0.25, beyond_now=False, strongest=shape)
    'Its location differs by +0.70 sd (limit 0.25 sd, n = 2,000), and its shape by +0.53 sd.'
    """
    in_own_terms = f": {change}" if change else ""
    text = (
        f"Its {leading.name.replace('_', '-')} differs by {leading.effect:+.2f} sd{in_own_terms} "
        f"(limit {limit:.2f} sd, n = {leading.n:,})"
    )
    if strongest is not None:
        text += f", and its {strongest.name.replace('_', '-')} by {strongest.effect:+.2f} sd"
    if not hits:
        return f"{text}."
    if not beyond_now:  # another test may have been beyond its limit then
        past = f"Beyond its limit in {hits} of {rules.of} windows, but not now"
        return f"{past}: i{text.removeprefix('I')}."
    return f"{text}, beyond it in {hits} of {rules.of} windows."


def cusum_reason(reading: CusumReading) -> str:
    """Sentence about a CUSUM that exceeds its limit.

    >>> from streaming.drift.thresholds.cusum import CusumState
    >>> cusum_reason(CusumReading(CusumState(0.0, 0.8, 0.0, 16), limit=0.7, allowance=0.125))
    'Its location has differed by +0.17 sd on average over 16 windows (CUSUM 0.80, limit 0.70).'
    """
    state = reading.state
    return (
        f"Its {reading.test} has differed by {reading.effect:+.2f} sd on average "
        f"over {state.windows:.0f} windows "
        f"(CUSUM {max(state.up, state.down):.2f}, limit {reading.limit:.2f})."
    )


def day_variation(rules: DriftRules, reference: PreparedReference) -> str:
    """The day-to-day variation that the limits allow for, and its origin."""
    estimate = reference.day_variance
    if estimate is None or not rules.learn_day_variance:
        return f"{rules.day_sd}, assumed"
    return f"{rules.day_sd}, learnt from {estimate.days} days of {estimate.features} features"


def too_few_rows(window_rows: int, reference_rows: int, rules: DriftRules) -> str:
    """Phrase that names the side with too few rows."""
    side, rows = (
        ("window", window_rows) if window_rows < rules.min_rows else ("reference", reference_rows)
    )
    return f"the {side} has {rows:,} rows, {rules.min_rows:,} are needed"


def too_few_values(window: FeatureSummary, reference: PreparedFeature, rules: DriftRules) -> str:
    """Phrase that names the side with too few usable values; empty when both have enough.

    Usable values are neither missing nor non-finite.
    """
    counted = window.rows - window.missing - window.non_finite
    if counted >= rules.min_rows and reference.counted >= rules.min_rows:
        return ""
    side, rows = (
        ("window", counted) if counted < rules.min_rows else ("reference", reference.counted)
    )
    return f"the {side} holds {rows:,} values of it, {rules.min_rows:,} are needed"


def too_coarse(shared_pairs: float, tests: Iterable[str]) -> str:
    """Sentence about a feature whose values the grid does not tell apart, and where no test found a
    change.

    >>> too_coarse(0.81, ["location", "missing", "range", "zero"]).split("; ")[1]
    'its missing, range and zero tests found none.'
    """
    shares = [test.replace("_", "-") for test in tests if test not in _TESTS_BY_RANK]
    named = ", ".join(shares[:-1]) + f" and {shares[-1]}" if len(shares) > 1 else shares[0]
    return (
        f"Not judged in full: other values are spread so widely that {shared_pairs * 100:.0f} % of "
        f"its pairs of different values share a bucket, where no change is seen; its {named} tests "
        "found none."
    )


def window_reason(outcome: DriftOutcome, features: Sequence[FeatureVerdict]) -> str:
    """Sentence about a window, with the features that matter most."""
    judged = [feature for feature in features if feature.outcome != "inconclusive"]
    if not judged:
        why = features[0].reason if features else "The contract judges no feature."
        return f"No feature could be judged; {why[0].lower()}{why[1:]}"
    if outcome == "stable":
        largest = max(judged, key=lambda feature: feature.effect)
        names = [feature.feature for feature in features if feature.outcome == "inconclusive"]
        listed = ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
        not_judged = f"; {len(names)} could not be judged ({listed})" if names else ""
        return (
            f"All {len(judged)} judged features are within their limits; largest change: "
            f"{_name_with_reason(largest)}{not_judged}."
        )
    worst = sorted(
        (feature for feature in judged if feature.outcome == outcome),
        key=lambda feature: (-feature.effect, feature.feature),
    )
    named = ", ".join(_name_with_reason(feature) for feature in worst[:_MAX_NAMED])
    more = f" and {len(worst) - _MAX_NAMED} more" if len(worst) > _MAX_NAMED else ""
    return f"{outcome.capitalize()}: {named}{more}."


def _name_with_reason(feature: FeatureVerdict) -> str:
    """A feature's name with the inner part of its own sentence."""
    detail = feature.reason.removeprefix("Its ").rstrip(".")
    detail = _LIMIT.sub(r", \1", detail)
    return f"{feature.feature} ({detail[:1].lower()}{detail[1:]})"


def unusable_window(window: WindowSummary, rules: DriftRules) -> str:
    """Sentence why a window cannot be judged as a whole; empty when it can."""
    lost = window.dead_letters + window.late
    arrived = window.accepted + lost
    if lost > rules.max_lost * arrived:
        return (
            f"{lost:,} of {arrived:,} records that arrived were lost "
            f"({window.dead_letters:,} could not be read, {window.late:,} were late; "
            f"at most {rules.max_lost:.0%} may be); see the dead letters."
        )
    if not window.accepted:
        return "The window holds no rows."
    return ""
