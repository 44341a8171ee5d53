"""The thresholds keep a tenth of the drift budget, by the exact probability of an exceedance."""

from __future__ import annotations

from math import comb

from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from streaming.contracts.tolerance import Tolerance
from streaming.drift import DriftRules
from streaming.schema.thresholds import SHARE, TESTS, schema_thresholds
from streaming.schema.window import TOLERATED_SHARE, exceedance_p


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(100, 200_000),
    allowed=st.sampled_from([0.0, 0.01, 0.05, 0.5]),
    columns=st.integers(1, 200),
    seconds=st.sampled_from([5.0, 60.0, 3600.0]),
    alarms=st.sampled_from([0.1, 1.0, 4.0]),
)
def test_false_alarms_stay_within_the_share_of_the_budget(
    n: int, allowed: float, columns: int, seconds: float, alarms: float
) -> None:
    rules = DriftRules(false_alarms=alarms)
    thresholds = schema_thresholds(rules, columns=columns, window_seconds=seconds)
    windows, tests = rules.period_seconds / seconds, TESTS * columns
    share = max(allowed, TOLERATED_SHARE)

    def rate(p: float) -> float:
        """Probability of an exceedance when exactly the allowed share disagrees."""
        first = _smallest_exceedance(n, allowed, p)
        return float(special.bdtrc(first - 1, n, share)) if first <= n else 0.0

    q, hits, of = rate(thresholds.sustained), Tolerance().sustained, Tolerance().of
    begins = comb(of - 1, hits - 1) * q**hits * (1 - q) ** (of - hits + 1)
    assert windows * tests * begins <= SHARE * alarms * 1.001


def _smallest_exceedance(n: int, allowed: float, p: float) -> int:
    """The smallest count that is an exceedance."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if exceedance_p(middle, n, allowed) <= p else (middle + 1, high)
    return low


def test_more_windows_and_columns_make_stricter_thresholds() -> None:
    rules = DriftRules()
    few = schema_thresholds(rules, columns=5, window_seconds=3600.0)
    many = schema_thresholds(rules, columns=200, window_seconds=5.0)
    assert many.sustained < few.sustained
