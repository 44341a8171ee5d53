"""Counts per score bucket of canary and champion, with the champion matched to the canary in time.

The share of requests that the canary gets changes from step to step, and the mixture of requests
changes with the hour. Pooled counts would take that for a difference of the versions. So each slot
of time is a stratum: the champion's distribution in it gets the weight that the slot has among the
canary's predictions (direct standardisation). The sums of the strata are all that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streaming.contracts.base import Value

Floats = npt.NDArray[np.float64]


class Matched(Value, frozen=True, kw_only=True):
    """Sums over strata; `canary` and `champion` have one row of counts for each outcome."""

    buckets: tuple[int, ...] = ()
    """Ids of the score buckets, ascending."""
    canary: tuple[tuple[float, ...], ...] = ()
    """The canary's counts per bucket."""
    champion: tuple[tuple[float, ...], ...] = ()
    """The champion's counts per bucket, each stratum scaled to the canary's number."""
    n1: int = 0
    """Predictions of the canary."""
    n0: int = 0
    """Predictions of the champion in the same strata."""
    squares: float = 0.0
    """Sum over the strata of n1² / n0."""

    @property
    def effective(self) -> float:
        """Effective size: the difference of the two distribution functions has the variance
        F (1 − F) / effective, as for two samples with effective = n1 n0 / (n1 + n0)."""
        return self.n1**2 / (self.n1 + self.squares) if self.n1 else 0.0

    @property
    def effective0(self) -> float:
        """Number of champion's predictions that would give the variance of its matched share."""
        return self.n1**2 / self.squares if self.squares else 0.0


def add_stratum(
    matched: Matched,
    canary: tuple[Sequence[int], Sequence[Sequence[int]]],
    champion: tuple[Sequence[int], Sequence[Sequence[int]]],
) -> Matched:
    """Add one stratum; one without predictions of both versions adds nothing.

    Parameters
    ----------
    matched:
        The sums so far.
    canary, champion:
        Bucket ids, and one row of counts per outcome, each parallel to the ids.

    Examples
    --------
    >>> twice = add_stratum(Matched(), ([1, 2], [[3, 1]]), ([1, 2], [[4, 4]]))
    >>> twice.champion, twice.n1, twice.n0, twice.squares
    (((2.0, 2.0),), 4, 8, 2.0)
    """
    n1 = sum(sum(row) for row in canary[1])
    n0 = sum(sum(row) for row in champion[1])
    if n1 <= 0 or n0 <= 0:
        return matched
    buckets = np.unique(np.concatenate((matched.buckets, canary[0], champion[0]))).astype(np.int64)
    rows = len(canary[1])

    def total(old: Sequence[Sequence[float]], ids: Sequence[int], new: Floats) -> Floats:
        sums = np.zeros((rows, len(buckets)))
        if len(old):
            sums[:, np.searchsorted(buckets, matched.buckets)] = old
        sums[:, np.searchsorted(buckets, ids)] += new
        return sums

    weighted = np.asarray(champion[1], np.float64) * (n1 / n0)
    return Matched(
        buckets=tuple(buckets.tolist()),
        canary=_rows(total(matched.canary, canary[0], np.asarray(canary[1], np.float64))),
        champion=_rows(total(matched.champion, champion[0], weighted)),
        n1=matched.n1 + n1,
        n0=matched.n0 + n0,
        squares=matched.squares + n1 * n1 / n0,
    )


def distance(matched: Matched) -> float:
    """Kolmogorov-Smirnov distance of the scores: largest difference of the distribution functions.

    >>> distance(add_stratum(Matched(), ([1, 2], [[4, 0]]), ([1, 2], [[1, 3]])))
    0.75
    """
    if not matched.n1:
        return 0.0
    difference = np.sum(matched.canary, axis=0) - np.sum(matched.champion, axis=0)
    return float(np.max(np.abs(np.cumsum(difference)))) / matched.n1


def largest_difference(matched: Matched) -> float:
    """Largest difference of the share of one bucket.

    >>> largest_difference(add_stratum(Matched(), ([1, 2, 3], [[4, 0, 4]]), ([1, 2], [[4, 4]])))
    0.5
    """
    if not matched.n1:
        return 0.0
    difference = np.sum(matched.canary, axis=0) - np.sum(matched.champion, axis=0)
    return float(np.max(np.abs(difference))) / matched.n1


def _rows(values: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in values.tolist())
