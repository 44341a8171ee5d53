"""The sentences of a verdict: the same words reach topic, log and screen."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.contracts.records import (
    DriftOutcome,
    FeatureSummary,
    FeatureVerdict,
    WindowSummary,
)
from streaming.drift.prepared_reference import PreparedFeature, PreparedReference
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.cusum import Slow

_NAMED = 3
"""So many features are named; the others are counted."""


def of_feature(
    leading: Evidence,
    hits: int,
    rules: DriftRules,
    limit: float,
    *,
    now: bool,
) -> str:
    """One sentence: what moved most, how far, the limit, n, and in how many windows.

    `limit` is the effect that counts as a hit, in standard deviations; `now` tells whether this
    window is one of the `hits`.

    >>> test = Evidence(name="location", statistic=30.0, p=1e-9, effect=0.7, n=2000,
    ...                 persistence=5.0)
    >>> of_feature(test, 3, DriftRules(), 0.5, now=True)
    'Its location differs by +0.70 sd (limit 0.50 sd, n = 2,000), beyond it in 3 of 5 windows.'
    """
    text = (
        f"Its {leading.name.replace('_', '-')} differs by {leading.effect:+.2f} sd "
        f"(limit {limit:.2f} sd, n = {leading.n:,})"
    )
    if not hits:
        return f"{text}."
    return f"{text}, beyond it in {hits} of {rules.of} windows{'' if now else ', but not now'}."


def of_wobble(rules: DriftRules, reference: PreparedReference) -> str:
    """Which wobble was allowed for, and where it comes from."""
    learnt = reference.wobble
    if learnt is None or not rules.learn_wobble:
        return f"{rules.wobble}, assumed"
    return f"{rules.wobble}, learnt from {learnt.days} days of {learnt.features} features"


def of_slow(slow: Slow) -> str:
    """What the slow lane saw.

    >>> from streaming.drift.thresholds.cusum import Sums
    >>> of_slow(Slow(Sums(0.0, 0.8, 0.0, 16), limit=0.7, kappa=0.125))
    'Its location has been away by +0.17 sd on average over 16 windows (sum 0.80, limit 0.70).'
    """
    sums = slow.sums
    return (
        f"Its {slow.test} has been away by {slow.effect:+.2f} sd on average "
        f"over {sums.windows:.0f} windows "
        f"(sum {max(sums.up, sums.down):.2f}, limit {slow.limit:.2f})."
    )


def too_few_rows(now: int, before: int, rules: DriftRules) -> str:
    """Which side is short of rows."""
    side, rows = ("window", now) if now < rules.min_rows else ("reference", before)
    return f"the {side} has {rows:,} rows, {rules.min_rows:,} are needed"


def too_few_values(now: FeatureSummary, reference: PreparedFeature, rules: DriftRules) -> str:
    """Which side is short of values that are neither missing nor non-finite; or nothing."""
    counted = now.rows - now.missing - now.non_finite
    if counted >= rules.min_rows and reference.counted >= rules.min_rows:
        return ""
    side, rows = (
        ("window", counted) if counted < rules.min_rows else ("reference", reference.counted)
    )
    return f"the {side} holds {rows:,} values of it, {rules.min_rows:,} are needed"


def differs_in_kind(now: FeatureSummary, reference: PreparedFeature) -> bool:
    """Whether the two sides do not share buckets."""
    if reference.numbers is not None:
        return now.grid is None or now.grid.pivot != reference.numbers.pivot
    return reference.categories is not None and now.categories is None


def of_window(outcome: DriftOutcome, features: Sequence[FeatureVerdict]) -> str:
    """One sentence about the window, naming the features that matter most."""
    judged = [one for one in features if one.outcome != "inconclusive"]
    if not judged:
        why = features[0].reason if features else "The contract judges no feature."
        return f"No feature could be judged; {why[0].lower()}{why[1:]}"
    if outcome == "stable":
        widest = max(judged, key=lambda one: one.effect)
        left_out = len(features) - len(judged)
        rest = f"; {left_out} could not be judged" if left_out else ""
        return (
            f"All {len(judged)} judged features are within their limits; most moved: "
            f"{_name(widest)}{rest}."
        )
    worst = sorted(
        (one for one in judged if one.outcome == outcome),
        key=lambda one: (-one.effect, one.feature),
    )
    named = ", ".join(_name(one) for one in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    return f"{outcome.capitalize()}: {named}{more}."


def _name(one: FeatureVerdict) -> str:
    """A feature's name with the inside of its own sentence."""
    detail = one.reason.removeprefix("Its ").rstrip(".")
    return f"{one.feature} ({detail.replace(' (', ', ').replace(')', '')})"


def unusable(window: WindowSummary, rules: DriftRules) -> str:
    """Why nothing can be said about a window as a whole; empty when something can."""
    total = window.accepted + window.dead_letters
    if window.dead_letters > rules.max_dead_letters * total:
        return (
            f"{window.dead_letters:,} of {total:,} records could not be read "
            f"(at most {rules.max_dead_letters:.0%} may be); see the dead letters."
        )
    if not window.accepted:
        return "The window holds no rows."
    return ""
