"""What the tests of a feature spend together is the chance that a quiet window looks as bad."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from streaming.drift import DriftRules
from streaming.drift.statistics.proportions import share_test
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.alarm_rules import Lane
from streaming.drift.thresholds.min_p import Spending, attained, spent

MINUTES = 43_200
LANE = Lane(1.0, MINUTES, 20, 1_440.0, 3, 5)


def smooth(name: str, p: float, weight: float, persistence: float = 0.0) -> Evidence:
    return Evidence(
        name=name,
        statistic=0.0,
        p=p,
        effect=0.1,
        n=1_000,
        persistence=persistence,
        weight=weight,
    )


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(20, 3_000),
    before=st.integers(0, 5_000),
    level=st.floats(1e-6, 0.2),
    only_more=st.booleans(),
)
def test_a_share_attains_what_its_lattice_allows(
    n: int, before: int, level: float, only_more: bool
) -> None:
    rules = DriftRules(wobble_sd=0.0)

    def of(count: int) -> Evidence:
        return share_test(
            "zero", count, n, before=before, m=10**9, rules=rules, only_more=only_more
        )

    (share,) = of(0).shares
    counts = np.arange(n + 1)
    likely = counts[np.abs(counts - n * share) < 12 * np.sqrt(n * share) + 20]
    significant = [count for count in likely.tolist() if of(count).p <= level * (1 - 1e-9)]
    truth = float(np.sum(stats.binom.pmf(significant, n, share)))
    assert attained(of(0), level) == pytest.approx(min(level, truth), rel=0.02, abs=1e-9)


@pytest.mark.parametrize("persistence", [0.0, 0.4, 25.0, 250.0])
def test_one_smooth_test_may_spend_its_whole_limit(persistence: float) -> None:
    alone = Spending.of(LANE, [smooth("location", 0.5, 1.0, persistence)], 1.0)
    assert alone.allowed == pytest.approx(LANE.limit(persistence), rel=0.12)


def test_what_a_lattice_cannot_spend_goes_to_the_others() -> None:
    never = Evidence(
        name="non_finite",
        statistic=0.0,
        p=1.0,
        effect=0.0,
        n=1_000,
        persistence=0.0,
        weight=0.5,
        shares=(1e-9,),
        only_more=True,
    )
    rate = Spending.of(LANE, [smooth("location", 0.5, 0.5), never], 1.0).allowed
    near = smooth("location", 0.9 * rate, 0.5)
    assert near.p / near.weight > rate
    assert Spending.of(LANE, [near, never], 1.0).significant() == [near]
    assert not Spending.of(LANE, [near, smooth("shape", 0.5, 0.5)], 1.0).significant()


@given(x=st.floats(1e-9, 0.3), y=st.floats(1e-9, 0.3))
def test_worse_evidence_never_spends_more(x: float, y: float) -> None:
    tests = [
        smooth("location", 0.5, 0.6),
        share_test("missing", 3, 500, before=90, m=20_000, rules=DriftRules()),
    ]
    low, high = sorted((x, y))
    assert spent(tests, low, 0.9) <= spent(tests, high, 0.9) * (1.0 + 1e-9)


def test_with_persistence_in_one_test_the_other_still_counts_its_cube() -> None:
    """Half of a feature wobbles: its part is limited by days, the other half by windows."""
    both = Spending.of(
        LANE, [smooth("location", 0.5, 0.5, 25.0), smooth("dispersion", 0.5, 0.5)], 1.0
    ).allowed
    assert LANE.limit(25.0) < both < LANE.limit(0.0)
