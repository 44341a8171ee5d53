"""From the model's budget of false alarms to the p at which a schema test hits.

The budget is the user's sentence about drift; schema tests get `SHARE` of as many alarms, beside
it. Each column has two tests (presence, domain), dead letters by field a third; each test has two
lanes, hits in several windows and one window far beyond. The tests are exact and one-sided, and a
schema allows a share rather than names it, so the real rate is lower.

Skew is no test of its own: it is read off the drift judge, whose alarms are in its budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

from streaming.drift.settings import DriftRules

SUSTAINED, OF = 3, 5
SHARE = 0.1
"""Schema false alarms allowed for each false drift alarm that is allowed."""
TESTS = 3
"""Of one column."""
_SINGLE = 0.3
"""Part of the schema's budget for single windows."""
_MOST = 0.01
"""No test is laxer, however large the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Largest p that is a hit, of one test in one window."""

    sustained: float = 1e-4
    single: float = 1e-9


def limits(rules: DriftRules, *, columns: int, window_seconds: float) -> Limits:
    """The limits that keep the budget, windows taken as independent.

    >>> found = limits(DriftRules(), columns=20, window_seconds=60.0)
    >>> f"{found.sustained:.1e} {found.single:.1e}"
    '1.7e-03 1.2e-08'
    """
    windows = max(1.0, rules.period_seconds / window_seconds)
    alarms, tests = SHARE * rules.false_alarms, TESTS * max(1, columns)
    ways = comb(OF - 1, SUSTAINED - 1)  # a run begins at most ways * q^SUSTAINED times a window
    many = ((1.0 - _SINGLE) * alarms / (ways * windows * tests)) ** (1.0 / SUSTAINED)
    return Limits(
        sustained=min(_MOST, many),
        single=min(_MOST, _SINGLE * alarms / (windows * tests)),
    )
