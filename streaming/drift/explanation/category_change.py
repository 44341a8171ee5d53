"""How far a window is from the reference after a cause is undone, for categories.

The distance is Cohen's w (1988) without its bias, over the categories with at least 1 % of the
reference, all others together, and all values that the reference does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np

from streaming.drift.statistics.categorical import AlignedCategories, ReferenceCategories
from streaming.drift.statistics.statistic import TestStatistic
from streaming.grid import Floats, Integers

_MIN_SHARE = 0.01
_MIN_EXPECTED = 1e-3
"""A smaller share of the reference, as that of unseen values, counts as this."""


@dataclass(frozen=True, eq=False)
class CategoryChange:
    """A window's shares of categories beside the reference's."""

    reference: ReferenceCategories
    window: AlignedCategories

    @property
    def noise(self) -> float:
        """The distance that sampling alone may give."""
        return sqrt(1.0 / self.window.n + 1.0 / self.reference.m)

    @cached_property
    def distance(self) -> float:
        """The distance of window and reference."""
        return self._distance(np.ones(len(self._counts[0]), bool))

    def remaining(self, test: TestStatistic) -> float | None:
        """The distance that remains after the cause that a test stands for is undone; None for
        tests that stand for no single cause."""
        kept = np.ones(len(self._counts[0]), bool)
        if test.name == "unseen":
            kept[-1] = False
            return min(self._distance(kept), self._renamed_back())
        if not isinstance(test.value, str) or test.partial:
            return None
        if test.name == "frequent_value":
            return self._without_rows_of(test.value)
        kept[self._bin_of(test.value)] = False
        return self._distance(kept)

    def _without_rows_of(self, value: str) -> float:
        """The distance of the window's rows that have another value."""
        old, new = self._counts
        position = self.reference.index.get(value)
        rows = self.window.unseen_counts.get(value, 0)
        if position is not None:
            rows = int(self.window.counts[position])
        new = new.copy()
        new[self._bin_of(value)] -= rows
        before, now = self._shares(old), self._shares(new)
        if before is None or now is None:
            return np.inf
        n = self.window.n - rows
        return self._w(before, now, n, self.reference.m) * sqrt(n / self.window.n)

    def _bin_of(self, value: str) -> int:
        """The bin of `_counts` that has the rows of a category."""
        others, unseen = len(self._counts[0]) - 2, len(self._counts[0]) - 1
        position = self.reference.index.get(value, unseen)
        if position == unseen and not self.reference.tail:
            return unseen
        return min(position, others)

    def _renamed_back(self) -> float:
        """The distance if unseen values are other names of those that have become rarer."""
        old, new = (self._shares(counts) for counts in self._counts)
        if old is None or new is None:
            return np.inf
        unseen, rarer = float(new[-1]), np.maximum(old - new, 0.0)
        renamed = min(unseen, float(rarer.sum()))
        if renamed > 0.0:
            new = new + rarer * (renamed / float(rarer.sum()))
            new[-1] = unseen - renamed
        return self._w(old, new, self.window.n, self.reference.m)

    def remaining_of_both(self) -> float:
        """Categories have no shift and no stretch."""
        return np.inf

    @cached_property
    def _counts(self) -> tuple[Integers, Integers]:
        """Rows of the reference and of the window by bin."""
        reference, window = self.reference, self.window
        named = int((reference.counts > _MIN_SHARE * reference.m).sum())
        others = reference.m - int(reference.counts[:named].sum())
        now = int(window.counts[named:].sum())
        unseen = window.unseen if not reference.tail else 0
        return (
            np.append(reference.counts[:named], [others, 0]),
            np.append(window.counts[:named], [now + window.unseen - unseen, unseen]),
        )

    def _distance(self, kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
        """The distance of the bins that are kept, in proportion to the window's part of them."""
        old, new = (self._shares(counts[kept]) for counts in self._counts)
        if old is None or new is None:
            return 0.0
        n, m = (float(counts[kept].sum()) for counts in reversed(self._counts))
        return self._w(old, new, n, m) * sqrt(n / self.window.n)

    @staticmethod
    def _w(old: Floats, new: Floats, n: float, m: float) -> float:
        bias = (int((old > 0.0).sum()) - 1) * (1.0 / n + 1.0 / m)
        squared = float(np.sum((new - old) ** 2 / np.maximum(old, _MIN_EXPECTED)))
        return sqrt(max(0.0, squared - bias))

    @staticmethod
    def _shares(counts: Integers) -> Floats | None:
        return counts / counts.sum() if counts.sum() else None
