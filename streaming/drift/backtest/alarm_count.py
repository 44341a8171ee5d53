"""Counting alarms, and the ratio of observed to allowed alarms with its interval.

A model raises an alarm when a window's verdict becomes `suspected` or `drifted`. One cause is one
alarm: an alarm is new only when it involves a feature that has not been alarmed before on the same
day, and features that start in the same window are one alarm (one message, one retrain). An alarm
that continues after midnight is new only once the `of` windows that a verdict looks back on hold
nothing of the previous day. `feature_alarms` counts features instead of alarms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, sqrt

import numpy as np
from scipy import special


@dataclass(slots=True)
class AlarmCounter:
    """Counts the alarms of one model, window by window."""

    lookback: int = 0
    """Number of windows that a verdict looks back on, itself included."""
    alarms: int = 0
    feature_alarms: int = 0
    """Features that started an alarm, counted once a day."""
    windows: int = 0
    alarmed_windows: int = 0
    _today: set[str] = field(default_factory=set)
    """Features that were alarmed today."""
    _previous: set[str] = field(default_factory=set)
    """Features that were alarmed in the previous window."""
    _carried_over: set[str] = field(default_factory=set)
    """Features that have been alarmed in every window since yesterday."""
    _carry_windows: int = 0
    """Number of coming windows whose verdicts still look back on yesterday."""

    def new_day(self, *, reset: bool = False) -> None:
        """Start a day; `reset` if the judge's history starts afresh as well."""
        self._today.clear()
        self._carried_over = set() if reset else set(self._previous)
        self._carry_windows = max(0, self.lookback - 1)

    def window(self, alarmed: Iterable[str]) -> frozenset[str]:
        """Add a verdict and return the features that start an alarm with it.

        `alarmed` are the features that are suspected or drifted, and "*" if the model as a whole
        is.
        """
        self.windows += 1
        current = set(alarmed)
        self.alarmed_windows += bool(current)
        self._carried_over &= current if self._carry_windows else set()
        self._carry_windows, self._previous = max(0, self._carry_windows - 1), current
        new = current - self._today - self._carried_over
        if new:
            self.alarms += 1
            self.feature_alarms += len(new)
            self._today |= new
        return frozenset(new)


@dataclass(frozen=True, slots=True)
class AlarmRate:
    """Observed alarms in relation to the allowed number."""

    observed: int
    expected: float
    """Number of alarms that the budget allows."""
    low: float
    """Lower end of the 95 % interval of the ratio, widened for clustering."""
    high: float
    """Upper end of that interval."""

    @property
    def ratio(self) -> float:
        """Observed over allowed alarms."""
        return self.observed / self.expected


def alarm_rate(counts: Sequence[int], expected: float) -> AlarmRate:
    """The ratio of the sum of `counts` (one for each independent reference) to `expected`.

    Exact Poisson limits (Garwood 1936). Where the counts of different references vary more than
    Poisson counts, the limits are widened by the root of that variance ratio.

    >>> observed = alarm_rate([1, 0, 2, 1], 4.0)
    >>> observed.ratio, round(observed.low, 2), round(observed.high, 2)
    (1.0, 0.27, 2.56)
    """
    total = int(sum(counts))
    low = float(special.gammaincinv(total, 0.025)) if total else 0.0
    high = float(special.gammaincinv(total + 1, 0.975))
    widening = 1.0
    if total and len(counts) > 1:
        widening = sqrt(max(1.0, float(np.var(counts, ddof=1)) * len(counts) / total))
    if expected <= 0:
        return AlarmRate(total, expected, 0.0, inf)
    return AlarmRate(
        total,
        expected,
        max(0.0, total - widening * (total - low)) / expected,
        (total + widening * (high - total)) / expected,
    )
