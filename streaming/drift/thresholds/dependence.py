"""Dependence between the tests of one feature: the size of their union over the sum of their sizes.

Location and the first component of shape nearly coincide, a share of zeros moves the mean rank, and
a heavy category is part of its chi-square. Adding the sizes of such tests counts the same false
alarm twice. Their joint distribution under the reference is, in the limit, that of linear scores
with correlations that the reference determines.

Exceedances are rare, so they are drawn by importance sampling: draws come from each test's own
exceedances, in proportion to its size, and a draw in which S tests exceed their limits has weight
1 / S (Owen, Maximov & Chertkov 2019). All draws start from the same normal numbers. Some thousand
of them give the ratio to a third of a percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy import special

from streaming.drift.statistics.categorical import ReferenceCategories
from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, SHAPE, NumericScores
from streaming.grid import Floats, Integers

LEVEL = 0.02
"""Size of a feature's tests together at which the ratio is computed; the ratio hardly depends on
it."""
_DRAWS = 4_096
_MAX_CATEGORIES = 64
_GOLDEN_RATIO = (np.sqrt(5.0) - 1.0) / 2.0
_MIN_VARIANCE = 0.5
"""A row of scores has variance 1, or 0 where it carries no information. This separates the two."""


@dataclass(frozen=True, slots=True)
class _Exceedance:
    """The event that a test exceeds its limit: the sum of squares of some rows is too large."""

    name: str
    rows: tuple[int, ...]
    """The rows, which are independent standard normal variables."""
    degrees: int
    size: float


class TestDependence:
    """Ratio of union to sum for any selection of one feature's tests.

    Parameters
    ----------
    reference:
        The feature's prepared reference; None where there is none.
    weights:
        Weights of the feature's tests, by name.
    """

    __test__ = False  # not a test case, whatever its name begins with

    def __init__(
        self, reference: NumericScores | ReferenceCategories | None, weights: Mapping[str, float]
    ) -> None:
        self._reference = reference
        self._weights = weights
        self._ratios: dict[frozenset[str], float] = {}

    def union_ratio(self, names: frozenset[str]) -> float:
        """P(any of these tests exceeds its limit) / sum of their sizes; 1 for a single test."""
        if names not in self._ratios:
            self._ratios[names] = self._compute(names) if len(names) > 1 else 1.0
        return self._ratios[names]

    def _compute(self, names: frozenset[str]) -> float:
        counts = [(len(exceeding & names), p) for exceeding, p in self._joint_law.items()]
        total = sum(count * p for count, p in counts)
        return min(1.0, sum(p for count, p in counts if count) / total) if total else 1.0

    @cached_property
    def _joint_law(self) -> Mapping[frozenset[str], float]:
        """Probability that exactly these tests exceed their limits; computed on first use."""
        if isinstance(self._reference, NumericScores):
            return _numeric_law(self._reference, self._weights)
        if isinstance(self._reference, ReferenceCategories):
            return _categorical_law(self._reference, self._weights)
        return {}


def _numeric_law(
    scores: NumericScores, weights: Mapping[str, float]
) -> dict[frozenset[str], float]:
    """The joint law of location, dispersion, shape, zero and single values with a weight."""
    known = scores.scores[:, : len(scores.buckets)]
    zero = np.flatnonzero(scores.buckets == 0) if "zero" in weights else scores.heavy[:0]
    columns = np.concatenate((zero, scores.heavy)).astype(np.int64)
    shares = scores.shares[columns]
    sd = np.sqrt(np.maximum(shares * (1.0 - shares), 1e-12))
    indicators = np.zeros((len(columns), len(scores.buckets)))
    indicators[np.arange(len(columns)), columns] = 1.0
    rows = np.vstack((known, (indicators - shares[:, None]) / sd[:, None]))
    covariance = (rows * scores.shares) @ rows.T
    shape = [row for row in range(6)[SHAPE] if scores.usable[row]]
    single = 6 + np.arange(len(columns))
    events = [
        *_exceedances("location", np.array([LOCATION]), covariance, weights),
        *_exceedances("dispersion", np.array([DISPERSION]), covariance, weights),
        *_exceedances("zero", single[: len(zero)], covariance, weights),
        *_exceedances("value", single[len(zero) :], covariance, weights),
    ]
    if "shape" in weights and shape:
        events.append(_Exceedance("shape", tuple(shape), len(shape), LEVEL * weights["shape"]))
    return _joint_law(_normals()[:, : len(rows)] @ _root(covariance).T, covariance, events)


def _categorical_law(
    categories: ReferenceCategories, weights: Mapping[str, float]
) -> dict[frozenset[str], float]:
    """The joint law of the chi-square test and the tests of single heavy categories."""
    p = categories.counts[:_MAX_CATEGORIES] / categories.m
    remainder = max(0.0, 1.0 - float(p.sum()))
    p = np.append(p, remainder) if remainder > 1e-12 else p
    root, heavy = np.sqrt(p), categories.heavy
    cells = np.eye(len(p)) - np.outer(root, root)
    sd = np.sqrt(np.maximum(1.0 - p[heavy], 1e-12))
    rows = np.vstack((cells, cells[heavy] / sd[:, None]))
    covariance = rows @ rows.T
    events = _exceedances("value", len(p) + np.arange(len(heavy)), covariance, weights)
    if "category" in weights and len(p) > 1:
        all_cells = tuple(range(len(p)))
        size = LEVEL * weights["category"]
        events.append(_Exceedance("category", all_cells, len(p) - 1, size))
    return _joint_law(_normals()[:, : len(p)] @ rows.T, covariance, events)


def _exceedances(
    name: str, rows: Integers, covariance: Floats, weights: Mapping[str, float]
) -> list[_Exceedance]:
    """One event for each informative row, at an equal part of the test's size."""
    if name not in weights:
        return []
    return [
        _Exceedance(name, (row,), 1, LEVEL * weights[name] / len(rows))
        for row in rows.tolist()
        if covariance[row, row] > _MIN_VARIANCE
    ]


def _joint_law(
    normal: Floats, covariance: Floats, events: Sequence[_Exceedance]
) -> dict[frozenset[str], float]:
    """Probability of each set of tests that exceed their limits together.

    Parameters
    ----------
    normal:
        Draws of the rows under the reference (draws x rows).
    covariance:
        Covariance of the rows.
    """
    names = sorted({event.name for event in events})
    if len(names) < 2:
        return {}
    draws, parts = normal.copy(), _parts(tuple(event.size for event in events))
    weight = np.empty(len(draws))
    for event, part in zip(events, parts, strict=True):
        own = normal[part, event.rows]
        target = _squares_beyond(event.degrees, event.size, part.start, part.stop)
        stretch = np.sqrt(target / np.sum(own**2, axis=1)) - 1.0
        # the other rows move with these as far as they are correlated
        draws[part] += (own * stretch[:, None]) @ covariance[list(event.rows)]
        weight[part] = event.size / max(1, part.stop - part.start)
    draws **= 2
    times, which = np.zeros(len(draws)), np.zeros(len(draws), np.int64)
    for event, part in zip(events, parts, strict=True):
        single = len(event.rows) == 1
        squares = draws[:, event.rows[0]] if single else draws[:, list(event.rows)].sum(axis=1)
        exceeded = squares >= _critical_square(event.degrees, event.size)
        exceeded[part] = True
        times += exceeded
        which |= exceeded.astype(np.int64) << names.index(event.name)
    law = np.bincount(which, weight / times, 1 << len(names))
    return {
        frozenset(name for bit, name in enumerate(names) if subset >> bit & 1): float(law[subset])
        for subset in np.flatnonzero(law).tolist()
    }


@lru_cache(maxsize=1024)
def _critical_square(degrees: int, size: float) -> float:
    return float(special.chdtri(degrees, size))


def _parts(sizes: tuple[float, ...]) -> list[slice]:
    """The draws of each event, in proportion to its size."""
    ends = np.rint(np.cumsum(sizes) / sum(sizes) * _DRAWS).astype(int).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


@lru_cache(maxsize=256)
def _squares_beyond(degrees: int, size: float, start: int, stop: int) -> Floats:
    """Chi-squares above the critical value of `size`, evenly spread in their tail.

    Multiples of the golden ratio, modulo 1, are evenly spread over any run of draws.
    """
    even = np.arange(start + 1, stop + 1) * _GOLDEN_RATIO % 1.0
    squares: Floats = special.chdtri(degrees, size * even)
    return squares


@lru_cache(maxsize=1)
def _normals() -> Floats:
    """Standard normal numbers, the same for every feature; one column for each row of scores."""
    rows = np.random.default_rng(20_261_123).standard_normal((_MAX_CATEGORIES + 1, _DRAWS))
    return rows.T


def _root(covariance: Floats) -> Floats:
    """A matrix R with R R^T = covariance; negative eigenvalues from rounding are set to 0."""
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
