"""How often the tests of one feature say the same thing: their union over the sum of their sizes.

Location and the first component of shape nearly coincide, a share of zeros moves the mean rank,
a heavy category is part of its chi-square. Adding the sizes of such tests counts the same false
alarm twice. Their joint law under the reference is, in the limit, that of linear scores with
correlations the reference fixes.

Hits are rare, so they are not waited for: draws are taken from each test's own hits, and with S
the number of tests that hit in such a draw, the union is the sum of the sizes times the mean of
1 / S (Owen, Maximov & Chertkov 2019). All draws start from the same normal numbers; some thousand
of them know the ratio to a third of a percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from streaming.drift.categories import CategoryShares
from streaming.drift.scores import DISPERSION, LOCATION, SHAPE, NumberScores
from streaming.grid import Floats, Integers

LEVEL = 0.02
"""Size of a feature's tests together at which the overlap is counted; it hardly depends on it."""
_DRAWS = 4_096
_MOST_CELLS = 64
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_ABOUT_ONE = 0.5
"""A row of scores has variance 1, or 0 where it tells nothing."""


@dataclass(frozen=True, slots=True)
class _Hit:
    """A test's hit: the squares of these independent standard normal rows add up to too much."""

    name: str
    rows: tuple[int, ...]
    degrees: int
    size: float


def overlap_of_numbers(scores: NumberScores, weights: Mapping[str, float]) -> float:
    """Union over sum of location, dispersion, shape, zero and single values, as far as they run.

    Parameters
    ----------
    weights:
        Of the tests that run, by name.
    """
    known = scores.scores[:, : len(scores.buckets)]
    zero = np.flatnonzero(scores.buckets == 0) if "zero" in weights else scores.heavy[:0]
    places = np.concatenate((zero, scores.heavy)).astype(np.int64)
    shares = scores.shares[places]
    alike = np.zeros((len(places), len(scores.buckets)))
    alike[np.arange(len(places)), places] = 1.0
    alike = (alike - shares[:, None]) / np.sqrt(np.maximum(shares * (1.0 - shares), 1e-12))[:, None]
    rows = np.vstack((known, alike))
    covariance = (rows * scores.shares) @ rows.T
    shape = [row for row in range(6)[SHAPE] if scores.usable[row]]
    single = 6 + np.arange(len(places))
    hits = [
        *_hits("location", np.array([LOCATION]), covariance, weights),
        *_hits("dispersion", np.array([DISPERSION]), covariance, weights),
        *_hits("zero", single[: len(zero)], covariance, weights),
        *_hits("value", single[len(zero) :], covariance, weights),
    ]
    if "shape" in weights and shape:
        hits.append(_Hit("shape", tuple(shape), len(shape), LEVEL * weights["shape"]))
    return _union(_normals()[:, : len(rows)] @ _root(covariance).T, covariance, hits)


def overlap_of_categories(shares: CategoryShares, weights: Mapping[str, float]) -> float:
    """Union over sum of the chi-square and the heavy categories alone."""
    p = shares.counts[:_MOST_CELLS] / shares.m
    rest = max(0.0, 1.0 - float(p.sum()))
    p = np.append(p, rest) if rest > 1e-12 else p
    root, heavy = np.sqrt(p), shares.heavy
    cells = np.eye(len(p)) - np.outer(root, root)
    spread = np.sqrt(np.maximum(1.0 - p[heavy], 1e-12))
    rows = np.vstack((cells, cells[heavy] / spread[:, None]))
    covariance = rows @ rows.T
    hits = _hits("value", len(p) + np.arange(len(heavy)), covariance, weights)
    if "category" in weights and len(p) > 1:
        cell = tuple(range(len(p)))
        hits.append(_Hit("category", cell, len(p) - 1, LEVEL * weights["category"]))
    return _union(_normals()[:, : len(p)] @ rows.T, covariance, hits)


def _hits(
    name: str, rows: Integers, covariance: Floats, weights: Mapping[str, float]
) -> list[_Hit]:
    """One hit for each row, at an equal part of the test's size."""
    if name not in weights:
        return []
    return [
        _Hit(name, (row,), 1, LEVEL * weights[name] / len(rows))
        for row in rows.tolist()
        if covariance[row, row] > _ABOUT_ONE
    ]


def _union(normal: Floats, covariance: Floats, hits: Sequence[_Hit]) -> float:
    """P(any test hits) / sum of P(each test hits); 1 for a single test.

    Parameters
    ----------
    normal:
        Draws x rows, as under the reference.
    covariance:
        Of the rows.
    """
    if len({hit.name for hit in hits}) < 2:
        return 1.0
    draws, parts = normal.copy(), _parts(tuple(hit.size for hit in hits))
    for hit, part in zip(hits, parts, strict=True):
        own = normal[part, hit.rows]
        enough = _squares_beyond(hit.degrees, hit.size, part.start, part.stop)
        longer = np.sqrt(enough / np.sum(own**2, axis=1)) - 1.0
        # what the other rows have of these moves with them
        draws[part] += (own * longer[:, None]) @ covariance[list(hit.rows)]
    draws **= 2
    found = np.empty((len(hits), len(draws)))
    chance = np.empty(len(draws))
    for at, (hit, part) in enumerate(zip(hits, parts, strict=True)):
        squares = draws[:, list(hit.rows)].sum(axis=1)
        found[at] = squares >= special.chdtri(hit.degrees, hit.size)
        found[at, part] = 1.0
        chance[part] = hit.size / max(1, part.stop - part.start)
    whole = 0.0
    for name in {hit.name: hit for hit in hits}:
        mine = [at for at, hit in enumerate(hits) if hit.name == name]
        for at in mine:
            own = found[mine, parts[at]].sum(axis=0)
            whole += float(chance[parts[at]] @ (1.0 / own))
    return min(1.0, float(chance @ (1.0 / found.sum(axis=0))) / whole)


def _parts(sizes: tuple[float, ...]) -> list[slice]:
    """The draws by hit, as many as its size deserves."""
    ends = np.rint(np.cumsum(sizes) / sum(sizes) * _DRAWS).astype(int).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


@lru_cache(maxsize=256)
def _squares_beyond(degrees: int, size: float, start: int, stop: int) -> Floats:
    """Chi-squares beyond what `size` of all exceed, evenly spread in their tail: any run of these
    multiples of the golden ratio is."""
    even = np.arange(start + 1, stop + 1) * _GOLDEN % 1.0
    found: Floats = special.chdtri(degrees, size * even)
    return found


@lru_cache(maxsize=1)
def _normals() -> Floats:
    """The same standard normal numbers for everybody; a column each for the rows."""
    rows = np.random.default_rng(20_261_123).standard_normal((_MOST_CELLS + 1, _DRAWS))
    return rows.T


def _root(covariance: Floats) -> Floats:
    """A matrix whose square is the covariance; negative rounding is cut."""
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
