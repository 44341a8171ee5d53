"""Thresholds of the schema tests: from the false-alarm budget to the critical p of one test.

The user's budget is for drift; the schema tests get `SHARE` of as many alarms in addition. Each
column has two tests (presence, domain), and a third for events that its field made unreadable. Each
test has two rules: exceedances in several windows, and one window far beyond. The tests are exact
and one-sided, and the schema gives a largest share instead of an expected one, so the real rate of
false alarms is lower.

Skew has no test of its own: it follows from the drift verdicts, whose alarms are in their budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

from streaming.drift.settings import DriftRules

SUSTAINED, OF = 3, 5
"""A finding is sustained when `SUSTAINED` of the last `OF` windows have it."""
SHARE = 0.1
"""Schema false alarms allowed per drift false alarm that is allowed."""
TESTS = 3
"""Tests per column."""
_SINGLE = 0.3
"""Share of the schema's budget spent on single windows."""
_MAX_P = 0.01
"""Largest critical p of any test, however large the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaThresholds:
    """Critical p-values of one test in one window."""

    sustained: float = 1e-4
    """Largest p that counts as an exceedance; several windows must have one."""
    single: float = 1e-9
    """Largest p for which a single window is enough."""


def schema_thresholds(
    rules: DriftRules, *, columns: int, window_seconds: float
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

    >>> thresholds = schema_thresholds(DriftRules(), columns=20, window_seconds=60.0)
    >>> f"{thresholds.sustained:.1e} {thresholds.single:.1e}"
    '1.7e-03 1.2e-08'
    """
    windows = max(1.0, rules.period_seconds / window_seconds)
    alarms, tests = SHARE * rules.false_alarms, TESTS * max(1, columns)
    ways = comb(OF - 1, SUSTAINED - 1)  # a run begins at most ways * q^SUSTAINED times a window
    sustained = ((1.0 - _SINGLE) * alarms / (ways * windows * tests)) ** (1.0 / SUSTAINED)
    return SchemaThresholds(
        sustained=min(_MAX_P, sustained),
        single=min(_MAX_P, _SINGLE * alarms / (windows * tests)),
    )
