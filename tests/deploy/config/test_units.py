"""Units: what is written is read, what is read is written back, everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.config import units


@pytest.mark.parametrize("text", ["", "5", "5 parsecs", "-3s", "s", 200, 0.2, True, None, [1]])
def test_a_duration_needs_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit|not a duration"):
        units.parse_duration(text)


@given(st.integers(0, 10**10))
def test_a_duration_is_read_back_as_it_was_written(milliseconds: int) -> None:
    written = units.format_duration(milliseconds / 1000)
    assert units.parse_duration(written) == pytest.approx(milliseconds / 1000, rel=1e-12)


@pytest.mark.parametrize("text", ["", "1", "per 3d", "0 per 3d", "1 per 0s", "1 per 3"])
def test_a_rate_needs_a_number_and_a_period(text: str) -> None:
    with pytest.raises(ValueError, match=r"write"):
        units.parse_rate(text)


@pytest.mark.parametrize("text", ["", "3", "0 of 5", "6 of 5", "3 out of 5"])
def test_a_runs_rule_needs_hits_within_windows(text: str) -> None:
    with pytest.raises(ValueError, match="3 of 5"):
        units.parse_runs_rule(text)


@given(st.integers(0, 1000))
def test_percentage_points_are_read_back_as_they_were_written(tenths: int) -> None:
    ratio = tenths / 1000
    assert units.parse_points(units.format_points(ratio)) == pytest.approx(ratio)
