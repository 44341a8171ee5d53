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


@pytest.mark.parametrize("text", ["365000d", "8760000h", "1000d 364000d"])
def test_a_duration_of_1000_years_is_read(text: str) -> None:
    assert units.parse_duration(text) == units.MAX_DURATION


@pytest.mark.parametrize("text", ["365001d", "365000d 1s", "9" * 350 + "s", "9" * 5000 + "ms"])
def test_a_longer_duration_is_refused_with_a_short_message(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 1,000 years") as refused:
        units.parse_duration(text)
    assert len(str(refused.value)) < 80


@pytest.mark.parametrize("text", ["9" * 400 + " per 1d", "1 per " + "9" * 400 + "d"])
def test_a_rate_without_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"too large a rate|longer than 1,000 years"):
        units.parse_rate(text)


@given(st.integers(1, 2**45))
def test_a_size_is_read_back_to_the_byte(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == size


@pytest.mark.parametrize("text", ["", "4", "4 TB", "-1GB", "1e3MB", "GB", "4gb", 4, None])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        units.parse_size(text)
