"""Joins predictions and labels by key, in either order of arrival.

Memory is bounded, and a replay gives the same pairs. Rules:

* The first prediction of a key and version counts; later ones are repeats.
* A label counts once. A later label with another outcome corrects it as long as its window is held;
  a verdict that was already given stands.
* A label waits for its prediction, and a prediction for its label, until the horizon. Everything
  that is dropped is counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import floor

import numpy as np

from streaming.contracts.prediction_slices import NO_SLICE
from streaming.contracts.quality_records import QualityAccounts
from streaming.contracts.task import BINARY, Task
from streaming.grid import Floats, Integers
from streaming.quality.counts import Counts
from streaming.quality.tasks import quality_of

Packed = int | tuple[int, ...]
"""A prediction as its task packs it (`tasks.strategy.TaskQuality.packed`): of a binary task, the
bucket of the score."""
PredictionRow = tuple[str, float, int, Packed] | tuple[str, float, int, Packed, int]
"""A prediction: key, event time, version, what was predicted; and the number of its slice, where it
has one."""
LabelRow = tuple[str, float, float]
"""A label: key, outcome as a number, arrival time."""
Position = tuple[float, int]
"""Position of a prediction: start of its window, row in that window."""
UNLABELLED = -np.inf
"""The outcome of a prediction without a label; a label is finite."""


@dataclass(slots=True, eq=False)
class WindowRows:
    """The predictions of one window, as parallel columns."""

    start: float
    task: Task = BINARY
    keys: list[str] = field(default_factory=list)
    versions: array[int] = field(default_factory=lambda: array("q"))
    packed: array[int] = field(default_factory=lambda: array("q"))
    """The predictions, `width` integers of each."""
    times: array[float] = field(default_factory=lambda: array("d"))
    outcomes: array[float] = field(default_factory=lambda: array("d"))
    """The outcomes as numbers, `UNLABELLED` while there is no label."""
    arrived: array[float] = field(default_factory=lambda: array("d"))
    """Arrival time of the label; 0 while there is none."""
    slices: array[int] = field(default_factory=lambda: array("b"))
    """The number of each prediction's slice, or `NO_SLICE`."""
    new_ages: array[float] = field(default_factory=lambda: array("d"))
    """Ages of the labels that were joined since the last call of `take_ages`."""

    def rows_by_version(self) -> dict[int, int]:
        """Number of predictions by version."""
        versions, rows = np.unique(np.array(self.versions), return_counts=True)
        return dict(zip(versions.tolist(), rows.tolist(), strict=True))

    def counts(self, chosen: Collection[int] | None = None) -> dict[int, Counts]:
        """Counts by version, of the chosen versions or of all."""
        task = quality_of(self.task)
        versions, outcomes = np.array(self.versions), np.array(self.outcomes)
        packed: Integers = np.array(self.packed, np.int64).reshape(-1, task.width)
        return {
            version: task.count(packed[versions == version], outcomes[versions == version])
            for version in sorted(self.rows_by_version() if chosen is None else chosen)
        }

    def slice_counts(self, version: int) -> dict[int, Counts]:
        """Counts of one version by the number of the slice."""
        task, slices = quality_of(self.task), np.array(self.slices)
        of_version = np.array(self.versions) == version
        packed: Integers = np.array(self.packed, np.int64).reshape(-1, task.width)
        outcomes = np.array(self.outcomes)
        return {
            number: task.count(packed[rows], outcomes[rows])
            for number in np.unique(slices[of_version]).tolist()
            if number != NO_SLICE
            for rows in (of_version & (slices == number),)
        }

    def take_ages(self) -> Floats:
        """Returns and clears the ages of newly joined labels; 0 where the label came first."""
        ages = np.maximum(np.array(self.new_ages, np.float64), 0.0)
        self.new_ages = array("d")
        return ages


@dataclass(slots=True)
class JoinCounters:
    """Counts of what happened to every row; the fields are those of `QualityAccounts`."""

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
    """Holds the predictions and labels of the windows within the horizon.

    Parameters
    ----------
    window_seconds:
        Length of a window; windows begin at multiples of it.
    horizon_seconds:
        How long a row is held after its window.
    max_keys:
        Largest number of keys held; the oldest windows are evicted first.
    task:
        What the model predicts.
    """

    window_seconds: float
    horizon_seconds: float
    max_keys: int
    task: Task = BINARY
    windows: dict[float, WindowRows] = field(default_factory=dict)
    counters: JoinCounters = field(default_factory=JoinCounters)
    _positions: dict[str, tuple[Position, ...]] = field(default_factory=dict)
    _early_labels: dict[str, tuple[float, float]] = field(default_factory=dict)
    _early_keys: dict[float, list[str]] = field(default_factory=dict)
    _dropped_until: float = -np.inf
    """Windows that end at this time or before have been dropped."""

    def add_predictions(self, rows: Iterable[PredictionRow]) -> list[PredictionRow]:
        """Add predictions, and join those whose label arrived first; returns those that count."""
        accepted: list[PredictionRow] = []
        for prediction in rows:
            key, time, version, packed = prediction[:4]
            self.counters.predictions_read += 1
            start = self.window_of(time)
            if start + self.window_seconds <= self._dropped_until:
                self.counters.predictions_late += 1
                continue
            known = self._positions.get(key, ())
            if any(self.windows[at].versions[row] == version for at, row in known):
                self.counters.predictions_repeated += 1
                continue
            window = self.windows.get(start)
            if window is None:
                window = self.windows[start] = WindowRows(start, self.task)
            position = (start, len(window.keys))
            window.keys.append(key)
            window.versions.append(version)
            window.slices.append(prediction[4] if len(prediction) == 5 else NO_SLICE)
            if isinstance(packed, int):
                window.packed.append(packed)
            else:
                window.packed.extend(packed)
            window.times.append(time)
            self._positions[key] = (*known, position)
            self._add_outcome(window, key, known)
            accepted.append(prediction)
        return accepted

    def _add_outcome(self, window: WindowRows, key: str, known: tuple[Position, ...]) -> None:
        """Append the outcome of a new prediction: that of its label where one arrived first."""
        label = self._early_labels.pop(key, None)
        if label is not None:
            self.counters.matched += 1
        elif known:
            at, row = known[0]
            if self.windows[at].outcomes[row] != UNLABELLED:
                label = self.windows[at].outcomes[row], self.windows[at].arrived[row]
        window.outcomes.append(UNLABELLED if label is None else label[0])
        window.arrived.append(0.0 if label is None else label[1])
        if label is not None:
            self.counters.joined += 1
            window.new_ages.append(label[1] - window.times[-1])

    def add_labels(self, labels: Iterable[LabelRow]) -> None:
        """Add labels, and join those whose prediction is held."""
        for key, outcome, arrived in labels:
            self.counters.labels_read += 1
            positions = self._positions.get(key)
            if positions is not None:
                self._join(positions, outcome, arrived)
            elif key in self._early_labels:
                self._count_repeat(self._early_labels[key][0] != outcome)
                self._early_labels[key] = (outcome, self._early_labels[key][1])
            elif self.window_of(arrived) + self.window_seconds <= self._dropped_until:
                self.counters.labels_late += 1
            else:
                self._early_labels[key] = (outcome, arrived)
                self._early_keys.setdefault(self.window_of(arrived), []).append(key)

    def _join(self, positions: tuple[Position, ...], outcome: float, arrived: float) -> None:
        """Write a label into every prediction of its key."""
        at, row = positions[0]
        previous = self.windows[at].outcomes[row]
        if previous != UNLABELLED:
            self._count_repeat(previous != outcome)
        else:
            self.counters.matched += 1
            self.counters.joined += len(positions)
        for at, row in positions:
            self.windows[at].outcomes[row] = outcome
            if previous == UNLABELLED:
                self.windows[at].arrived[row] = arrived
                self.windows[at].new_ages.append(arrived - self.windows[at].times[row])

    def _count_repeat(self, differs: bool) -> None:
        self.counters.corrected += differs
        self.counters.labels_repeated += not differs

    def window_of(self, time: float) -> float:
        """Start of the window that contains `time`."""
        return floor(time / self.window_seconds) * self.window_seconds

    def expire(self, now: float) -> None:
        """Drop rows older than the horizon, and the oldest windows while memory is full."""
        self._drop(now - self.horizon_seconds)
        while len(self._positions) + len(self._early_labels) > self.max_keys:
            oldest = min([*self.windows, *self._early_keys])
            before = len(self._positions) + len(self._early_labels)
            self._drop(oldest + self.window_seconds)
            self.counters.evicted += before - len(self._positions) - len(self._early_labels)

    def _drop(self, until: float) -> None:
        """Drop the windows that end at `until` or before, and count what was not joined."""
        self._dropped_until = max(self._dropped_until, until)
        last_start = self._dropped_until - self.window_seconds
        for start in [start for start in self.windows if start <= last_start]:
            self._forget(self.windows.pop(start))
        for start in [start for start in self._early_keys if start <= last_start]:
            for key in self._early_keys.pop(start):
                label = self._early_labels.get(key)
                if label is not None and self.window_of(label[1]) == start:
                    del self._early_labels[key]
                    self.counters.unmatched += 1

    def _forget(self, window: WindowRows) -> None:
        self.counters.unlabelled += window.outcomes.count(UNLABELLED)
        for key in window.keys:
            remaining = tuple(
                position for position in self._positions.get(key, ()) if position[0] != window.start
            )
            if remaining:
                self._positions[key] = remaining
            else:
                self._positions.pop(key, None)

    @property
    def accounts(self) -> QualityAccounts:
        """The accounts: every prediction and label, counted once."""
        counters = self.counters
        not_held = (
            counters.predictions_repeated + counters.predictions_late + counters.predictions_dead
        )
        waiting = counters.predictions_read - not_held - counters.joined - counters.unlabelled
        return QualityAccounts(
            predictions_read=counters.predictions_read,
            joined=counters.joined,
            waiting=waiting,
            unlabelled=counters.unlabelled,
            predictions_repeated=counters.predictions_repeated,
            predictions_late=counters.predictions_late,
            predictions_dead=counters.predictions_dead,
            labels_read=counters.labels_read,
            matched=counters.matched,
            early=len(self._early_labels),
            unmatched=counters.unmatched,
            labels_repeated=counters.labels_repeated,
            corrected=counters.corrected,
            labels_late=counters.labels_late,
            labels_dead=counters.labels_dead,
            evicted=counters.evicted,
        )
