"""Drift rules refuse settings that cannot work."""

from __future__ import annotations

import math

import pytest

from streaming.contracts.errors import ConfigurationError
from streaming.drift import DriftRules


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"false_alarms": 0}, "above 0"),
        ({"sustained": 6}, "6 of 5"),
        ({"sustained": 0}, "0 of 5"),
        ({"suspected_sd": 0.6}, "must not exceed drifted_sd"),
        ({"share_floor": 0.7}, "between 0 and 0.5"),
        ({"single_share": 0.95}, "leave something"),
        ({"min_rows": 3}, "at least 20 are needed"),
        ({"season": "hour"}, "hour-of-day or hour-of-week"),
        ({"season_zone": "Mars"}, "not a time zone"),
        ({"between_day_sd": math.nan}, "must be 0 or more"),
        ({"between_day_sd": -0.1}, "must be 0 or more"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        DriftRules(**settings)  # type: ignore[arg-type]
