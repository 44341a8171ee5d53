"""Kinds of features with a known distribution, cut into buckets or categories.

A value of every kind is x = G(z) with z standard normal and G increasing. So three things are the
same for all kinds: a daily offset or shift changes z, a correlation correlates z (a Gaussian
copula), and a bucket of the universal grid is an interval of z. Discrete kinds and categories are
wide intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy import special

from streaming.drift.statistics.rank_scores import orthonormal
from streaming.grid import Floats, Integers, bucket_of, upper

_CELLS_PER_SD = 2_048
_MAX_SCORE = 8.0
"""When rows are drawn, scores are cut to a lattice of 1/2,048 sd between -8 and 8. The edges of
buckets lie on it, so that rows drawn one by one and counts drawn at once have the same law."""
_MIN_TAIL = 1e-9
"""Buckets beyond this share of either tail are joined to their neighbour."""
_MIN_VALUE = 1e-5
"""Buckets closer to zero than this are joined."""


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of feature: K buckets and the K - 1 scores between them."""

    name: str
    buckets: Integers
    """Ids on the universal grid, ascending."""
    edges: Floats
    """Normal scores at which one bucket ends and the next begins."""
    values: tuple[str, ...] = ()
    """Values of a category; empty for a number."""

    def shares(self, shift: float = 0.0, scale: float = 1.0) -> Floats:
        """Probability of every bucket when all scores are multiplied by `scale`, then shifted by
        `shift`.

        >>> counted = KINDS["sparse"].shares()
        >>> round(float(counted[0]), 2), round(float(counted.sum()), 6)
        (0.6, 1.0)
        """
        below = special.ndtr(np.concatenate(([-np.inf], (self.edges - shift) / scale, [np.inf])))
        return np.diff(below)

    @cached_property
    def gains(self) -> Floats:
        """Changes of the measured location and dispersion (rows) per unit of shift and of stretch
        by 1 + 1 / sqrt(2) (columns): 1 and 0 for a continuous kind.

        >>> (np.round(KINDS["normal"].gains, 2) + 0.0).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        shares, step = self.shares(), 1e-3
        normal = special.ndtri(np.cumsum(shares) - shares / 2.0)
        location, dispersion = orthonormal([normal, normal**2], shares)
        if location is None or dispersion is None:
            raise ValueError(f"{self.name} has too few values for a location and a dispersion.")
        shifted = (self.shares(step) - self.shares(-step)) / (2.0 * step)
        stretched = (self.shares(0.0, 1.0 + step) - self.shares(0.0, 1.0 - step)) / (2.0 * step)
        changes = np.array([shifted, stretched / sqrt(2.0)]).T
        gains: Floats = np.array([location, dispersion]) @ changes
        return gains

    def with_shares(self, shares: Floats) -> Kind:
        """The same values with other shares."""
        edges = np.clip(special.ndtri(np.cumsum(shares)[:-1]), -_MAX_SCORE, _MAX_SCORE)
        return Kind(self.name, self.buckets, np.maximum.accumulate(edges), self.values)

    @cached_property
    def _cell_positions(self) -> npt.NDArray[np.int32]:
        """For each cell of the lattice, the position of its bucket."""
        cells = int(2 * _MAX_SCORE * _CELLS_PER_SD)
        middle = (np.arange(cells) + 0.5) / _CELLS_PER_SD - _MAX_SCORE
        return np.searchsorted(self.edges, middle).astype(np.int32)

    def positions(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """For each score, the position of its bucket in `buckets`."""
        cells = (scores * _CELLS_PER_SD + _MAX_SCORE * _CELLS_PER_SD).astype(np.int32)
        np.clip(cells, 0, len(self._cell_positions) - 1, out=cells)
        return self._cell_positions[cells]


def _kind(name: str, buckets: Integers, edges: Floats, values: tuple[str, ...] = ()) -> Kind:
    """The kind with its edges on the lattice; buckets that lose all their width are dropped."""
    snapped = np.round(np.clip(edges, -_MAX_SCORE, _MAX_SCORE) * _CELLS_PER_SD) / _CELLS_PER_SD
    wide = np.diff(snapped, prepend=-np.inf) > 0.0
    kept = np.append(wide, True)
    named = tuple(value for value, keep in zip(values, kept, strict=True) if keep) if values else ()
    return Kind(name, buckets[kept], snapped[wide], named)


def _continuous(name: str, low: float, high: float, scores_of: Callable[[Floats], Floats]) -> Kind:
    """A continuous kind between `low` and `high`; `scores_of` gives the normal scores of values."""
    first, last = bucket_of([low, high]).tolist()
    ids: Integers = np.arange(first, last + 1, dtype=np.int64)
    ids = ids[np.abs(ids) >= abs(int(bucket_of([_MIN_VALUE])[0]))]
    ends = upper(ids[:-1])
    ends[(ids[:-1] < 0) & (ids[1:] > 0)] = 0.0
    scores = np.asarray(scores_of(ends), float)
    kept = np.abs(scores) < -float(special.ndtri(_MIN_TAIL))
    inside = np.flatnonzero(kept)
    return _kind(name, ids[inside[0] : inside[-1] + 2], scores[inside])


def _discrete(name: str, values: Floats, below: Floats) -> Kind:
    """A kind with `values` and the probability of each value or less."""
    return _kind(name, bucket_of(values).astype(np.int64), np.asarray(special.ndtri(below[:-1])))


def _category(name: str, weights: Sequence[float]) -> Kind:
    """A category with shares in random order, so that neighbours in z are not similar."""
    shares = np.random.default_rng(len(weights)).permutation(np.array(weights, float))
    below = np.cumsum(shares / shares.sum())[:-1]
    values = tuple(f"v{number}" for number in range(len(weights)))
    return _kind(name, np.arange(len(weights)), np.asarray(special.ndtri(below)), values)


def _sparse(name: str, zeros: float) -> Kind:
    """Zero with probability `zeros`, else lognormal."""
    amount = _continuous(
        name,
        1e-3,
        1e5,
        lambda x: np.asarray(
            special.ndtri(zeros + (1.0 - zeros) * special.ndtr((np.log(x) - 1.0) / 0.6))
        ),
    )
    edge = float(special.ndtri(zeros))
    first = int(np.searchsorted(amount.edges, edge + 1e-9))
    return _kind(
        name,
        np.concatenate(([0], amount.buckets[first:])),
        np.concatenate(([edge], amount.edges[first:])),
    )


def _poisson(mean: float) -> tuple[Floats, Floats]:
    values: Floats = np.arange(0.0, 8.0 + 12.0 * mean, dtype=np.float64)
    below: Floats = np.asarray(special.pdtr(values, mean), float)
    kept = below < 1.0 - _MIN_TAIL
    last = int(kept.sum()) + 1
    return values[:last], below[:last]


@cache
def _kinds() -> Mapping[str, Kind]:
    small: Floats = np.arange(1.0, 7.0, dtype=np.float64)
    below: Floats = np.cumsum([0.35, 0.25, 0.15, 0.1, 0.1, 0.05])
    kinds = (
        _continuous("normal", -7.0, 7.0, lambda x: x),
        _continuous("lognormal", 1e-4, 1e5, lambda x: np.log(x) - 2.0),
        _continuous(
            "pareto", 1.0, 1e7, lambda x: -np.asarray(special.ndtri(np.minimum(1.0, x**-1.5)))
        ),
        _continuous("t3", -1e4, 1e4, lambda x: np.asarray(special.ndtri(special.stdtr(3, x)))),
        _discrete("poisson", *_poisson(3.0)),
        _discrete("rare counts", *_poisson(0.2)),
        _discrete("small integers", small, below),
        _sparse("sparse", 0.6),
        _sparse("very sparse", 0.95),
        _category("few values", (0.4, 0.3, 0.2, 0.08, 0.02)),
        _category("many values", [1.0 / rank for rank in range(1, 61)]),
    )
    return {kind.name: kind for kind in kinds}


KINDS: Mapping[str, Kind] = _kinds()
"""Normal; skewed (lognormal); heavy tails (Pareto 1.5, t3); counts and small integers; 60 % and
95 % zeros; categories with 5 and with 60 values."""
