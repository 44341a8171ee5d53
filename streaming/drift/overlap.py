"""How often the tests of one feature say the same thing: their union over the sum of their sizes.

Location and the first component of shape nearly coincide, a share of zeros moves the mean rank,
a heavy category is part of its chi-square. Adding the sizes of such tests counts the same false
alarm twice. Their joint law under the reference is, in the limit, that of linear scores with
correlations the reference fixes; the union is counted on fixed normal draws, once per reference
and set of tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from scipy import special

from streaming.drift.categories import CategoryShares
from streaming.drift.scores import DISPERSION, LOCATION, SHAPE, NumberScores
from streaming.grid import Floats

LEVEL = 0.02
"""Size of a feature's tests together at which the overlap is counted; it hardly depends on it."""
_DRAWS = 32_768
_MOST_CELLS = 64


@lru_cache(maxsize=2)
def _normals(columns: int) -> Floats:
    """The same standard normal numbers for everybody."""
    return np.random.default_rng(20_261_123).standard_normal((_DRAWS, columns))


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
    z = _normals(len(rows)) @ _root((rows * scores.shares) @ rows.T).T
    hits = {}
    for name, row in (("location", LOCATION), ("dispersion", DISPERSION)):
        if name in weights:
            hits[name] = _beyond(z[:, row], weights[name])
    if "shape" in weights:
        degrees = sum(scores.usable[SHAPE])
        statistic = np.sum(z[:, SHAPE] ** 2, axis=1)
        hits["shape"] = special.chdtrc(degrees, statistic) <= LEVEL * weights["shape"]
    first = 6 + len(zero)
    if len(zero):
        hits["zero"] = _beyond(z[:, 6], weights["zero"])
    if "value" in weights and len(scores.heavy):
        each = weights["value"] / len(scores.heavy)
        hits["value"] = _beyond(np.abs(z[:, first:]).max(axis=1), each)
    return _union(hits, weights)


def overlap_of_categories(shares: CategoryShares, weights: Mapping[str, float]) -> float:
    """Union over sum of the chi-square and the heavy categories alone."""
    p = shares.counts[:_MOST_CELLS] / shares.m
    rest = max(0.0, 1.0 - float(p.sum()))
    p = np.append(p, rest) if rest > 1e-12 else p
    root = np.sqrt(p)
    e = _normals(_MOST_CELLS + 1)[:, : len(p)]
    y = e - (e @ root)[:, None] * root
    hits = {}
    if "category" in weights and len(p) > 1:
        tail = special.chdtrc(len(p) - 1, np.sum(y**2, axis=1))
        hits["category"] = tail <= LEVEL * weights["category"]
    heavy = shares.heavy
    if "value" in weights and len(heavy):
        z = np.abs(y[:, heavy]) / np.sqrt(np.maximum(1.0 - p[heavy], 1e-12))
        hits["value"] = _beyond(z.max(axis=1), weights["value"] / len(heavy))
    return _union(hits, weights)


def _root(covariance: Floats) -> Floats:
    """A matrix whose square is the covariance; negative rounding is cut."""
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _beyond(z: Floats, weight: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which draws are significant at the test's part of the level."""
    limit = -float(special.ndtri(LEVEL * weight / 2.0))
    found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = np.abs(z) >= limit
    return found


def _union(
    hits: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]],
    weights: Mapping[str, float],
) -> float:
    """P(any) / sum P(each), counted on the same draws."""
    if len(hits) < 2:
        return 1.0
    whole = sum(float(hit.mean()) for hit in hits.values())
    union = float(np.any(list(hits.values()), axis=0).mean())
    return min(1.0, union / whole) if whole > 0.0 else 1.0
