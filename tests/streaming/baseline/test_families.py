"""Each test family has its own estimate, from days on which only some things vary."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace
from scipy import special

from streaming.baseline import estimate_day_variance
from streaming.baseline.merge import build_reference
from streaming.contracts.records import DayVariance, ReferenceSummary, WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift
from tests.streaming.statistics_data import contract, number, text, window

NUMBERS, WORDS, DAYS, ROWS = 6, 4, 15, 20_000
NAMES = [*(f"f{at}" for at in range(NUMBERS)), *(f"w{at}" for at in range(WORDS))]
CONTRACT = contract(*map(number, NAMES[:NUMBERS]), *map(text, NAMES[NUMBERS:]))
VALUES = np.array(["a", "b", "c", "d", "e"])
SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])


def history(
    *,
    location: float = 0.0,
    dispersion: float = 0.0,
    categories: float = 0.0,
    missing: float = 0.0,
) -> list[WindowSummary]:
    """A window a day: normal numbers of which 5 % are missing, and words.

    The arguments are between-day standard deviations.
    """
    rng, windows = np.random.default_rng(6), []
    for day in range(DAYS):
        columns = []
        for _ in range(NUMBERS):
            offset, stretch, probit = rng.normal(0.0, (location, dispersion, missing))
            numbers = rng.normal(offset, 1.0 + stretch / sqrt(2.0), ROWS)
            lost = rng.random(ROWS) < special.ndtr(special.ndtri(0.05) + probit)
            columns.append(pa.array(numbers, mask=lost))
        for _ in range(WORDS):
            shares = rng.dirichlet(SHARES * (1.0 / categories**2 - 1.0)) if categories else SHARES
            columns.append(pa.array(rng.choice(VALUES, ROWS, p=shares)))
        batch = pa.RecordBatch.from_arrays(columns, NAMES)
        start = 86_400.0 * day
        windows.append(
            window(day, batch, CONTRACT, window_start=start, window_end=start + 86_400.0)
        )
    return windows


def reference_of(windows: list[WindowSummary]) -> ReferenceSummary:
    return build_reference(windows, model=CONTRACT.model, version=1, at=0.0)


def estimate_of(windows: list[WindowSummary]) -> DayVariance:
    estimate = estimate_day_variance(windows, reference_of(windows), CONTRACT)
    assert estimate is not None
    return estimate


@pytest.mark.parametrize(
    ("family", "sd"),
    [("location", 0.05), ("dispersion", 0.05), ("categories", 0.05), ("missing", 0.05)],
)
def test_only_the_family_that_varies_has_a_large_estimate(family: str, sd: float) -> None:
    estimate = estimate_of(history(**{family: sd}))
    estimates = {
        "location": estimate.location,
        "dispersion": estimate.dispersion,
        "shape": estimate.shape,
        "categories": estimate.categories,
        "missing": estimate.missing,
    }
    for name, value in estimates.items():
        assert value is not None, name
        if name == family:
            assert sd * 0.9 < value < sd * 1.35
        else:
            assert value < 0.015, name


def test_a_family_with_few_directions_has_no_estimate() -> None:
    numbers_only = contract(*map(number, NAMES[:NUMBERS]))
    days = history(location=0.05)
    estimate = estimate_day_variance(days, reference_of(days), numbers_only)
    assert estimate is not None
    assert estimate.values is None  # no single value is heavy
    assert estimate.categories is None  # there is no category
    assert estimate.shape is not None


def test_the_verdict_states_the_estimates_that_it_used() -> None:
    days = history(location=0.05)
    reference = replace(reference_of(days), day_variance=estimate_of(days))
    verdict, _ = judge_drift(days[-1], reference, "r", DriftHistory(), DriftRules(), CONTRACT)
    assert verdict.day_variation.startswith("location 0.05")
    assert verdict.day_variation.endswith(f"learnt from {DAYS} days of {NUMBERS} features")
