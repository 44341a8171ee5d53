"""Scores of a numeric feature's values, fixed by its reference.

With u_b = F(b) - p_b/2 the mid-rank of bucket b and a_b = Phi^-1(u_b) its normal score:

* Location (H1) is a, dispersion (H2) is a^2, shape (L1..L4) is u, u^2, u^3, u^4. Each is made
  orthonormal under the reference (Gram-Schmidt), so a mean score has mean 0 and variance 1/n.
* A bucket that the reference never saw takes the score of its position.

Reference and window are compared at the fewest fraction bits that tell the reference's values apart
(`resolution.resolving_bits`): six for a wide feature, more for a narrow one far from zero.

Sources: van der Waerden 1952; Klotz 1962; Neyman 1937; Mukhopadhyay & Parzen 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from streaming.contracts.records import NumericGrid
from streaming.drift.day_variance import BetweenDaySd
from streaming.drift.statistics.frequent_values import ReferenceValues
from streaming.drift.statistics.proportions import HEAVY, MAX_HEAVY
from streaming.drift.statistics.rare_values import RareValues, rare_values
from streaming.grid import MAX_FRACTION_BITS, Floats, Integers
from streaming.resolution import resolving_bits
from streaming.summary.grids import grid_counts

LOCATION, DISPERSION, SHAPE = 0, 1, slice(2, 6)
_MIN_TAIL = 1e-6
"""Ranks are cut to this distance from 0 and 1 before the normal score is taken."""
_MIN_NEW = 1e-9
"""A polynomial is left out if the previous ones explain all but this part of it, as happens when
there are few distinct values."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlignedCounts:
    """A window's counts with their positions among a reference's buckets."""

    buckets: Integers
    counts: Integers
    n: int
    """Sum of the counts."""
    columns: Integers
    """For each bucket, the column of its scores."""
    positions: Integers
    """For each bucket, its position among the reference's buckets; -1 if the reference never saw
    it."""
    line: Integers
    """For each bucket, its place in the line "gap below the first reference bucket, that bucket,
    the gap above it, and so on"."""

    @property
    def zero(self) -> int:
        """Index of bucket 0; -1 where the window has no such value."""
        at = int(self.buckets.searchsorted(0))
        return at if at < len(self.buckets) and self.buckets[at] == 0 else -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumericScores:
    """Scores of a reference grid, prepared for dot products with window counts."""

    fraction_bits: int
    """Bits of `buckets`."""
    m: int
    """Rows of the reference."""
    buckets: Integers
    counts: Integers
    shares: Floats
    scores: Floats
    """Six rows (H1, H2, L1..L4). The columns are the K buckets, then the K + 1 gaps around them."""
    usable: tuple[bool, ...]
    """For each row, whether it exists: a feature with k distinct values has k - 1 of each kind."""
    fourth: tuple[float, ...]
    """For each row, its fourth moment under the reference. Divided by n it shows how far the mean
    of n scores is from normal."""
    heaviest: float
    """Share of the most frequent bucket."""
    heavy: Integers
    """Positions of the buckets with more than `HEAVY` of the rows, zero excluded."""
    zero: int
    """Position of bucket 0; -1 where the reference never saw it."""
    values: ReferenceValues
    """The buckets, and last a bucket that the reference never saw."""
    curvature: float
    """Dispersion that a shift of one standard deviation adds: 1 / sqrt(2) for a normal reference, 0
    without a dispersion."""
    rare: RareValues
    """The rare buckets."""
    variance_cache: dict[tuple[bytes, BetweenDaySd], tuple[float, ...]] = field(
        default_factory=dict
    )
    """Results of `propagated_variance.shape_variances` and `value_variances`."""

    @property
    def two_valued(self) -> bool:
        """Whether the reference has two values, so one share; its shape is its location."""
        return len(self.buckets) == 2

    def columns(self, buckets: Integers) -> tuple[Integers, Integers]:
        """For each bucket, the column of its scores and its position (-1 if never seen)."""
        position, known = self._find(buckets)
        return np.where(known, position, len(self.buckets) + position), np.where(
            known, position, -1
        )

    def align(self, grid: NumericGrid) -> AlignedCounts:
        """A window's counts with their positions.

        Raises
        ------
        ValueError
            When the window has fewer fraction bits than these scores.
        """
        buckets, counts = self.counted(grid)
        position, known = self._find(buckets)
        return AlignedCounts(
            buckets=buckets,
            counts=counts,
            n=int(counts.sum()),
            columns=np.where(known, position, len(self.buckets) + position),
            positions=np.where(known, position, -1),
            line=2 * position + known,
        )

    def counted(self, grid: NumericGrid) -> tuple[Integers, Integers]:
        """A window's buckets and counts at the bits of these scores; raises as `align` does."""
        if grid.fraction_bits < self.fraction_bits:
            raise ValueError(
                f"A window with {grid.fraction_bits} fraction bits has no buckets of "
                f"{self.fraction_bits}; prepare the reference at the window's."
            )
        window = grid_counts(grid).at(self.fraction_bits)
        return window.ids, window.counts

    def _find(self, buckets: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
        position: Integers = np.searchsorted(self.buckets, buckets)
        known = self.buckets[np.minimum(position, len(self.buckets) - 1)] == buckets
        return position, known


def prepare_numeric(grid: NumericGrid, max_bits: int = MAX_FRACTION_BITS) -> NumericScores | None:
    """The scores of a reference grid, at `max_bits` at most; None when it is empty."""
    reference = grid_counts(grid)
    if not len(reference.ids):
        return None
    reference = reference.at(min(resolving_bits(reference), max_bits))
    buckets, counts = reference.ids, reference.counts
    m = int(counts.sum())
    shares = counts / m
    below = np.concatenate(([0.0], np.cumsum(shares)))
    ranks = np.concatenate((below[:-1] + shares / 2.0, below))
    weights = np.concatenate((shares, np.zeros(len(below))))
    rows, usable = _rows(ranks, weights, m)
    heavy = np.flatnonzero((shares > HEAVY) & (buckets != 0))
    heavy = heavy[np.lexsort((buckets[heavy], -counts[heavy]))][:MAX_HEAVY]
    zero = next(iter(np.flatnonzero(buckets == 0).tolist()), -1)
    own_test = np.zeros(len(buckets) + 1, bool)
    own_test[[*heavy.tolist(), zero]] = True
    own_test[-1] = False
    return NumericScores(
        fraction_bits=reference.fraction_bits,
        m=m,
        buckets=buckets,
        counts=counts,
        shares=shares,
        scores=rows,
        usable=usable,
        fourth=tuple((shares @ rows[:, : len(buckets)].T ** 4).tolist()),
        heaviest=float(shares.max()),
        heavy=heavy,
        zero=zero,
        values=ReferenceValues(np.append(counts, 0).astype(np.float64), own_test, m),
        curvature=_curvature(rows[:, : len(buckets)], shares),
        rare=rare_values(counts),
    )


def _curvature(rows: Floats, shares: Floats) -> float:
    """The dispersion that belongs to a location of 1.

    If the normal scores a shift by d standard deviations, the mean of a^2 rises by d^2 times their
    variance, and the mean dispersion score by d^2 / E[H1^2 H2].
    """
    moment = float(shares @ (rows[LOCATION] ** 2 * rows[DISPERSION]))
    return 1.0 / moment if moment > 0.0 else 0.0


def _rows(ranks: Floats, weights: Floats, m: int) -> tuple[Floats, tuple[bool, ...]]:
    edge = max(_MIN_TAIL, 0.5 / m)
    normal = special.ndtri(np.clip(ranks, edge, 1.0 - edge))
    centred = 2.0 * ranks - 1.0
    by_normal = orthonormal([normal, normal**2], weights)
    by_rank = orthonormal([centred**power for power in range(1, 5)], weights)
    rows = by_normal + by_rank
    zeros = np.zeros(len(ranks))
    return (
        np.array([zeros if row is None else row for row in rows]),
        tuple(row is not None for row in rows),
    )


def orthonormal(rows: Sequence[Floats], weights: Floats) -> list[Floats | None]:
    """Gram-Schmidt of 1 and `rows` under `weights` (sum 1); None for a row that adds nothing."""
    basis = [np.ones(len(weights))]
    result: list[Floats | None] = []
    for row in rows:
        size = float(weights @ row**2)
        residual = row
        for _ in range(2):  # twice is enough against rounding (Kahan)
            for direction in basis:
                residual = residual - float(weights @ (residual * direction)) * direction
        variance = float(weights @ residual**2)
        if variance <= _MIN_NEW * max(size, _MIN_NEW):
            result.append(None)
            continue
        basis.append(residual / np.sqrt(variance))
        result.append(basis[-1])
    return result
