"""Durations as limits are written."""

from __future__ import annotations

import pytest

from retrain.engines.tfx.durations import seconds
from streaming.contracts.errors import ConfigurationError


def test_durations_have_units() -> None:
    assert [seconds(text) for text in ("5s", "200 ms", "1.5m", 2, "0.5s")] == [5, 0.2, 90, 2, 0.5]


@pytest.mark.parametrize("text", ["", "5", "0s", "-1s", "5h", "nan", 0, float("nan"), -1.0])
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ConfigurationError, match="is no duration"):
        seconds(text)
