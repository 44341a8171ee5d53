"""Quadrature over offsets and the budget solver, against exact values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.drift.thresholds.offsets import OffsetGrid, offset_average, solve_for_budget

TRAPEZOID = OffsetGrid.trapezoid(limit=9.0, count=601)
NORMALISED = OffsetGrid.normalised(limit=6.0, count=31)


@pytest.mark.parametrize("grid", [TRAPEZOID, NORMALISED])
@pytest.mark.parametrize("sd", [0.0, 0.3, 2.0])
def test_averages_have_the_moments_of_a_normal_offset(grid: OffsetGrid, sd: float) -> None:
    assert float(offset_average(np.ones_like, sd, grid)) == pytest.approx(1.0)
    assert float(offset_average(np.square, sd, grid)) == pytest.approx(sd**2)


def test_an_array_of_standard_deviations_gives_an_average_for_each() -> None:
    sds = np.array([[0.5], [2.0]])
    averages = offset_average(np.square, sds, TRAPEZOID)
    assert averages == pytest.approx([0.25, 4.0])


@given(root=st.floats(0.01, 100.0), log_scale=st.booleans())
def test_the_solver_finds_the_root_of_a_rising_and_of_a_falling_function(
    root: float, log_scale: bool
) -> None:
    rising = solve_for_budget(
        lambda x: x**2, root**2, low=1e-3, high=1e3, xtol=1e-12, log_scale=log_scale
    )
    falling = solve_for_budget(
        lambda x: 1.0 / x, 1.0 / root, low=1e-3, high=1e3, xtol=1e-12, log_scale=log_scale
    )
    assert [rising, falling] == pytest.approx([root, root], rel=1e-6)


@pytest.mark.parametrize(("budget", "end"), [(1e-9, 1.0), (1e9, 2.0)])
def test_without_a_root_the_solver_returns_the_nearest_end(budget: float, end: float) -> None:
    for log_scale in (False, True):
        assert (
            solve_for_budget(lambda x: x, budget, low=1.0, high=2.0, xtol=1e-9, log_scale=log_scale)
            == end
        )
