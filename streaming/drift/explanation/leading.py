"""The choice of the leading test among significant tests (rule: `streaming.drift.explanation`)."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.drift.explanation.category_change import CategoryChange
from streaming.drift.explanation.numeric_change import NumericChange
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.critical_effect import LINEAR_TESTS

SIMPLEST_FIRST = ("zero", "value", "frequent_value", "location", "dispersion", "range", "unseen")
"""Tests of one cause each."""
CATCH_ALL = ("shape", "category")
"""Tests that respond to every change of the values."""
_EXPLAINED, _MAX_EXPLAINED = 0.15, 0.2
"""A cause that leaves at most this part of the distance, and not more than that distance, explains
the change."""
_EQUAL, _MAX_EQUAL = 0.05, 0.05
"""Causes that leave at most this part of the distance, and not more than that distance, are equally
good."""
_UNEXPLAINED = 0.5
"""No cause that leaves more than this part of the distance explains the change."""
_SAMPLING = 1.5
"""As many times the expected distance of a quiet window are no change."""


def leading_test(
    tests: Sequence[TestStatistic],
    strongest: Sequence[TestStatistic],
    change: NumericChange | CategoryChange | None,
) -> TestStatistic:
    """The test that names what happened.

    Parameters
    ----------
    tests:
        The significant tests that reach an effect floor, or all significant ones if none does.
    strongest:
        Those of them that reach the feature's level, at least one.
    change:
        None where the values were not compared.
    """
    of_values = [test for test in tests if test.name in (*SIMPLEST_FIRST, *CATCH_ALL)]
    others = [test for test in strongest if test not in of_values]
    if change is not None and len(of_values) > 1:
        of_values = [_cause(of_values, strongest, change)]
    return max(others + of_values, key=_by_effect)


def _by_effect(test: TestStatistic) -> tuple[bool, float]:
    return test.name not in CATCH_ALL and not test.partial, abs(test.effect)


def _cause(
    tests: Sequence[TestStatistic],
    strongest: Sequence[TestStatistic],
    change: NumericChange | CategoryChange,
) -> TestStatistic:
    """The cause among tests of the values."""
    strongest = [test for test in tests if test in strongest] or tests
    distance, noise = change.distance, _SAMPLING * change.noise
    if distance <= 2.0 * change.noise:  # a few values only: nothing to tell causes apart by
        return max(strongest, key=_by_effect)
    explained = max(min(_EXPLAINED * distance, _MAX_EXPLAINED), noise)
    equal = max(min(_EQUAL * distance, _MAX_EQUAL), noise)
    causes = [test for test in tests if test.name in LINEAR_TESTS or test in strongest]
    remaining = _remaining(causes, change, explained, equal)
    by_name = {test.name: test for test in causes}
    best = min(remaining, key=lambda name: remaining[name], default="")  # the simplest of equals
    if best and remaining[best] <= explained:
        return by_name[best]
    linear = [test for test in causes if test.name in LINEAR_TESTS]
    if len(linear) > 1 and change.remaining_of_both() <= explained:
        return max(linear, key=_by_effect)
    # Nothing explains the change, so a test that does not reach the level has no precedence.
    remaining = {test.name: remaining[test.name] for test in strongest if test.name in remaining}
    best = min(remaining, key=lambda name: remaining[name], default="")
    limit = explained if isinstance(change, CategoryChange) else _UNEXPLAINED * distance
    if best and remaining[best] <= limit:
        return by_name[best]
    catch_all = next((test for test in strongest if test.name in CATCH_ALL), None)
    return catch_all or (by_name[best] if best else max(strongest, key=_by_effect))


def _remaining(
    causes: Sequence[TestStatistic],
    change: NumericChange | CategoryChange,
    explained: float,
    equal: float,
) -> dict[str, float]:
    """The distance that each cause leaves, the simplest cause first; at least what is as good as
    nothing.

    Values that were never seen include those beyond the range, so they must leave clearly less.
    """
    remaining: dict[str, float] = {}
    for test in sorted(causes, key=_simplicity):
        left = change.remaining(test)
        if left is not None:
            remaining[test.name] = max(explained if test.name == "unseen" else equal, left)
    if "dispersion" in remaining and "location" not in remaining:
        # A stretch about a centre that differs by less than the location test finds.
        together = max(equal, change.remaining_of_both())
        remaining["dispersion"] = min(remaining["dispersion"], together)
    return remaining


def _simplicity(test: TestStatistic) -> int:
    return SIMPLEST_FIRST.index(test.name) if test.name in SIMPLEST_FIRST else len(SIMPLEST_FIRST)
