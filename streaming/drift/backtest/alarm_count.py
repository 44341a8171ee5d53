"""What counts as one false alarm, and how sure the count is.

A model alarms when a window's verdict turns `suspected` or `drifted`. One cause is one alarm: an
alarm is new only when a feature takes part that was not alarmed before on the same day, and
features that begin in the same window are one alarm (one message, one retrain). An alarm that
lasts over midnight is new only once the judge's memory (`of` windows) holds nothing of the day
before. `feature_days` counts features instead of alarms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, sqrt

import numpy as np
from scipy import special


@dataclass(slots=True)
class Tally:
    """Alarms of one model, window by window."""

    remembers: int = 0
    """Windows that a verdict looks back on, itself included."""
    alarms: int = 0
    feature_days: int = 0
    windows: int = 0
    alarmed_windows: int = 0
    _today: set[str] = field(default_factory=set)
    _last: set[str] = field(default_factory=set)
    _lasting: set[str] = field(default_factory=set)
    """Alarmed without a pause since the day before, …"""
    _left: int = 0
    """… for so many windows to come that may still be its doing."""

    def new_day(self, *, afresh: bool = False) -> None:
        """Forget who was alarmed; `afresh` when the judge remembers nothing either."""
        self._today.clear()
        self._lasting = set() if afresh else set(self._last)
        self._left = max(0, self.remembers - 1)

    def window(self, alarmed: Iterable[str]) -> frozenset[str]:
        """One verdict; `alarmed` are the features that are suspected or drifted, and of the
        model as a whole ("*") if it is. Returns those that were not alarmed before today."""
        self.windows += 1
        now = set(alarmed)
        self.alarmed_windows += bool(now)
        self._lasting &= now if self._left else set()
        self._left, self._last = max(0, self._left - 1), now
        fresh = now - self._today - self._lasting
        if fresh:
            self.alarms += 1
            self.feature_days += len(fresh)
            self._today |= fresh
        return frozenset(fresh)


@dataclass(frozen=True, slots=True)
class Rate:
    """Alarms observed over alarms allowed."""

    observed: int
    expected: float
    low: float
    high: float
    """95 % interval of the ratio, widened for clustering."""

    @property
    def ratio(self) -> float:
        """Observed over budget."""
        return self.observed / self.expected


def rate(counts: Sequence[int], expected: float) -> Rate:
    """The ratio of the sum of `counts` (one per independent reference) to `expected`.

    Exact Poisson limits (Garwood 1936); where the counts of whole references scatter more than
    Poisson, the limits widen by the root of that ratio.

    >>> found = rate([1, 0, 2, 1], 4.0)
    >>> found.ratio, round(found.low, 2), round(found.high, 2)
    (1.0, 0.27, 2.56)
    """
    total = int(sum(counts))
    low = float(special.gammaincinv(total, 0.025)) if total else 0.0
    high = float(special.gammaincinv(total + 1, 0.975))
    spread = 1.0
    if total and len(counts) > 1:
        spread = sqrt(max(1.0, float(np.var(counts, ddof=1)) * len(counts) / total))
    if expected <= 0:
        return Rate(total, expected, 0.0, inf)
    return Rate(
        total,
        expected,
        max(0.0, total - spread * (total - low)) / expected,
        (total + spread * (high - total)) / expected,
    )
