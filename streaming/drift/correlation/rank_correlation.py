"""How features move together, whatever each of them does alone: correlations of normal scores.

Each sample is ranked by its own margins (mid-ranks u, scores Phi^-1(u)), so a shift of one feature
is no change here: only the copula is left (van der Waerden's correlation, which for a Gaussian
copula is as efficient as the best; Klaassen & Wellner 1997). What one row does to a correlation is
its influence: on the product, on the ranks of all others, and on the spread of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from streaming.grid import Floats, Integers

_MOST = 0.995
"""Correlations are cut here before Fisher's transform: two copies of one feature stay finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Rows x features as normal scores by their own ranks."""

    scores: Floats
    """Mean 0 and variance 1 where there is a value, 0 where there is none."""
    there: Floats
    """1 where there is a value."""
    places: Integers
    ranks: Floats
    slopes: Floats
    """How fast the score rises with the rank."""

    @property
    def shared(self) -> Floats:
        """For each pair of features the rows that have both."""
        rows: Floats = self.there.T @ self.there
        return rows


def rank_rows(places: Integers) -> Ranked:
    """Scores of `places` (rows x features, ascending with the value; below 0: no value)."""
    shape = places.shape
    scores, ranks, slopes = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    there = (places >= 0).astype(float)
    for at in range(shape[1]):
        known = places[:, at] >= 0
        if not known.any():
            continue
        _, back, counts = np.unique(places[known, at], return_inverse=True, return_counts=True)
        rank = (np.cumsum(counts) - counts / 2.0) / counts.sum()
        raw = special.ndtri(rank)
        share = counts / counts.sum()
        mean = float(share @ raw)
        spread = float(np.sqrt(share @ (raw - mean) ** 2))
        if spread <= 0.0:
            continue
        scores[known, at] = ((raw - mean) / spread)[back]
        ranks[known, at] = rank[back]
        slopes[known, at] = (np.sqrt(2.0 * np.pi) * np.exp(raw**2 / 2.0) / spread)[back]
    return Ranked(scores, there, places, ranks, slopes)


def correlations(ranked: Ranked) -> Floats:
    """Features x features, over the rows that have both."""
    products = ranked.scores.T @ ranked.scores
    squares = (ranked.scores**2).T @ ranked.there
    spread = np.sqrt(squares * squares.T)
    found: Floats = np.divide(products, spread, out=np.zeros_like(products), where=spread > 0.0)
    return np.clip(found, -1.0, 1.0)


def fisher(correlation: Floats) -> Floats:
    """Fisher's transform, in which the error of a correlation hardly depends on it."""
    found: Floats = np.arctanh(np.clip(correlation, -_MOST, _MOST))
    return found


def influence(ranked: Ranked, correlation: Floats, pairs: npt.NDArray[np.intp]) -> Floats:
    """What each row adds to Fisher's transform of each pair's correlation; rows x pairs.

    Rows that lack a value of the pair add nothing.
    """
    shift: dict[tuple[int, int], Floats] = {}
    for j in np.unique(pairs).tolist():  # only what is asked for: of 200 features all is a gigabyte
        partners = sorted({j, *pairs[pairs[:, 0] == j, 1].tolist(), *_before(pairs, j)})
        columns = _of_ranks(ranked, j, partners)
        shift |= {(j, k): columns[:, place] for place, k in enumerate(partners)}
    found = np.empty((len(ranked.scores), len(pairs)))
    for at, (j, k) in enumerate(pairs.tolist()):
        r = float(np.clip(correlation[j, k], -_MOST, _MOST))
        both = ranked.there[:, j] * ranked.there[:, k]
        own = ranked.scores[:, j] * ranked.scores[:, k] - r + shift[j, k] + shift[k, j]
        spreads = sum(ranked.scores[:, one] ** 2 - 1.0 + 2.0 * shift[one, one] for one in (j, k))
        raw = (own - r / 2.0 * spreads) * both
        found[:, at] = (raw - both * raw.sum() / max(1.0, both.sum())) / (1.0 - r * r)
    return found


def _before(pairs: npt.NDArray[np.intp], j: int) -> list[int]:
    found: list[int] = pairs[pairs[:, 1] == j, 0].tolist()
    return found


def _of_ranks(ranked: Ranked, at: int, others: list[int]) -> Floats:
    """How a row's value of feature `at` moves all other rows' ranks, and so the mean products with
    each of the `others`; rows x others."""
    known = ranked.there[:, at] > 0.0
    weighted = ranked.scores[:, others] * (ranked.slopes[:, at] * ranked.there[:, at])[:, None]
    weighted /= max(1.0, float(known.sum()))
    order = np.argsort(ranked.places[:, at], kind="stable")
    sums = np.cumsum(weighted[order], axis=0)
    placed = ranked.places[order, at]
    first = np.searchsorted(placed, ranked.places[:, at], side="left")
    last = np.searchsorted(placed, ranked.places[:, at], side="right")
    upto = np.concatenate((np.zeros((1, sums.shape[1])), sums))
    above = upto[-1] - (upto[first] + upto[last]) / 2.0
    centre = ranked.ranks[:, at] @ weighted
    found: Floats = np.where(known[:, None], above - centre, 0.0)
    return found


def effective_features(correlation: Floats) -> float:
    """So many independent features would vary as much: (sum l)^2 / sum l^2 over the eigenvalues
    (Bretherton et al. 1999). Li & Ji's count (2005) says 2 of two features that correlate by 0.8.

    >>> effective_features(np.eye(4)), effective_features(np.ones((4, 4)))
    (4.0, 1.0)
    """
    return float(np.trace(correlation) ** 2 / np.sum(correlation**2))


def mean_correlation(correlation: Floats) -> float:
    """Mean |r| over pairs; 0 for fewer than two features."""
    upper = np.abs(correlation[np.triu_indices(len(correlation), 1)])
    return float(upper.mean()) if len(upper) else 0.0
