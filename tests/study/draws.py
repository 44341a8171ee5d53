"""Drawing windows of a quiet stream: exact counts per grid bucket, never rounded, never Gaussian.

Small windows and correlated features are drawn row by row (normal scores, a table to the bucket,
a count), large windows of independent features as one multinomial per feature: the same law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from streaming.grid import Floats, Integers
from tests.study.kinds import Kind

_ROWS_AT_ONCE = 250_000
"""Values drawn in one piece, so that they stay in the cache."""


@dataclass(frozen=True, eq=False)
class Stream:
    """F features of known kinds, equally correlated, with a share of missing values."""

    kinds: tuple[Kind, ...]
    rho: float = 0.0
    missing: float = 0.01
    """Every feature's share of missing values."""

    def draw(
        self, rng: np.random.Generator, rows: int, windows: int, shifts: Sequence[float] | Floats
    ) -> Drawn:
        """Counts of `windows` windows of `rows` rows, every score moved by its feature's shift."""
        lost = rng.binomial(rows, self.missing, (windows, len(self.kinds)))
        by_row = self.rho > 0.0 or rows <= 3 * max(len(kind.buckets) for kind in self.kinds)
        counts = (
            self._by_row(rng, rows, lost, shifts)
            if by_row
            else [
                np.stack([rng.multinomial(rows - int(gone), shares) for gone in column])
                for shares, column in zip(
                    (kind.shares(x) for kind, x in zip(self.kinds, shifts, strict=True)),
                    lost.T,
                    strict=True,
                )
            ]
        )
        return Drawn(rows=rows, missing=lost, counts=counts)

    def _by_row(
        self, rng: np.random.Generator, rows: int, lost: Integers, shifts: Sequence[float] | Floats
    ) -> list[Integers]:
        windows = len(lost)
        counts: list[Integers] = [
            np.zeros((windows, len(kind.buckets)), np.int64) for kind in self.kinds
        ]
        own, common = np.float32(sqrt(1.0 - self.rho)), np.float32(sqrt(self.rho))
        pieces = [
            (begin, min(rows, begin + _ROWS_AT_ONCE)) for begin in range(0, rows, _ROWS_AT_ONCE)
        ]
        for window in range(windows):
            for begin, end in pieces:
                shared = rng.standard_normal(end - begin, dtype=np.float32) if self.rho else None
                for at, kind in enumerate(self.kinds):
                    scores = rng.standard_normal(end - begin, dtype=np.float32)
                    if shared is not None:
                        scores = own * scores + common * shared
                    if shifts[at]:
                        scores += np.float32(shifts[at])
                    # rows are exchangeable: the first ones are those that miss this value
                    there = kind.place(scores[max(0, int(lost[window, at]) - begin) :])
                    counts[at][window] += np.bincount(there, minlength=len(kind.buckets))
        return counts


@dataclass(frozen=True, eq=False)
class Drawn:
    """Counts of some windows."""

    rows: int
    missing: Integers
    """Windows x features."""
    counts: list[Integers]
    """For each feature windows x buckets."""

    def __len__(self) -> int:
        return len(self.missing)
