"""Durations of the pipeline's limits as they are written: ``"5s"``, ``"200ms"``, or seconds."""

from __future__ import annotations

import re

from streaming.contracts.errors import ConfigurationError

Duration = float | str

_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def seconds(duration: Duration) -> float:
    """A duration in seconds.

    Raises
    ------
    ConfigurationError
        When it is no duration, or not above 0.

    >>> seconds("5s"), seconds("200ms"), seconds(0.5)
    (5.0, 0.2, 0.5)
    """
    if isinstance(duration, str):
        match = _TEXT.fullmatch(duration.strip())
        value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    else:
        value = float(duration)
    if not 0.0 < value < float("inf"):
        raise ConfigurationError(f"'{duration}' is no duration; write it as '5s' or '200ms'.")
    return value
