"""CUSUM of missing values: finds small, persistent changes of a share.

It works as `cusum` does. A share, however, has a discrete distribution of its own, so its exact
normal scores are summed, in standard errors of the window. They use half the probability of the
observed count; otherwise half a row would be lost in every window. Sums of such scores are normal,
or smaller where few rows are expected, and there the budget is enlarged (`_used_budget`). The floor
is not an amount that is subtracted: a count that grows is compared with the largest tolerated share
and one that falls with the smallest, each half the suspected effect away on the probit scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import exp, inf, log, sqrt

from streaming.drift.settings import DriftRules
from streaming.drift.statistics.proportions import (
    expected_share,
    min_share,
    probit_information,
    share_effect,
    z_day_variance,
)
from streaming.drift.statistics.pvalues import share_z_mid_p
from streaming.drift.statistics.scalars import ndtr, ndtri
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.alarm_rules import AlarmRule
from streaming.drift.thresholds.cusum import (
    CUSUM_CAP,
    CusumReading,
    CusumState,
    accumulate,
    decision_interval,
    min_allowance,
)

_MIN_ALLOWANCE = 1.0
"""Smallest allowance, in standard errors. It finds a change from two to six rows of 200 soonest, in
5 windows."""
_MIN_EXPECTED_ROWS = 0.1
"""Where fewer rows are expected in a window, a single one is significant for the other rules."""
_ROWS_STEP = 0.2
"""Logarithms of expected rows are rounded to this step, so that few limits are solved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share in one window and in its reference."""

    count: int
    n: int
    """Rows of the window."""
    reference_count: int
    m: int
    """Rows of the reference."""
    effective_sample_fraction: float
    """Part of the reference's rows that counts as independent information."""

    @property
    def expected(self) -> float:
        """The share in the window if nothing has changed."""
        return expected_share(self.reference_count, self.m)

    @property
    def effective_m(self) -> float:
        """Effective rows of the reference."""
        return self.m * self.effective_sample_fraction


def has_missing_cusum(tests: Sequence[TestStatistic]) -> bool:
    """Whether enough missing values are expected for a CUSUM to find more than a window does."""
    return any(
        test.name == "missing" and _expected_rows(test.shares[0], test.n) >= _MIN_EXPECTED_ROWS
        for test in tests
    )


def update_proportion_cusum(
    previous: CusumState | None,
    proportion: Proportion,
    rule: AlarmRule,
    rules: DriftRules,
    *,
    window_start: float,
    oldest: float,
) -> CusumReading:
    """Add a window to the CUSUM of a share, which is in standard errors of a window.

    With floors, one window adds at most the limit divided by `rules.of`, because the CUSUM is for
    changes that take longer.
    """
    expected, n = proportion.expected, proportion.n
    per_probit = sqrt(n * probit_information(expected))
    half_floor = rules.suspected_sd / 2.0
    between_day = (rules.day_sd.missing * per_probit) ** 2
    reference_error = n / proportion.effective_m
    persistent_sd = sqrt(between_day + reference_error)
    allowance = max(
        _MIN_ALLOWANCE, min_allowance(rule, persistent_sd, 2.0 * half_floor * per_probit)
    )
    used = _used_budget(_expected_rows(expected, n))
    limit = decision_interval(
        _for_used_budget(rule, used),
        1.0,
        persistent_sd,
        allowance,
        permanent=reference_error > between_day,
    )
    # the tolerated shares already contain half the floor
    subtracted = allowance - half_floor * per_probit
    largest_increment = limit / rules.of if half_floor else inf
    above = tolerated_proportion(expected, half_floor, rules)
    below = tolerated_proportion(expected, -half_floor, rules)
    up = _score(proportion, above, rules)
    down = -(up if below == above else _score(proportion, below, rules))
    state = accumulate(
        previous,
        (min(largest_increment, up - subtracted), min(largest_increment, down - subtracted)),
        cap=limit + CUSUM_CAP * allowance,
        window_start=window_start,
        oldest=oldest,
    )
    to_effect = partial(_effect, proportion=proportion, above=above, below=below, rules=rules)
    return CusumReading(state, limit, subtracted, test="missing", to_effect=to_effect)


def tolerated_proportion(share: float, by: float, rules: DriftRules) -> float:
    """The share that is `by` away on the probit scale, not below the floor of shares.

    >>> rules = DriftRules()
    >>> round(tolerated_proportion(0.01, 0.125, rules), 4)
    0.0139
    >>> round(tolerated_proportion(1e-6, 0.125, rules), 4)
    0.0035
    """
    if not by:
        return share
    least = min_share(rules)
    cut = min(max(share, least), 1.0 - least)
    moved = ndtr(ndtri(cut) + by)
    return max(share, moved) if by > 0.0 else min(share, moved)


def _score(proportion: Proportion, against: float, rules: DriftRules) -> float:
    """Normal score of the count against the share `against`, in standard errors of the window.

    It is scaled so that a between-day deviation on the probit scale has the same size on both
    sides.
    """
    n, effective_m = proportion.n, proportion.effective_m
    error_ratio = 1.0 + n / effective_m
    z = share_z_mid_p(proportion.count, n, against, effective_m)
    probit_variance = rules.day_sd.missing**2
    near = probit_variance * n * probit_information(against) / error_ratio
    observed = z_day_variance(z, proportion.count, n, against, probit_variance, near)
    return z * sqrt(error_ratio * (1.0 + near) / (1.0 + observed))


def _effect(
    mean: float, *, proportion: Proportion, above: float, below: float, rules: DriftRules
) -> float:
    """The effect, in standard deviations, of a mean score."""
    against = above if mean > 0.0 else below
    observed = against + mean * sqrt(against * (1.0 - against) / proportion.n)
    reference_share = proportion.reference_count / proportion.m
    return share_effect(min(max(observed, 0.0), 1.0), reference_share, rules)


def _expected_rows(share: float, n: int) -> float:
    """Expected rows of the rarer side in a window."""
    return n * min(share, 1.0 - share)


@lru_cache(maxsize=4_096)
def _for_used_budget(rule: AlarmRule, used: float) -> AlarmRule:
    """The rule for a CUSUM that uses this part of its budget."""
    return replace(rule, alarms=rule.alarms / used)


def _used_budget(expected_rows: float) -> float:
    """Upper bound of the part of its budget that the CUSUM uses for a number of expected rows.

    An exact Markov chain gives 0.18 for half a row, 0.32 for two, 0.8 for ten and 0.96 for 50.
    """
    rows = exp(round(log(expected_rows) / _ROWS_STEP) * _ROWS_STEP)
    return max(0.2, rows / (rows + 2.0))
