"""Scores of a numeric feature, fixed by its reference.

With u_b = F(b) - p_b/2 the mid-rank of bucket b and a_b = Phi^-1(u_b) its normal score:

* location (H1): a, dispersion (H2): a^2, shape (L1..L4): u, u^2, u^3, u^4, each made orthonormal
  under the reference (Gram-Schmidt), so that a mean score has mean 0 and variance 1/n.
* a bucket that the reference never saw takes the score of its position.

Sources: van der Waerden 1952; Klotz 1962; Neyman 1937; Mukhopadhyay & Parzen 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from streaming.contracts.records import NumericGrid
from streaming.drift.day_variance import Strays
from streaming.drift.statistics.proportions import HEAVY, MAX_HEAVY
from streaming.grid import Floats, Integers

LOCATION, DISPERSION, SHAPE = 0, 1, slice(2, 6)
_FARTHEST = 1e-6
_SAME = 1e-9
"""A polynomial that the ones before explain up to this is left out (few distinct values)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """A window's counts beside a reference's buckets."""

    buckets: Integers
    counts: Integers
    n: int
    """Sum of the counts."""
    columns: Integers
    """Of the scores."""
    places: Integers
    """Among the reference's buckets; -1 for what it never saw."""
    order: Integers
    """Among the gap below the first bucket, that bucket, the gap above it, and so on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumberScores:
    """A reference grid, ready for dot products."""

    pivot: float
    m: int
    buckets: Integers
    counts: Integers
    shares: Floats
    scores: Floats
    """Six rows (H1, H2, L1..L4); columns: the K buckets, then the K + 1 gaps around them."""
    usable: tuple[bool, ...]
    """Which rows exist: a feature with k distinct values has k - 1 of each kind."""
    fourth: tuple[float, ...]
    """Fourth moment of each row under the reference: over n it tells how far the mean of n is
    from normal."""
    heaviest: float
    """Share of the most frequent bucket."""
    heavy: Integers
    """Places of single values with more than `HEAVY` of the mass, zero excluded."""
    once: int
    """Buckets seen exactly once, …"""
    twice: int
    """… and twice."""
    lasting: dict[tuple[bytes, Strays], tuple[float, ...]] = field(default_factory=dict)
    """What `shape_variances` found."""

    def columns(self, buckets: Integers) -> tuple[Integers, Integers]:
        """For each window bucket the column of its scores and its place among the buckets."""
        place, known = self._find(buckets)
        return np.where(known, place, len(self.buckets) + place), np.where(known, place, -1)

    def placed(self, grid: NumericGrid) -> Placed:
        """A window's counts, each with its place."""
        buckets, counts = np.array(grid.buckets, np.int64), np.array(grid.counts, np.int64)
        place, known = self._find(buckets)
        return Placed(
            buckets=buckets,
            counts=counts,
            n=int(counts.sum()),
            columns=np.where(known, place, len(self.buckets) + place),
            places=np.where(known, place, -1),
            order=2 * place + known,
        )

    def _find(self, buckets: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
        place: Integers = np.searchsorted(self.buckets, buckets)
        known = self.buckets[np.minimum(place, len(self.buckets) - 1)] == buckets
        return place, known


def prepare_scores(grid: NumericGrid) -> NumberScores | None:
    """The scores of a reference grid; None when it is empty."""
    buckets = np.array(grid.buckets, np.int64)
    counts = np.array(grid.counts, np.int64)
    if not len(buckets):
        return None
    m = int(counts.sum())
    shares = counts / m
    below = np.concatenate(([0.0], np.cumsum(shares)))
    ranks = np.concatenate((below[:-1] + shares / 2.0, below))
    weights = np.concatenate((shares, np.zeros(len(below))))
    rows, usable = _rows(ranks, weights, m)
    heavy = np.flatnonzero((shares > HEAVY) & (buckets != 0))
    return NumberScores(
        pivot=grid.pivot,
        m=m,
        buckets=buckets,
        counts=counts,
        shares=shares,
        scores=rows,
        usable=usable,
        fourth=tuple((shares @ rows[:, : len(buckets)].T ** 4).tolist()),
        heaviest=float(shares.max()),
        heavy=heavy[np.lexsort((buckets[heavy], -counts[heavy]))][:MAX_HEAVY],
        once=int((counts == 1).sum()),
        twice=int((counts == 2).sum()),
    )


def _rows(ranks: Floats, weights: Floats, m: int) -> tuple[Floats, tuple[bool, ...]]:
    edge = max(_FARTHEST, 0.5 / m)
    normal = special.ndtri(np.clip(ranks, edge, 1.0 - edge))
    centred = 2.0 * ranks - 1.0
    by_normal = orthonormal([normal, normal**2], weights)
    by_rank = orthonormal([centred**power for power in range(1, 5)], weights)
    found = by_normal + by_rank
    nothing = np.zeros(len(ranks))
    return (
        np.array([nothing if row is None else row for row in found]),
        tuple(row is not None for row in found),
    )


def orthonormal(rows: Sequence[Floats], weights: Floats) -> list[Floats | None]:
    """Gram-Schmidt of `rows` and 1 under `weights` (sum 1); None for what adds nothing new."""
    basis = [np.ones(len(weights))]
    found: list[Floats | None] = []
    for row in rows:
        size = float(weights @ row**2)
        rest = row
        for _ in range(2):  # twice is enough against rounding (Kahan)
            for other in basis:
                rest = rest - float(weights @ (rest * other)) * other
        left = float(weights @ rest**2)
        if left <= _SAME * max(size, _SAME):
            found.append(None)
            continue
        basis.append(rest / np.sqrt(left))
        found.append(basis[-1])
    return found
