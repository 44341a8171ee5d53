"""Thresholds of the schema tests: from the false-alarm budget to the critical p of one test.

The user's budget is for drift; the schema tests get `SHARE` of as many alarms in addition. Each
column has at most three tests, and each counts once several windows exceed it. The tests are exact
and one-sided, and the schema gives a largest share instead of an expected one, so the real rate of
false alarms is lower.

Findings that can be broken data (missing values, other types, values outside a domain) are not
tested here but by the rule that the retrain shares, `streaming.contracts.tolerance`.

Skew has no test of its own: it follows from the drift verdicts, whose alarms are in their budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

from streaming.contracts.tolerance import DEFAULT, Tolerance
from streaming.drift.settings import DriftRules

SHARE = 0.1
"""Schema false alarms allowed per drift false alarm that is allowed."""
TESTS = 3
"""Tests per column."""
_MAX_P = 0.01
"""Largest critical p of any test, however large the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaThresholds:
    """Critical p-value of one test in one window, and the rule for broken data."""

    sustained: float = 1e-4
    """Largest p that counts as an exceedance; several windows must have one."""
    tolerance: Tolerance = DEFAULT
    """The rule for broken data. A finding is sustained when as many windows have it."""


def schema_thresholds(
    rules: DriftRules,
    *,
    columns: int,
    window_seconds: float,
    tolerance: Tolerance = DEFAULT,
) -> SchemaThresholds:
    """The thresholds that keep the budget, for independent windows.

    Parameters
    ----------
    rules:
        The budget: `false_alarms` per `period_seconds`.
    columns:
        Number of tested columns.
    window_seconds:
        Length of a window.
    tolerance:
        The rule for broken data, and how many windows make a finding sustained.

    >>> thresholds = schema_thresholds(DriftRules(), columns=20, window_seconds=60.0)
    >>> f"{thresholds.sustained:.1e}"
    '1.9e-03'
    """
    windows = max(1.0, rules.period_seconds / window_seconds)
    alarms, tests = SHARE * rules.false_alarms, TESTS * max(1, columns)
    hits, of = tolerance.sustained, tolerance.of
    ways = comb(of - 1, hits - 1)  # a run begins at most ways * q^hits times a window
    sustained = (alarms / (ways * windows * tests)) ** (1.0 / hits)
    return SchemaThresholds(
        sustained=min(_MAX_P, sustained),
        tolerance=tolerance,
    )
