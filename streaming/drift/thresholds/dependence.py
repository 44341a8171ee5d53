"""How often the tests of one feature say the same thing: their union over the sum of their sizes.

Location and the first component of shape nearly coincide, a share of zeros moves the mean rank,
a heavy category is part of its chi-square. Adding the sizes of such tests counts the same false
alarm twice. Their joint law under the reference is, in the limit, that of linear scores with
correlations the reference fixes.

Hits are rare, so they are not waited for: draws are taken from each test's own hits, in proportion
to its size, and one in which S tests hit counts 1 / S (Owen, Maximov & Chertkov 2019). All draws
start from the same normal numbers; some thousand of them know the ratio to a third of a percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import special

from streaming.drift.statistics.categorical import CategoryShares
from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, SHAPE, NumberScores
from streaming.grid import Floats, Integers

LEVEL = 0.02
"""Size of a feature's tests together at which the overlap is counted; it hardly depends on it."""
_DRAWS = 4_096
_MAX_CELLS = 64
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


class Overlap:
    """For any of one feature's tests: their union over the sum of their sizes.

    Parameters
    ----------
    of:
        What the reference knows of the feature; None when nothing.
    weights:
        Of the feature's tests, by name.
    """

    def __init__(
        self, of: NumberScores | CategoryShares | None, weights: Mapping[str, float]
    ) -> None:
        self._of = of
        self._weights = weights
        self._found: dict[frozenset[str], float] = {}

    def among(self, names: frozenset[str]) -> float:
        """P(any of these tests hits) / sum of P(each hits); 1 for a single one."""
        if names not in self._found:
            self._found[names] = self._ratio(names) if len(names) > 1 else 1.0
        return self._found[names]

    def _ratio(self, names: frozenset[str]) -> float:
        hit = [(len(together & names), chance) for together, chance in self._law.items()]
        whole = sum(tests * chance for tests, chance in hit)
        return min(1.0, sum(chance for tests, chance in hit if tests) / whole) if whole else 1.0

    @cached_property
    def _law(self) -> Mapping[frozenset[str], float]:
        """The chance of each set of tests to hit together, made when it is first asked for."""
        if isinstance(self._of, NumberScores):
            return _law_of_numbers(self._of, self._weights)
        if isinstance(self._of, CategoryShares):
            return _law_of_categories(self._of, self._weights)
        return {}


def _law_of_numbers(
    scores: NumberScores, weights: Mapping[str, float]
) -> dict[frozenset[str], float]:
    """Of location, dispersion, shape, zero and single values, as far as they have a weight."""
    known = scores.scores[:, : len(scores.buckets)]
    zero = np.flatnonzero(scores.buckets == 0) if "zero" in weights else scores.heavy[:0]
    places = np.concatenate((zero, scores.heavy)).astype(np.int64)
    shares = scores.shares[places]
    spread = np.sqrt(np.maximum(shares * (1.0 - shares), 1e-12))
    alike = np.zeros((len(places), len(scores.buckets)))
    alike[np.arange(len(places)), places] = 1.0
    rows = np.vstack((known, (alike - shares[:, None]) / spread[:, None]))
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
    return _law(_normals()[:, : len(rows)] @ _root(covariance).T, covariance, hits)


def _law_of_categories(
    shares: CategoryShares, weights: Mapping[str, float]
) -> dict[frozenset[str], float]:
    """Of the chi-square and the heavy categories alone."""
    p = shares.counts[:_MAX_CELLS] / shares.m
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
    return _law(_normals()[:, : len(p)] @ rows.T, covariance, hits)


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


def _law(normal: Floats, covariance: Floats, hits: Sequence[_Hit]) -> dict[frozenset[str], float]:
    """The chance of each set of tests that hit together.

    Parameters
    ----------
    normal:
        Draws x rows, as under the reference.
    covariance:
        Of the rows.
    """
    names = sorted({hit.name for hit in hits})
    if len(names) < 2:
        return {}
    draws, parts = normal.copy(), _parts(tuple(hit.size for hit in hits))
    chance = np.empty(len(draws))
    for hit, part in zip(hits, parts, strict=True):
        own = normal[part, hit.rows]
        enough = _squares_beyond(hit.degrees, hit.size, part.start, part.stop)
        longer = np.sqrt(enough / np.sum(own**2, axis=1)) - 1.0
        # what the other rows have of these moves with them
        draws[part] += (own * longer[:, None]) @ covariance[list(hit.rows)]
        chance[part] = hit.size / max(1, part.stop - part.start)
    draws **= 2
    times, which = np.zeros(len(draws)), np.zeros(len(draws), np.int64)
    for hit, part in zip(hits, parts, strict=True):
        one = len(hit.rows) == 1
        squares = draws[:, hit.rows[0]] if one else draws[:, list(hit.rows)].sum(axis=1)
        found = squares >= _limit(hit.degrees, hit.size)
        found[part] = True
        times += found
        which |= found.astype(np.int64) << names.index(hit.name)
    law = np.bincount(which, chance / times, 1 << len(names))
    return {
        frozenset(name for at, name in enumerate(names) if which >> at & 1): float(law[which])
        for which in np.flatnonzero(law).tolist()
    }


@lru_cache(maxsize=1024)
def _limit(degrees: int, size: float) -> float:
    return float(special.chdtri(degrees, size))


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
    rows = np.random.default_rng(20_261_123).standard_normal((_MAX_CELLS + 1, _DRAWS))
    return rows.T


def _root(covariance: Floats) -> Floats:
    """A matrix whose square is the covariance; negative rounding is cut."""
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
