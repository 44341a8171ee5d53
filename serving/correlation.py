"""How much the bad requests of an arm vary beyond chance over minutes: the variance inflation.

The e-values assume that blocks are independent. Where the errors of one server wander (a cache, a
garbage collector, a noisy neighbour), its blocks are not, and two identical servers differ for
minutes. The inflation is measured within each arm, over groups of blocks of half a minute to two
minutes, and the log evidence is divided by it: correlated blocks count as the smaller number of
independent ones that they are worth (Kish's design effect, as in cluster sampling).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

GROUPS = (6, 12, 24)
"""Blocks per group: 30 s, 60 s and 120 s of ordinary blocks. Wandering that is slower than this
changes little between the steps, and faster one is averaged within a block."""

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Sums of squares of one or several arms, by group size: observed and expected by chance."""

    observed: tuple[float, ...] = (0.0,) * len(GROUPS)
    expected: tuple[float, ...] = (0.0,) * len(GROUPS)

    def __add__(self, other: Dispersion) -> Dispersion:
        return Dispersion(
            tuple(a + b for a, b in zip(self.observed, other.observed, strict=True)),
            tuple(a + b for a, b in zip(self.expected, other.expected, strict=True)),
        )

    @property
    def inflation(self) -> float:
        """The largest ratio of observed to expected over the group sizes, at least 1."""
        ratios = [
            observed / expected
            for observed, expected in zip(self.observed, self.expected, strict=True)
            if expected > 0
        ]
        return max(1.0, *ratios) if ratios else 1.0


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
        Blocks with a higher share are left out: a dead server does not wander.

    Examples
    --------
    Errors that come evenly do not vary more than by chance; ones that come together do:

    >>> dispersion([1] * 24, [100] * 24).inflation
    1.0
    >>> dispersion([8, 8, 8, 8, 8, 8] + [0] * 18, [100] * 24).inflation > 20
    True
    """
    x = np.maximum(0.0, np.asarray(bad, dtype=np.float64))
    n = np.asarray(requests, dtype=np.float64)
    kept = x <= at_most * n
    x, n = np.where(kept, x, 0.0), np.where(kept, n, 0.0)
    share = _shares(x, n, levels)
    residual, variance = x - n * share, n * share * (1 - share)
    observed, expected = [], []
    for size in GROUPS:
        groups = len(x) // size
        if groups < 2:
            observed.append(0.0)
            expected.append(0.0)
            continue
        used = groups * size
        sums = residual[-used:].reshape(groups, size).sum(axis=1)
        observed.append(float(sums @ sums))
        # one degree of freedom went into the share
        expected.append(float(variance[-used:].sum()) * (groups - 1) / groups)
    return Dispersion(tuple(observed), tuple(expected))


def _shares(x: Counts, n: Counts, levels: NDArray[np.int64] | None) -> Counts:
    if levels is None:
        return np.full(len(x), x.sum() / max(1.0, n.sum()))
    shares = np.zeros(len(x))
    for label in set(levels.tolist()):
        at = levels == label
        shares[at] = x[at].sum() / max(1.0, n[at].sum())
    return shares
