"""How much the bad requests of an arm vary beyond chance over minutes, and whether they wander.

The e-values assume that blocks are independent. Where the errors of one server wander (a cache, a
garbage collector, a noisy neighbour), its blocks are not, and two identical servers differ for
minutes. Two things are measured within each arm:

- the variance inflation, over groups of blocks of half a minute to two minutes. The log evidence is
  divided by it: correlated blocks count as the smaller number of independent ones that they are
  worth (Kish's design effect, as in cluster sampling). What the arms with the champion show is
  converted to the traffic of the two that are compared;
- whether an arm may wander: its groups of blocks differ by more than by chance. Its size
  cannot be measured in a rollout, which lasts for only a few lengths of the correlation; its
  presence can. Evidence is then counted in long blocks (`serving.harm`), unless the arms that are
  compared have so few bad requests that wandering of this size is lost in their chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtr, chdtrc, chdtri

SIZES = (1, 3, 7, 15, 30)
"""Blocks per group: 4 s to 120 s of ordinary blocks. Wandering that is slower than this changes
little between the steps. Many small groups show soonest that errors wander; their number is what
the first minutes have."""

FROM = 2
"""Index of the smallest size that the inflation is measured at, about 30 s."""

CHANCE = 0.02
"""Probability of taking errors that come by chance for wandering, for each group size. That costs
time, and no proof: the evidence is then counted in long blocks."""

LIKELY = 0.2
"""Probability from which what varies is taken for chance where wandering is not proven."""

RATIO, DOUBT = 2.0, 0.05
"""Groups whose sum of squares is this many times that of independent blocks would come with this
probability, or less, where blocks are called independent."""

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Sums of squares of one or several arms, by group size: observed and expected by chance."""

    observed: tuple[float, ...] = (0.0,) * len(SIZES)
    expected: tuple[float, ...] = (0.0,) * len(SIZES)
    spread: tuple[float, ...] = (0.0,) * len(SIZES)
    """Variance of the observed sums of squares by chance."""
    blocks: float = 0.0
    """Sum of squares of groups of 30 s if the blocks vary as they do, independently."""

    def __add__(self, other: Dispersion) -> Dispersion:
        return Dispersion(
            observed=_added(self.observed, other.observed),
            expected=_added(self.expected, other.expected),
            spread=_added(self.spread, other.spread),
            blocks=self.blocks + other.blocks,
        )

    @property
    def wanders(self) -> bool:
        """Whether an arm varies beyond chance, and may do so for minutes.

        Sums of squares are held against chi-square distributions of the same mean and variance
        (Satterthwaite 1946). In the first minutes nothing tells wandering from blocks that vary
        independently (a negative binomial distribution, short bursts), and both are taken for
        wandering. Later the latter are known: their groups vary as their blocks do.
        """
        beyond_chance = any(
            mean > 0 and chdtrc(*_chi_square(observed, mean, variance)) < CHANCE
            for observed, mean, variance in zip(
                self.observed, self.expected, self.spread, strict=True
            )
        )
        return beyond_chance and not self._independent

    @property
    def _independent(self) -> bool:
        """Whether groups of 30 s vary as independent blocks would, and that is certain."""
        observed, blocks = self.observed[FROM], self.blocks
        if not (self.expected[FROM] > 0 and blocks > 0):
            return False
        scale = RATIO * blocks  # in chance variances, like `observed`
        freedom, value = _chi_square(
            observed, scale, self.spread[FROM] * (scale / self.expected[FROM]) ** 2
        )
        return bool(chdtr(freedom, value) < DOUBT)

    def inflation_of(self, weights: Sequence[float], *, at_most: bool = False) -> float:
        """The variance inflation of two arms with other traffic than those measured, at least 1.

        An arm whose share of bad requests has the relative variance τ² within groups of mean count
        μ has the variance μ + τ²μ² (as in a negative binomial distribution). So what these arms
        vary beyond chance says how much others do: a stable arm with a hundred times the requests
        shows a relative variance that its small neighbours hardly feel.

        Parameters
        ----------
        weights:
            For each size from `FROM` on, by how much the two arms' variance grows with τ²; see
            `pair_weight`.
        at_most:
            Whether to take the largest τ² that the observed sums of squares do not exclude (with
            probability `DOUBT`), instead of the estimate.
        """
        inflation = 1.0
        for index, weight in enumerate(weights, start=FROM):
            mean, variance = self.expected[index], self.spread[index]
            squares = (variance - mean) / 2  # sum of μ² over the groups
            if not (mean > 0 and squares > 0):
                continue
            observed = self.observed[index]
            if at_most:
                freedom = 2 * mean * mean / variance
                observed *= freedom / float(chdtri(freedom, 1 - DOUBT))
            elif chdtrc(*_chi_square(observed, mean, variance)) > LIKELY:
                continue
            inflation = max(inflation, 1.0 + weight * (observed - mean) / squares)
        return inflation

    @property
    def inflation(self) -> float:
        """The largest ratio of observed to expected over groups of 30 s to 120 s, at least 1."""
        ratios = [
            observed / expected
            for observed, expected in zip(self.observed[FROM:], self.expected[FROM:], strict=True)
            if expected > 0
        ]
        return max(1.0, *ratios) if ratios else 1.0


def pair_weight(
    bad1: Counts, requests1: Counts, bad0: Counts, requests0: Counts, size: int
) -> float:
    """By how much the variance of two arms' difference grows with the relative variance of each.

    The difference of equal traffic is x₁ − r·x₀, r the ratio of requests. Its variance by chance is
    Σ(μ₁ + r²μ₀) over groups of `size` blocks, and grows by τ²Σ(μ₁² + r²μ₀²). Of a Poisson count x,
    x² − x has the mean μ².

    >>> ten = np.full(12, 10.0)
    >>> 55 < pair_weight(ten, 100 * ten, ten, 100 * ten, 6) < 60
    True
    """
    starts = np.arange(0, len(bad1), size)
    ratio = float(requests1.sum() / max(1.0, requests0.sum()))
    chance = squares = 0.0
    for bad, scale in ((bad1, 1.0), (bad0, ratio)):
        x = np.maximum(0.0, np.add.reduceat(bad, starts))
        chance += scale * scale * float(x.sum())
        squares += scale * scale * float(x @ x - x.sum())
    return max(0.0, squares) / chance if chance > 0 else 0.0


def _added(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _chi_square(observed: float, mean: float, variance: float) -> tuple[float, float]:
    """Degrees of freedom and value of a sum of squares with this mean and variance by chance."""
    freedom = 2 * mean * mean / variance
    return freedom, freedom * observed / mean


def dispersion(
    bad: ArrayLike,
    requests: ArrayLike,
    levels: NDArray[np.int64] | None = None,
    *,
    at_most: float = 1.0,
) -> Dispersion:
    """The dispersion of one arm over groups of consecutive blocks.

    Parameters
    ----------
    bad, requests:
        Per block.
    levels:
        Label of each block; the arm's share is compared within a label. None: one share.
    at_most:
        Blocks with a higher share are left out, and those beside them, which hold the rest of the
        same outage: a dead server does not wander.

    Examples
    --------
    Errors that come evenly do not vary more than by chance; ones that come together do:

    >>> dispersion([1] * 28, [100] * 28).inflation
    1.0
    >>> dispersion([8, 8, 8, 8, 8, 8, 8] + [0] * 21, [100] * 28).inflation > 20
    True
    """
    x = np.maximum(0.0, np.asarray(bad, dtype=np.float64))
    n = np.asarray(requests, dtype=np.float64)
    dead = x > at_most * n
    beside = np.convolve(dead, (1, 1, 1))[1:-1] > 0 if len(dead) else dead
    kept = ~beside
    x, n = np.where(kept, x, 0.0), np.where(kept, n, 0.0)
    share = _shares(x, n, levels)
    residual, variance = x - n * share, n * share * (1 - share)
    observed: list[float] = []
    expected: list[float] = []
    spread: list[float] = []
    blocks = 0.0
    for size in SIZES:
        groups = len(x) // size
        if groups < 2:
            for sums in (observed, expected, spread):
                sums.append(0.0)
            continue
        used = groups * size
        of_groups, by_chance = (
            values[-used:].reshape(groups, size).sum(axis=1) for values in (residual, variance)
        )
        left = (groups - 1) / groups  # one degree of freedom went into the share
        observed.append(float(of_groups @ of_groups))
        expected.append(float(by_chance.sum()) * left)
        spread.append(float(2 * by_chance @ by_chance + by_chance.sum()) * left)
        if size == SIZES[FROM]:
            blocks = float(residual[-used:] @ residual[-used:]) * left
    return Dispersion(tuple(observed), tuple(expected), tuple(spread), blocks)


def _shares(x: Counts, n: Counts, levels: NDArray[np.int64] | None) -> Counts:
    if levels is None:
        return np.full(len(x), x.sum() / max(1.0, n.sum()))
    shares = np.zeros(len(x))
    for label in set(levels.tolist()):
        at = levels == label
        shares[at] = x[at].sum() / max(1.0, n[at].sum())
    return shares
