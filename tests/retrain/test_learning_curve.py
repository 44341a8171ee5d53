from __future__ import annotations

import numpy as np
import pytest

from retrain.learning_curve import enough_rows
from streaming.contracts.records import SmallFit

SIZES = (250, 500, 1_000, 2_000, 4_000)
ERROR = 0.002


def fits(slope: float, exponent: float, *, seed: int) -> list[SmallFit]:
    """Fits of a known curve, with errors."""
    noise = np.random.default_rng(seed).normal(size=len(SIZES)) * ERROR
    return [
        SmallFit(rows=n, score=0.9 - slope * n**-exponent + float(e), error=ERROR)
        for n, e in zip(SIZES, noise, strict=True)
    ]


def true_gain(slope: float, exponent: float) -> float:
    return float(slope * (4_000**-exponent - 8_000**-exponent))


@pytest.mark.parametrize(("slope", "exponent"), [(2.0, 0.5), (6.0, 0.5), (0.0, 0.5), (30.0, 1.0)])
def test_the_interval_contains_the_true_gain_and_the_outcome_is_seldom_wrong(
    slope: float, exponent: float
) -> None:
    gain = true_gain(slope, exponent)
    decisions = [
        enough_rows(fits(slope, exponent, seed=seed), rows=4_000, smallest_gain=0.01, seed=seed)
        for seed in range(40)
    ]
    inside = sum(d.low - 1e-9 <= gain <= d.high for d in decisions)
    assert inside >= 30
    wrong = "more" if gain < 0.01 else "enough"
    assert sum(d.outcome == wrong for d in decisions) <= 4


def test_a_flat_curve_is_enough_and_a_steep_one_is_not() -> None:
    flat = [enough_rows(fits(0.0, 0.5, seed=s), rows=4_000, smallest_gain=0.01) for s in range(20)]
    assert sum(d.outcome == "enough" for d in flat) >= 18
    steep = [enough_rows(fits(9.0, 0.5, seed=s), rows=4_000, smallest_gain=0.01) for s in range(20)]
    assert sum(d.outcome == "more" for d in steep) >= 18


@pytest.mark.parametrize(
    "given",
    [
        [],
        [SmallFit(rows=100, score=0.5, error=0.01)] * 9,
        [SmallFit(rows=n, score=float("nan"), error=0.01) for n in SIZES],
        [SmallFit(rows=n, score=0.5, error=0.0) for n in SIZES],
    ],
)
def test_too_few_fits_decide_nothing(given: list[SmallFit]) -> None:
    decision = enough_rows(given, rows=1_000, smallest_gain=0.01)
    assert decision.outcome == "unclear"
    assert "4 sizes with known errors are needed" in decision.reason


def test_large_errors_decide_nothing() -> None:
    wide = [SmallFit(rows=n, score=0.9 - 3.0 / n**0.5, error=0.05) for n in SIZES]
    assert enough_rows(wide, rows=4_000, smallest_gain=0.01).outcome == "unclear"
