"""Alarm rules, and the critical p-value that a false-alarm budget gives one of them.

Two errors matter. The sampling error 1/n is new in every window. The error of the reference, 1/m,
and the feature's daily offset persist for many windows, so counting 3 of 5 windows does not help
against them. Let rho = n (between-day variance + 1/m) be the `variance_ratio` of the persistent to
the sampling error (1 + rho is the design effect of Kish 1965). With a standard error of 1, a
persistent offset theta ~ N(0, rho) that lasts for a block of L windows, and the limit c, the
expected number of alarms of F features in W windows is::

    F (W / L) E_theta[ 1 - (1 - P) exp(-(L - of) r / (1 - P)) ] = budget

with the exceedance probability q(theta) = P(|N(theta, 1)| > c), the probability P that `sustained`
of `of` windows exceed the limit, and the rate r at which such a run begins. Without a persistent
error and for 3 of 5 windows this is 6 q^3 W F = budget. The limit is returned as a two-sided p
under the total error 1 + rho. A test compares its own p of that kind with it, whatever its
statistic.

Counting exceedances in a run of windows is a runs rule of process control (Western Electric 1956;
Champ & Woodall 1987).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import comb, exp, log, sqrt

import numpy as np
from scipy import optimize, special

from streaming.drift.settings import DriftRules
from streaming.drift.statistics.scalars import ndtr, ndtri
from streaming.drift.thresholds.offsets import OffsetGrid, offset_average, solve_for_budget
from streaming.grid import Floats

_GRID = OffsetGrid.trapezoid(limit=9.0, count=601)
_RATIO_STEP = 0.02
"""A variance ratio is rounded down to steps of 2 %, so that few limits are computed."""
_NEGLIGIBLE_RATIO = 1e-4
"""A smaller variance ratio changes no limit."""
_LARGEST_P = 0.5
"""No critical p exceeds this, however large the budget is."""
_LARGEST_Z = 12.0

_NO_GAIN_RATIO = 0.02
"""Below this variance ratio the alarms of different rules hardly coincide."""
_GAIN_RATIO_STEP = 0.2
"""The coincidence gain is computed for logarithms of variance ratios in steps of this size."""
_MIN_MARGINAL_SHARE, _HALF_MARGINAL_SHARE_RATIO = 0.2, 0.2
_MISSING_CUSUM_SHARE = 0.3
"""Part of the CUSUMs' budget for the CUSUM of missing values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRule:
    """Alarm when `sustained` of the last `of` windows exceed the limit, on a budget of its own."""

    alarms: float
    """Budget: expected false alarms over all `features` in `windows` windows."""
    windows: float
    """Number of windows in the budget's period."""
    features: int
    """Number of features that share the budget."""
    block: float
    """Number of windows for which a persistent offset lasts."""
    sustained: int
    of: int
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        """Compute the hash once, because caches ask for it hundreds of times in each window."""
        key = (self.alarms, self.windows, self.features, self.block, self.sustained, self.of)
        object.__setattr__(self, "_hash", hash(key))

    def __hash__(self) -> int:
        """The hash of the fields; numbers have the same one in every process."""
        return self._hash

    def critical_p(self, variance_ratio: float) -> float:
        """The largest p (two-sided, under the total error) that exceeds the limit."""
        if variance_ratio < _NEGLIGIBLE_RATIO:
            return _critical_p(self, 0.0)
        steps = np.floor(log(variance_ratio) / log(1.0 + _RATIO_STEP))
        return _critical_p(self, exp(steps * log(1.0 + _RATIO_STEP)))


def alarm_rules(
    rules: DriftRules, *, features: int, window_seconds: float
) -> tuple[AlarmRule, AlarmRule, AlarmRule, AlarmRule]:
    """The four alarm rules of a feature, which divide the budget.

    They are the rule for sustained exceedances, the rule for single windows, the CUSUM of the
    location and the CUSUM of missing values.
    """
    windows = max(1.0, rules.period_seconds / window_seconds)
    block = max(1.0, min(windows, rules.offset_seconds / window_seconds))

    def rule(share: float, sustained: int = 1, of: int = 1) -> AlarmRule:
        return AlarmRule(
            alarms=share * rules.false_alarms,
            windows=windows,
            features=max(1, features),
            block=max(block, of),
            sustained=sustained,
            of=of,
        )

    return (
        rule(1.0 - rules.single_share - rules.cusum_share, rules.sustained, rules.of),
        rule(rules.single_share),
        rule((1.0 - _MISSING_CUSUM_SHARE) * rules.cusum_share),
        rule(_MISSING_CUSUM_SHARE * rules.cusum_share),
    )


def runs_probability(q: Floats, sustained: int, of: int) -> Floats:
    """P(at least `sustained` of `of` independent windows exceed the limit)."""
    probability: Floats = special.bdtrc(sustained - 1, of, q)
    return probability


def onset_rate(q: Floats, sustained: int, of: int) -> Floats:
    """Rate per window at which a run of `sustained` exceedances in the last `of` windows begins.

    The newest window exceeds the limit and completes the run; the window that leaves did not. For
    3 of 5 the rate is 6 q^3 (1 - q)^3.
    """
    ways = comb(of - 1, sustained - 1)
    rate: Floats = ways * q**sustained * (1.0 - q) ** (of - sustained + 1)
    return rate


def block_alarm_probability(q: Floats, rule: AlarmRule) -> Floats:
    """Probability of an alarm in a block whose windows exceed the limit with probability `q`."""
    begun = runs_probability(q, rule.sustained, rule.of)
    quiet = np.maximum(1.0 - begun, 1e-300)
    rate = onset_rate(q, rule.sustained, rule.of) / quiet
    probability: Floats = 1.0 - quiet * np.exp(-(rule.block - rule.of) * rate)
    return probability


def expected_alarms(z_limit: float, variance_ratio: float, rule: AlarmRule) -> float:
    """False alarms in the period at a limit of `z_limit` total standard errors."""
    c = z_limit * sqrt(1.0 + variance_ratio)

    def alarm_probability(theta: Floats) -> Floats:
        q = special.ndtr(theta - c) + special.ndtr(-theta - c)
        return block_alarm_probability(q, rule)

    average = offset_average(alarm_probability, sqrt(variance_ratio), _GRID)
    return float(rule.features * rule.windows / rule.block * average)


def coincidence_gain(
    sustained: AlarmRule, single: AlarmRule, cusum: AlarmRule, variance_ratio: float
) -> float:
    """Factor by which all budgets may grow because the rules' false alarms coincide.

    A persistent offset that triggers one rule triggers the others too. With a large variance ratio
    the rules together raise hardly more alarms than one of them. Given the offset, the sustained
    and the single rule are taken as independent. The CUSUM adds a share of its alarms that was
    simulated (`_marginal_share`).

    >>> sustained = AlarmRule(
    ...     alarms=0.7, windows=720.0, features=10, block=24.0, sustained=3, of=5
    ... )
    >>> single = replace(sustained, alarms=0.2, sustained=1, of=1)
    >>> cusum = replace(single, alarms=0.1)
    >>> [round(coincidence_gain(sustained, single, cusum, rho), 2) for rho in (0.0, 1.0, 25.0)]
    [1.0, 1.18, 1.39]
    """
    step = gain_step(variance_ratio)
    if step is None:
        return 1.0
    return _coincidence_gain(sustained, single, cusum, exp(step * _GAIN_RATIO_STEP))


def gain_step(variance_ratio: float) -> int | None:
    """The step that a variance ratio is rounded to; those of one step have the same coincidence
    gain. None where the ratio is too small for a gain."""
    if variance_ratio < _NO_GAIN_RATIO:
        return None
    return round(log(variance_ratio) / _GAIN_RATIO_STEP)


@lru_cache(maxsize=8192)
def _coincidence_gain(
    sustained: AlarmRule, single: AlarmRule, cusum: AlarmRule, variance_ratio: float
) -> float:
    def alarm_probability(rule: AlarmRule, gain: float, theta: Floats) -> Floats:
        p = _critical_p(replace(rule, alarms=rule.alarms * gain), variance_ratio)
        c = -ndtri(p / 2.0) * sqrt(1.0 + variance_ratio)
        return block_alarm_probability(special.ndtr(theta - c) + special.ndtr(-theta - c), rule)

    total = sustained.alarms + single.alarms + cusum.alarms

    def excess(gain: float) -> float:
        """Expected alarms of all rules over the total budget when every budget grows by `gain`."""

        def either_alarms(theta: Floats) -> Floats:
            quiet = (1.0 - alarm_probability(sustained, gain, theta)) * (
                1.0 - alarm_probability(single, gain, theta)
            )
            alarmed: Floats = 1.0 - quiet
            return alarmed

        blocks = sustained.features * sustained.windows / sustained.block
        marginal = gain * cusum.alarms * _marginal_share(variance_ratio)
        average = offset_average(either_alarms, sqrt(variance_ratio), _GRID)
        return float(blocks * average) + marginal - total

    largest = total / sustained.alarms
    if excess(largest) <= 0.0:
        return largest
    if excess(1.0) >= 0.0:
        return 1.0
    solve: Callable[..., float] = optimize.brentq
    return float(solve(excess, 1.0, largest, xtol=1e-3))


def _marginal_share(variance_ratio: float) -> float:
    """Share of the CUSUM's alarms that fall on days without an alarm of another rule.

    Simulated for three rules on one location: 0.6 to 0.9 without a persistent error, 0.15 at a
    variance ratio of 0.4 and 0.05 at 25. It is about 0.2 higher where the other rules watch other
    tests as well.
    """
    decline = 1.0 + (variance_ratio / _HALF_MARGINAL_SHARE_RATIO) ** 2
    return _MIN_MARGINAL_SHARE + (1.0 - _MIN_MARGINAL_SHARE) / decline


@lru_cache(maxsize=8192)
def _critical_p(rule: AlarmRule, variance_ratio: float) -> float:
    smallest_z = -ndtri(_LARGEST_P / 2.0)
    z_limit = solve_for_budget(
        lambda z: expected_alarms(z, variance_ratio, rule),
        rule.alarms,
        low=smallest_z,
        high=_LARGEST_Z,
        xtol=1e-6,
    )
    return _LARGEST_P if z_limit == smallest_z else 2.0 * ndtr(-z_limit)
