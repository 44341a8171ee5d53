"""What the judgement remembers of earlier windows: how each feature stood."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from streaming.drift.thresholds.cusum import Sums

_MEMORY = 3
"""Windows older than so many times `of` windows no longer count, judged or not: a hit before a
gap in the traffic says nothing about the time after it."""


class Level(IntEnum):
    """How far one feature went in one window."""

    WITHIN = 0
    SUSPECTED = 1
    """Beyond its limit, with at least the suspected effect."""
    DRIFTED = 2
    """Beyond its limit, with at least the drifted effect."""


class Past(msgspec.Struct, frozen=True, array_like=True):
    """One judged window of one feature."""

    window_start: float
    level: int


class DriftHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The last `of` judged windows per feature, against one reference.

    A value that any msgspec codec can store. Windows without a judgement are not in it.
    """

    reference_id: str = ""
    features: dict[str, tuple[Past, ...]] = {}
    sums: dict[str, tuple[Sums, ...]] = {}
    """Of the slow lane, of the location, one for each of its speeds."""
    missing: dict[str, Sums] = {}
    """Of the missing values."""

    def for_reference(self, reference_id: str) -> DriftHistory:
        """This history, or an empty one when it belongs to another reference."""
        if self.reference_id == reference_id:
            return self
        return DriftHistory(reference_id=reference_id)


def oldest(*, window_start: float, window_seconds: float, of: int) -> float:
    """Windows that began earlier no longer count."""
    return window_start - _MEMORY * of * window_seconds


def before(
    past: tuple[Past, ...], *, window_start: float, oldest: float, of: int
) -> tuple[Past, ...]:
    """The at most `of` - 1 windows before this one that still count."""
    counted = [one for one in past if oldest <= one.window_start < window_start]
    return tuple(counted[max(0, len(counted) - (of - 1)) :]) if of > 1 else ()


def remember(past: tuple[Past, ...], new: Past, *, of: int) -> tuple[Past, ...]:
    """`past` with `new`, in time order, the last `of`; a window judged again replaces itself.

    >>> [one.level for one in remember((Past(0.0, 1), Past(60.0, 0)), Past(60.0, 2), of=5)]
    [1, 2]
    """
    kept = [one for one in past if one.window_start != new.window_start]
    return tuple(sorted([*kept, new], key=lambda one: one.window_start)[-of:])
