"""Between-day standard deviations are read from estimates, and invalid ones are refused."""

from __future__ import annotations

import pytest
from msgspec import convert, to_builtins

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import DayVariance
from streaming.drift.day_variance import BetweenDaySd
from streaming.drift.settings import DriftRules


def test_a_family_without_an_estimate_uses_the_locations() -> None:
    location_only = convert(
        {"location": 0.02, "days": 9, "features": 12, "degrees": 96.0}, DayVariance
    )
    assert BetweenDaySd.estimated(location_only) == BetweenDaySd.uniform(0.02)
    partial = DayVariance(
        location=0.02, days=9, features=12, degrees=96.0, dispersion=0.01, missing=0.0
    )
    assert convert(to_builtins(partial), DayVariance) == partial
    day_sd = DriftRules().with_day_variance(partial).day_sd
    assert day_sd == BetweenDaySd(
        location=0.02, dispersion=0.01, shape=0.02, values=0.02, categories=0.02, missing=0.0
    )
    fixed = DriftRules(learn_day_variance=False).with_day_variance(partial)
    assert fixed.day_sd == BetweenDaySd.uniform(0.05)


def test_a_negative_standard_deviation_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be 0 or more"):
        BetweenDaySd(
            location=-0.1, dispersion=0.0, shape=0.0, values=0.0, categories=0.0, missing=0.0
        )
