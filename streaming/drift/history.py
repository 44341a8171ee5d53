"""What the judgement remembers of earlier windows: the level and the CUSUMs of each feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec

from streaming.contracts.ids import digest
from streaming.drift.thresholds.cusum import CusumState

_MEMORY = 3
"""Windows older than this multiple of `of` windows no longer count, judged or not. An exceedance
before a gap in the traffic carries no information about the time after it."""


class Level(IntEnum):
    """How far one feature deviated in one window."""

    WITHIN = 0
    SUSPECTED = 1
    """Beyond its limit, with at least the suspected effect."""
    DRIFTED = 2
    """Beyond its limit, with at least the drifted effect."""


class JudgedWindow(msgspec.Struct, frozen=True, array_like=True):
    """One judged window of one feature."""

    window_start: float
    level: int


@dataclass(frozen=True, slots=True)
class CusumStates:
    """The CUSUM states of one feature."""

    location: tuple[CusumState, ...] = ()
    """States of the location CUSUMs, for ramps and for steps."""
    missing: CusumState | None = None
    """State of the CUSUM of missing values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureHistory:
    """The remembered windows of one feature, and the start of the present one."""

    earlier: Sequence[JudgedWindow]
    """The earlier windows that still count, at most `of` - 1."""
    cusum: CusumStates
    window_start: float
    oldest: float
    """CUSUM states from before this time no longer count."""


class DriftHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The last `of` judged windows per feature, against one reference.

    Any msgspec codec can store it. Windows that were not judged are not in it.
    """

    reference_id: str = ""
    features: dict[str, tuple[JudgedWindow, ...]] = {}
    cusum: dict[str, tuple[CusumState, ...]] = {}
    """States of the location CUSUMs, by feature."""
    missing_cusum: dict[str, CusumState] = {}
    """State of the CUSUM of missing values, by feature."""

    def for_reference(self, reference_id: str) -> DriftHistory:
        """This history, or an empty one when it belongs to another reference."""
        if self.reference_id == reference_id:
            return self
        return DriftHistory(reference_id=reference_id)


def history_digest(history: DriftHistory) -> str:
    """Digest of a history, 24 hex digits: equal histories have equal digests."""
    return digest(msgspec.json.encode(history, order="deterministic"))[:24]


def oldest_counted(*, window_start: float, window_seconds: float, of: int) -> float:
    """Start of the oldest window that still counts."""
    return window_start - _MEMORY * of * window_seconds


def earlier_windows(
    windows: tuple[JudgedWindow, ...], *, window_start: float, oldest: float, of: int
) -> tuple[JudgedWindow, ...]:
    """The last `of` - 1 windows before this one that still count."""
    counted = [window for window in windows if oldest <= window.window_start < window_start]
    return tuple(counted[max(0, len(counted) - (of - 1)) :]) if of > 1 else ()


def remember(
    windows: tuple[JudgedWindow, ...], new: JudgedWindow, *, of: int
) -> tuple[JudgedWindow, ...]:
    """The last `of` windows with `new`, in time order; a window judged again replaces itself.

    >>> windows = (JudgedWindow(0.0, 1), JudgedWindow(60.0, 0))
    >>> [window.level for window in remember(windows, JudgedWindow(60.0, 2), of=5)]
    [1, 2]
    """
    kept = [window for window in windows if window.window_start != new.window_start]
    return tuple(sorted([*kept, new], key=lambda window: window.window_start)[-of:])
