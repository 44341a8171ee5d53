"""Whether an event with all guessed features is small enough for the stream job. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.project.column_rules import ColumnGuess
from deploy.project.profile import ColumnProfile
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import LARGEST_EVENT_BYTES

FRAME_BYTES = 200
"""Bytes of key, time and braces."""


def refuse_large_events(features: Sequence[ColumnGuess], profiles: Sequence[ColumnProfile]) -> None:
    """Raise `ConfigurationError` when usual events would be dead letters because of their size."""
    by_name = {profile.name: profile for profile in profiles}
    size = FRAME_BYTES + sum(_bytes(by_name[feature.name]) for feature in features)
    if size > LARGEST_EVENT_BYTES:
        raise ConfigurationError(
            f"An event with all {len(features)} features would have some {size / 1024:.0f} KiB; "
            f"at most {LARGEST_EVENT_BYTES // 1024} KiB are read. Keep the columns that matter in "
            "the file, or put several into one, such as a mean."
        )


def _bytes(profile: ColumnProfile) -> float:
    """Mean bytes of a field in JSON: quoted name, colon, comma, and a value in quotes."""
    total = sum(len(value.encode()) * rows for value, rows in profile.values.items())
    value = total / profile.present if profile.present else 0.0
    return len(profile.name) + 4 + (value + 2) * (1.0 - profile.missing_share)
