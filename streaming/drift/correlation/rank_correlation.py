"""Rank correlations between features: correlations of normal scores (van der Waerden).

Each sample is ranked by its own margins (mid-ranks u, scores Phi^-1(u)). So a shift of a single
feature is no change here; only the copula counts. For a Gaussian copula this correlation is
asymptotically efficient (Klaassen & Wellner 1997). The influence of one row on a correlation has
three parts: on the product, on the ranks of all other rows, and on the variance of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from streaming.grid import Floats, Integers, count_ordered

_MAX_CORRELATION = 0.995
"""Correlations are cut here before Fisher's transform, so two copies of one feature stay finite."""


@dataclass(frozen=True, slots=True, eq=False)
class RankedRows:
    """Rows x features as normal scores by their own ranks."""

    scores: Floats
    """Mean 0 and variance 1 over the rows that have a value; 0 for the other rows."""
    present: Floats
    """1 where there is a value, else 0."""
    codes: Integers
    """The values that were ranked."""
    ranks: Floats
    """Mid-ranks between 0 and 1."""
    slopes: Floats
    """Derivative of the score by the rank."""

    @property
    def pair_rows(self) -> Floats:
        """For each pair of features, the number of rows that have both."""
        rows: Floats = self.present.T @ self.present
        return rows


def rank_rows(codes: Integers, *, with_slopes: bool = True) -> RankedRows:
    """Scores of `codes` (rows x features), which grow with the value; below 0 there is no value.

    Without `with_slopes` ranks and slopes stay 0; only `influence` needs them.
    """
    shape = codes.shape
    scores, ranks, slopes = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    present = (codes >= 0).astype(float)
    order = np.argsort(codes.T, axis=1)
    ordered = np.take_along_axis(codes.T, order, axis=1)
    for column, values in enumerate(ordered):
        known = int(values.searchsorted(0))
        rows, counts = order[column, known:], count_ordered(values[known:])[1]
        if not len(rows):
            continue
        rank = (np.cumsum(counts) - counts / 2.0) / counts.sum()
        raw = special.ndtri(rank)
        share = counts / counts.sum()
        mean = float(share @ raw)
        sd = float(np.sqrt(share @ (raw - mean) ** 2))
        if sd <= 0.0:
            continue
        scores[rows, column] = np.repeat((raw - mean) / sd, counts)
        if with_slopes:
            ranks[rows, column] = np.repeat(rank, counts)
            slope = np.sqrt(2.0 * np.pi) * np.exp(raw**2 / 2.0) / sd
            slopes[rows, column] = np.repeat(slope, counts)
    return RankedRows(scores, present, codes, ranks, slopes)


def correlations(ranked: RankedRows) -> Floats:
    """Features x features, over the rows that have both."""
    products = ranked.scores.T @ ranked.scores
    squares = (ranked.scores**2).T @ ranked.present
    scale = np.sqrt(squares * squares.T)
    ratio: Floats = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0.0)
    return np.clip(ratio, -1.0, 1.0)


def fisher_z(correlation: Floats) -> Floats:
    """Fisher's transform; its error hardly depends on the correlation."""
    z: Floats = np.arctanh(np.clip(correlation, -_MAX_CORRELATION, _MAX_CORRELATION))
    return z


def influence(ranked: RankedRows, correlation: Floats, pairs: npt.NDArray[np.intp]) -> Floats:
    """Influence of each row on Fisher's transform of each pair's correlation; rows x pairs.

    Rows that lack a value of the pair have no influence.
    """
    by_rank: dict[tuple[int, int], Floats] = {}
    for j in np.unique(
        pairs
    ).tolist():  # only the pairs in use: all of 200 features take a gigabyte
        partners = sorted({j, *pairs[pairs[:, 0] == j, 1].tolist(), *_first_partners(pairs, j)})
        columns = _rank_influence(ranked, j, partners)
        by_rank |= {(j, k): columns[:, position] for position, k in enumerate(partners)}
    result = np.empty((len(ranked.scores), len(pairs)))
    for column, (j, k) in enumerate(pairs.tolist()):
        r = float(np.clip(correlation[j, k], -_MAX_CORRELATION, _MAX_CORRELATION))
        both = ranked.present[:, j] * ranked.present[:, k]
        product = ranked.scores[:, j] * ranked.scores[:, k] - r + by_rank[j, k] + by_rank[k, j]
        variances = sum(ranked.scores[:, i] ** 2 - 1.0 + 2.0 * by_rank[i, i] for i in (j, k))
        raw = (product - r / 2.0 * variances) * both
        result[:, column] = (raw - both * raw.sum() / max(1.0, both.sum())) / (1.0 - r * r)
    return result


def _first_partners(pairs: npt.NDArray[np.intp], j: int) -> list[int]:
    """The features that come first in a pair with feature `j`."""
    first: list[int] = pairs[pairs[:, 1] == j, 0].tolist()
    return first


def _rank_influence(ranked: RankedRows, feature: int, partners: list[int]) -> Floats:
    """Influence of a row's value of `feature`, through the ranks of all other rows, on the mean
    products with each of the `partners`; rows x partners."""
    known = ranked.present[:, feature] > 0.0
    slopes = ranked.slopes[:, feature] * ranked.present[:, feature]
    weighted = ranked.scores[:, partners] * slopes[:, None]
    weighted /= max(1.0, float(known.sum()))
    order = np.argsort(ranked.codes[:, feature], kind="stable")
    sums = np.cumsum(weighted[order], axis=0)
    ordered = ranked.codes[order, feature]
    first = np.searchsorted(ordered, ranked.codes[:, feature], side="left")
    last = np.searchsorted(ordered, ranked.codes[:, feature], side="right")
    cumulated = np.concatenate((np.zeros((1, sums.shape[1])), sums))
    above = cumulated[-1] - (cumulated[first] + cumulated[last]) / 2.0
    centre = ranked.ranks[:, feature] @ weighted
    result: Floats = np.where(known[:, None], above - centre, 0.0)
    return result


def effective_features(correlation: Floats) -> float:
    """Number of independent features with the same total variation (Bretherton et al. 1999).

    It is (sum l)^2 / sum l^2 over the eigenvalues l. The count of Li & Ji (2005) would give 2 for
    two features that correlate by 0.8.

    >>> effective_features(np.eye(4)), effective_features(np.ones((4, 4)))
    (4.0, 1.0)
    """
    return float(np.trace(correlation) ** 2 / np.sum(correlation**2))


def mean_correlation(correlation: Floats) -> float:
    """Mean |r| over pairs; 0 for fewer than two features."""
    upper = np.abs(correlation[np.triu_indices(len(correlation), 1)])
    return float(upper.mean()) if len(upper) else 0.0
