"""Drawing windows of a stream: exact counts per bucket, never rounded, never Gaussian.

Small windows and correlated features are drawn row by row (normal scores, a table to the bucket,
a count), large windows of independent features as multinomials of many windows at once: the same
law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from streaming.grid import Floats, Integers
from tests.simulations.kinds import Kind

_ROWS_AT_ONCE = 250_000
"""Values drawn in one piece, so that they stay in the cache."""
MISSING = (0.01, 0.0, 0.05, 0.3, 0.001)
NON_FINITE = (0.0, 0.0, 0.002)
"""Shares of the features in turn; only numbers can be non-finite."""


@dataclass(frozen=True, eq=False)
class Moves:
    """How far each feature strays: of its place, its spread and its missing share."""

    shift: Floats
    scale: Floats
    missing: Floats
    """On the probit scale, of missing and of non-finite values."""
    kinds: tuple[Kind, ...] | None = None
    """Features with the shares that their categories have for now; None where they stay."""

    @classmethod
    def none(cls, features: int) -> Moves:
        """Nothing moves."""
        return cls(np.zeros(features), np.ones(features), np.zeros(features))

    @classmethod
    def wobble(cls, rng: np.random.Generator, sd: float, kinds: Sequence[Kind]) -> Moves:
        """A healthy day: every effect that is judged strays by `sd`, independently.

        Place and spread of numbers as location and dispersion measure them (the dispersion of a
        stretch by 1 + e is sqrt(2) e), shares of categories as those of a Dirichlet law with
        variance sd^2 p (1 - p), missing and broken values on the probit scale.
        """
        missing, *seen = rng.normal(0.0, sd, (3, len(kinds)))
        moved = np.zeros((len(kinds), 2))
        for at, kind in enumerate(kinds):
            if not kind.values:
                moved[at] = np.linalg.solve(kind.gains, np.array(seen)[:, at])
        return cls(
            moved[:, 0],
            1.0 + moved[:, 1] / sqrt(2.0),
            missing,
            tuple(_strayed(rng, sd, kind) if kind.values else kind for kind in kinds),
        )


def _strayed(rng: np.random.Generator, sd: float, kind: Kind) -> Kind:
    shares = rng.dirichlet(kind.shares() * (1.0 / sd**2 - 1.0))
    return kind.with_shares(np.maximum(shares, 1e-12))


@dataclass(frozen=True, eq=False)
class Stream:
    """F features of known kinds, equally correlated, with missing and non-finite values."""

    kinds: tuple[Kind, ...]
    rho: float = 0.0

    def draw(self, rng: np.random.Generator, rows: int, windows: int, moves: Moves) -> Drawn:
        """Counts of `windows` windows of `rows` rows."""
        kinds, features = moves.kinds or self.kinds, np.arange(len(self.kinds))
        lost = np.take(MISSING, features % len(MISSING))
        lost = np.where(lost > 0.0, special.ndtr(special.ndtri(lost) + moves.missing), 0.0)
        missing = rng.binomial(rows, lost, (windows, len(self.kinds)))
        broken = np.take(NON_FINITE, features % len(NON_FINITE))
        broken = np.where(broken > 0.0, special.ndtr(special.ndtri(broken) + moves.missing), 0.0)
        broken = np.where([bool(kind.values) for kind in kinds], 0.0, broken)
        non_finite = rng.binomial(rows - missing, broken)
        there = rows - missing - non_finite
        by_row = self.rho > 0.0 or rows <= 3 * max(len(kind.buckets) for kind in self.kinds)
        counts = (
            self._by_row(rng, there, kinds, moves)
            if by_row
            else [
                rng.multinomial(there[:, at], kind.shares(moves.shift[at], moves.scale[at]))
                for at, kind in enumerate(kinds)
            ]
        )
        return Drawn(rows=rows, missing=missing, non_finite=non_finite, counts=counts)

    def _by_row(
        self, rng: np.random.Generator, there: Integers, kinds: Sequence[Kind], moves: Moves
    ) -> list[Integers]:
        windows, rows = len(there), int(there.max())
        counts: list[Integers] = [
            np.zeros((windows, len(kind.buckets)), np.int64) for kind in kinds
        ]
        own, common = np.float32(sqrt(1.0 - self.rho)), np.float32(sqrt(self.rho))
        shift, scale = moves.shift.astype(np.float32), moves.scale.astype(np.float32)
        for window in range(windows):
            for begin in range(0, rows, _ROWS_AT_ONCE):
                end = min(rows, begin + _ROWS_AT_ONCE)
                shared = rng.standard_normal(end - begin, dtype=np.float32) if self.rho else None
                for at, kind in enumerate(kinds):
                    # rows are exchangeable: the last ones are those that lack this value
                    size = min(end, int(there[window, at])) - begin
                    if size <= 0:
                        continue
                    scores = rng.standard_normal(size, dtype=np.float32)
                    if shared is not None:
                        scores = own * scores + common * shared[:size]
                    if shift[at] or scale[at] != 1.0:
                        scores = scores * scale[at] + shift[at]
                    counts[at][window] += np.bincount(
                        kind.place(scores), minlength=len(kind.buckets)
                    )
        return counts


@dataclass(frozen=True, eq=False)
class Drawn:
    """Counts of some windows."""

    rows: int
    missing: Integers
    non_finite: Integers
    """Windows x features."""
    counts: list[Integers]
    """For each feature windows x buckets."""

    def __len__(self) -> int:
        return len(self.missing)
