"""Predictions and labels meet by key, whichever comes first; bounded, and the same after a replay.

Rules: of one key and version the first prediction counts. A label counts once; a later one with
another outcome corrects it as long as its window is held (a verdict that was given stands). A
label waits for its prediction, and a prediction for its label, up to the horizon; what is given up
is counted, never silently lost.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import floor

import numpy as np

from streaming.contracts.quality import QualityAccounts
from streaming.grid import Floats
from streaming.quality.counts import Counts, count_rows

Row = tuple[str, float, int, int]
"""A prediction: key, event time, version, bucket of its score."""
Outcome = tuple[str, bool, float]
"""A label: key, outcome, when it arrived."""


@dataclass(slots=True, eq=False)
class WindowRows:
    """The predictions of one window, column by column."""

    start: float
    keys: list[str] = field(default_factory=list)
    versions: array[int] = field(default_factory=lambda: array("q"))
    buckets: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    outcomes: array[int] = field(default_factory=lambda: array("b"))
    """1, 0, or -1 while there is no label."""
    arrived: array[float] = field(default_factory=lambda: array("d"))
    fresh: array[float] = field(default_factory=lambda: array("d"))

    def counts(self) -> dict[int, Counts]:
        """Counts by version."""
        versions = np.array(self.versions)
        buckets, outcomes = np.array(self.buckets), np.array(self.outcomes)
        return {
            int(version): count_rows(buckets[versions == version], outcomes[versions == version])
            for version in np.unique(versions)
        }

    def take_ages(self) -> Floats:
        """Age of each prediction whose label came since this was last asked; 0 where the label
        was first."""
        found = np.maximum(np.array(self.fresh, np.float64), 0.0)
        self.fresh = array("d")
        return found


@dataclass(slots=True)
class Tally:
    """What became of every row; the numbers of `QualityAccounts`."""

    joined: int = 0
    unlabelled: int = 0
    predictions_repeated: int = 0
    predictions_late: int = 0
    predictions_dead: int = 0
    matched: int = 0
    unmatched: int = 0
    labels_repeated: int = 0
    corrected: int = 0
    labels_late: int = 0
    labels_dead: int = 0
    evicted: int = 0
    predictions_read: int = 0
    labels_read: int = 0


@dataclass(slots=True, kw_only=True)
class Joiner:
    """Everything that still waits.

    Parameters
    ----------
    window_seconds:
        Windows begin at whole multiples of it.
    horizon_seconds:
        How long anything waits after its window.
    max_keys:
        Keys held at most; the oldest windows are given up first.
    """

    window_seconds: float
    horizon_seconds: float
    max_keys: int
    windows: dict[float, WindowRows] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    _places: dict[str, tuple[tuple[float, int], ...]] = field(default_factory=dict)
    _early: dict[str, tuple[bool, float]] = field(default_factory=dict)
    _early_keys: dict[float, list[str]] = field(default_factory=dict)
    _gone_before: float = -np.inf
    """Windows that end by then have been given up."""

    def predict(self, rows: Iterable[Row]) -> None:
        """Take in predictions."""
        for key, time, version, bucket in rows:
            self.tally.predictions_read += 1
            start = self.window_of(time)
            if start + self.window_seconds <= self._gone_before:
                self.tally.predictions_late += 1
                continue
            known = self._places.get(key, ())
            if any(self.windows[at].versions[row] == version for at, row in known):
                self.tally.predictions_repeated += 1
                continue
            window = self.windows.get(start)
            if window is None:
                window = self.windows[start] = WindowRows(start)
            place = (start, len(window.keys))
            window.keys.append(key)
            window.versions.append(version)
            window.buckets.append(bucket)
            window.times.append(time)
            self._places[key] = (*known, place)
            self._fill(window, key, known)

    def _fill(self, window: WindowRows, key: str, known: tuple[tuple[float, int], ...]) -> None:
        """The outcome of a new prediction, where its label came first."""
        early = self._early.pop(key, None)
        if early is not None:
            self.tally.matched += 1
        elif known:
            at, row = known[0]
            if self.windows[at].outcomes[row] >= 0:
                early = bool(self.windows[at].outcomes[row]), self.windows[at].arrived[row]
        window.outcomes.append(-1 if early is None else int(early[0]))
        window.arrived.append(0.0 if early is None else early[1])
        if early is not None:
            self.tally.joined += 1
            window.fresh.append(early[1] - window.times[-1])

    def label(self, labels: Iterable[Outcome]) -> None:
        """Take in labels."""
        for key, outcome, arrived in labels:
            self.tally.labels_read += 1
            places = self._places.get(key)
            if places is not None:
                self._join(places, outcome, arrived)
            elif key in self._early:
                self._again(self._early[key][0] != outcome)
                self._early[key] = (outcome, self._early[key][1])
            elif self.window_of(arrived) + self.window_seconds <= self._gone_before:
                self.tally.labels_late += 1
            else:
                self._early[key] = (outcome, arrived)
                self._early_keys.setdefault(self.window_of(arrived), []).append(key)

    def _join(self, places: tuple[tuple[float, int], ...], outcome: bool, arrived: float) -> None:
        at, row = places[0]
        before = self.windows[at].outcomes[row]
        if before >= 0:
            self._again(before != outcome)
        else:
            self.tally.matched += 1
            self.tally.joined += len(places)
        for at, row in places:
            self.windows[at].outcomes[row] = int(outcome)
            if before < 0:
                self.windows[at].arrived[row] = arrived
                self.windows[at].fresh.append(arrived - self.windows[at].times[row])

    def _again(self, differs: bool) -> None:
        self.tally.corrected += differs
        self.tally.labels_repeated += not differs

    def window_of(self, time: float) -> float:
        """Start of the window that holds `time`."""
        return floor(time / self.window_seconds) * self.window_seconds

    def expire(self, now: float) -> None:
        """Give up what has waited to the horizon, and the oldest where memory is full."""
        self._give_up(now - self.horizon_seconds)
        while len(self._places) + len(self._early) > self.max_keys:
            oldest = min([*self.windows, *self._early_keys])
            before = len(self._places) + len(self._early)
            self._give_up(oldest + self.window_seconds)
            self.tally.evicted += before - len(self._places) - len(self._early)

    def _give_up(self, before: float) -> None:
        self._gone_before = max(self._gone_before, before)
        over = self._gone_before - self.window_seconds
        for start in [start for start in self.windows if start <= over]:
            self._forget(self.windows.pop(start))
        for start in [start for start in self._early_keys if start <= over]:
            for key in self._early_keys.pop(start):
                early = self._early.get(key)
                if early is not None and self.window_of(early[1]) == start:
                    del self._early[key]
                    self.tally.unmatched += 1

    def _forget(self, window: WindowRows) -> None:
        self.tally.unlabelled += sum(outcome < 0 for outcome in window.outcomes)
        for key in window.keys:
            left = tuple(place for place in self._places.get(key, ()) if place[0] != window.start)
            if left:
                self._places[key] = left
            else:
                self._places.pop(key, None)

    @property
    def accounts(self) -> QualityAccounts:
        """Every prediction and label, once."""
        found = self.tally
        gone = found.predictions_repeated + found.predictions_late + found.predictions_dead
        waiting = found.predictions_read - gone - found.joined - found.unlabelled
        return QualityAccounts(
            predictions_read=found.predictions_read,
            joined=found.joined,
            waiting=waiting,
            unlabelled=found.unlabelled,
            predictions_repeated=found.predictions_repeated,
            predictions_late=found.predictions_late,
            predictions_dead=found.predictions_dead,
            labels_read=found.labels_read,
            matched=found.matched,
            early=len(self._early),
            unmatched=found.unmatched,
            labels_repeated=found.labels_repeated,
            corrected=found.corrected,
            labels_late=found.labels_late,
            labels_dead=found.labels_dead,
            evicted=found.evicted,
        )
