"""Rare values: rows that come in groups are no change, and a change among them is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.model import FeatureSpec
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.statistics.rare_values import RareValues, rare_values
from tests.streaming.statistics_data import contract, number, reference, text, window

RULES = DriftRules()
ROWS = 2_000
Draw = Callable[[np.random.Generator, int], Sequence[object]]


def outcomes(
    spec: FeatureSpec, training: Sequence[object], windows: Sequence[Sequence[object]]
) -> list[str]:
    of = contract(spec)

    def batch(values: Sequence[object]) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array(values)], names=[spec.name])

    prepared = prepare_reference(reference(batch(training), of), of)
    verdict_outcomes: list[str] = []
    history = DriftHistory()
    for at, values in enumerate(windows):
        verdict, history = judge_drift(
            window(at, batch(values), of), prepared, "r", history, RULES, of
        )
        verdict_outcomes.append(verdict.outcome)
    return verdict_outcomes


def tenths(rng: np.random.Generator, g: int) -> Sequence[object]:
    """Temperatures in tenths of a degree, each of which g rows share."""
    return [*np.repeat(np.round(rng.normal(12.0, 6.0, ROWS // g), 1), g)]


def orders(rng: np.random.Generator, g: int) -> Sequence[object]:
    """Codes of many kinds, each order with g lines."""
    return [*np.repeat([f"code {at}" for at in rng.zipf(1.4, ROWS // g) % 5_000], g)]


@pytest.mark.parametrize("g", [2, 3, 4])
@pytest.mark.parametrize(("spec", "draw"), [(number("x"), tenths), (text("x"), orders)])
def test_groups_of_rows_with_one_value_are_no_drift(spec: FeatureSpec, draw: Draw, g: int) -> None:
    rng = np.random.default_rng(g)
    judged = outcomes(spec, draw(rng, g), [draw(rng, g) for _ in range(8)])
    assert "drifted" not in judged


@pytest.mark.parametrize("g", [1, 2, 4])
def test_whole_numbers_that_become_halves_are_found_in_groups_too(g: int) -> None:
    rng = np.random.default_rng(g)

    def draw(step: float) -> Sequence[object]:
        return [*np.repeat(np.round(rng.normal(50, 9, ROWS // g) / step) * step, g)]

    assert outcomes(number("x"), draw(1.0), [draw(0.5) for _ in range(5)])[-1] == "drifted"


def test_values_drawn_one_by_one_have_no_groups() -> None:
    rng = np.random.default_rng(3)
    draws = [
        np.round(rng.normal(0, 6, 2_256), 1),
        rng.integers(0, 100, 500),
        rng.zipf(1.5, 3_000),
        rng.geometric(0.01, 3_000),
        rng.normal(size=1_000),
    ]
    for values in draws:
        counts = np.unique(values, return_counts=True)[1]
        assert rare_values(counts).group_rows == 1


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(2, 20))
def test_whole_groups_are_counted_as_rows_are(counts: list[int], g: int) -> None:
    single = rare_values(np.array(counts, np.int64))
    grouped = rare_values(np.array(counts, np.int64) * g)
    if single.group_rows == 1 and grouped.group_rows == g:
        assert grouped == RareValues(g, g * single.rows, single.once, single.twice)
    n, m = 500, 1_000
    assert 0.0 < grouped.unseen_fraction(grouped.rows, m, n) <= 1.0
    assert 0.0 < grouped.range_fraction(m, n) <= 1.0
