"""What counts as one false alarm, and how sure the count is.

A model alarms when a window's verdict turns `suspected` or `drifted`. One cause is one alarm: an
alarm is new only when a feature takes part that was not alarmed before on the same day, and
features that begin in the same window are one alarm (one message, one retrain). `feature_days`
counts without that mercy: every feature on every day on which it was alarmed.
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

    alarms: int = 0
    feature_days: int = 0
    windows: int = 0
    alarmed_windows: int = 0
    _today: set[str] = field(default_factory=set)

    def new_day(self) -> None:
        """Forget who was alarmed."""
        self._today.clear()

    def window(self, alarmed: Iterable[str]) -> frozenset[str]:
        """One verdict; `alarmed` are the features that are suspected or drifted, and of the
        model as a whole ("*") if it is. Returns those that were not alarmed before today."""
        self.windows += 1
        now = set(alarmed)
        self.alarmed_windows += bool(now)
        fresh = now - self._today
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
