"""Tests whether the correlations between features have changed.

The rows sampled in the window and in the reference are each ranked by their own margins
(`rank_correlation`). The differences of Fisher's transforms, over all pairs of features and in
units of their standard error, are squared and added. Under the reference that sum is a weighted sum
of chi-squares (`quadratic_form`); the weights are the eigenvalues of the pairs' influences on the
reference's sample. The persistent error (1/M of the sample, and the between-day variance) enters
as in the other tests (`pvalues`).

The test shares the false-alarm budget as one more feature, `(correlation)`. It alarms only when
sustained, because its far tail is a limit. It is not used for seasonal slots, because hours mixed
in one sample are correlated even if no single hour is. It uses the `MAX_PAIRS` most correlated
pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from streaming.contracts.errors import DecodeError
from streaming.contracts.model import FeatureSpec
from streaming.contracts.records import RowSample
from streaming.drift.correlation.rank_correlation import (
    correlations,
    effective_features,
    fisher_z,
    influence,
    mean_correlation,
    rank_rows,
)
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.quadratic_form import weighted_chi_square_tail
from streaming.drift.statistics.statistic import TestStatistic
from streaming.grid import Floats, Integers
from streaming.summary.sample import NON_FINITE
from streaming.summary.sample_records import read_sample

CORRELATION = "(correlation)"
"""Name of the pseudo-feature in verdicts and history. A real feature must not have this name."""
MAX_PAIRS = 300
"""Maximum number of pairs; the most correlated ones are used."""
MIN_PAIR_ROWS = 100
"""Minimum number of rows with both values of a pair, in the window and in the reference."""
MAX_FOURTH = 0.1
"""A pair is used only if the fourth moment of its influence is at most this part of the window's
rows: rare values make heavy tails."""
_SECOND_ORDER = 1.02
"""Upper bound of the ratio of the squares to what influences predict (measured for 200 to 512
rows)."""
_MIN_ERROR = 0.5
"""Lower bound of the error of Fisher's transform, in 1/sqrt(n). A function of another feature has
almost no error."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedCorrelation:
    """A reference's sample, prepared for comparison with windows."""

    features: tuple[str, ...]
    orders: tuple[Integers | None, ...]
    """For each category, its codes by frequency; None for a number."""
    fraction_bits: tuple[int, ...]
    """For each of `features`, the bits of its sampled values."""
    rows: Floats
    """For each pair, the rows that have both values."""
    pairs: npt.NDArray[np.intp]
    """Pairs x 2: positions in `features`."""
    correlation: Floats
    """For each pair, its rank correlation."""
    errors: Floats
    """For each pair, the standard error of its Fisher transform, times sqrt(n)."""
    fourth: Floats
    """For each pair, the standardised fourth moment of its influence."""
    error_correlation: Floats
    """Correlation of the errors, pairs x pairs."""
    mean_correlation: float
    effective_features: float
    _weights: dict[bytes, Floats] = field(default_factory=dict)

    def weights(self, used: npt.NDArray[np.bool_]) -> Floats:
        """Eigenvalues of the errors of these pairs."""
        key = used.tobytes()
        if key not in self._weights:
            values = np.linalg.eigvalsh(self.error_correlation[np.ix_(used, used)])
            self._weights[key] = values.astype(np.float64)
        return self._weights[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairChange:
    """The pair of features whose correlation changed most."""

    first: str
    second: str
    reference: float
    """Rank correlation in the reference."""
    window: float
    """Rank correlation in the window."""


def prepare_correlation(
    sample: RowSample | None, specs: tuple[FeatureSpec, ...]
) -> PreparedCorrelation | None:
    """The correlations of a reference; None without a sample or with fewer than two features that
    vary."""
    return None if sample is None else _prepared(sample, specs)


@lru_cache(maxsize=16)
def _prepared(sample: RowSample, specs: tuple[FeatureSpec, ...]) -> PreparedCorrelation | None:
    judged = {spec.name: spec for spec in specs if spec.judged}
    try:
        sampled = read_sample(sample)
    except DecodeError:
        return None
    codes = sampled.codes.astype(np.int64)
    columns = [column for column, name in enumerate(sample.features) if name in judged]
    names = tuple(sample.features[column] for column in columns)
    orders = tuple(
        _by_frequency(codes[:, column]) if _is_category(judged[name]) else None
        for column, name in zip(columns, names, strict=True)
    )
    ranked = rank_rows(_ordered_codes(codes[:, columns], orders))
    matrix = correlations(ranked)
    varying = np.flatnonzero(np.diag(matrix) > 0.0)
    pairs = _strongest_pairs(matrix, ranked.pair_rows, varying)
    if not len(pairs):
        return None
    first, second = pairs[:, 0], pairs[:, 1]
    rows = ranked.pair_rows[first, second]
    influences = influence(ranked, matrix, pairs)
    variance = (influences**2).sum(axis=0) / rows
    errors = np.sqrt(np.maximum(variance, 1e-12))
    # Two arrays, not one used twice: BLAS rounds x.T @ x differently when both are the same array.
    products = (influences / errors).T @ (influences / errors)
    error_correlation = products / np.sqrt(np.outer(rows, rows))
    bounded = np.maximum(errors, _MIN_ERROR)
    error_correlation *= np.outer(errors / bounded, errors / bounded)
    inner = matrix[np.ix_(varying, varying)]
    return PreparedCorrelation(
        features=names,
        orders=orders,
        fraction_bits=tuple(sampled.fraction_bits[column] for column in columns),
        rows=rows,
        pairs=pairs,
        correlation=matrix[first, second],
        errors=bounded,
        fourth=(influences**4).sum(axis=0) / rows / np.maximum(variance, 1e-12) ** 2,
        error_correlation=error_correlation,
        mean_correlation=mean_correlation(inner),
        effective_features=effective_features(inner),
    )


def _strongest_pairs(
    matrix: Floats, pair_rows: Floats, varying: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """The most correlated pairs of varying features with enough rows; pairs x 2."""
    first, second = np.triu_indices(len(matrix), 1)
    usable = (
        (pair_rows[first, second] >= MIN_PAIR_ROWS)
        & np.isin(first, varying)
        & np.isin(second, varying)
    )
    pairs = np.column_stack((first, second))[usable]
    strongest = np.argsort(-np.abs(matrix[pairs[:, 0], pairs[:, 1]]), kind="stable")[:MAX_PAIRS]
    return pairs[np.sort(strongest)]


def correlation_test(
    reference: PreparedCorrelation, sample: RowSample, rules: DriftRules
) -> tuple[TestStatistic, PairChange] | None:
    """The test of a window's sample, and the pair that changed most; None with too few rows.

    The effect is that pair's change of Fisher's transform in units of its standard error times
    sqrt(n). For a Gaussian pair it is the change itself: 0.25 for a correlation that goes from 0 to
    0.245 or from 0.9 to 0.84. It is corrected for the expected maximum over all pairs.
    """
    codes = _columns(sample, reference)
    if codes is None:
        return None
    ranked = rank_rows(_ordered_codes(codes, reference.orders), with_slopes=False)
    first, second = reference.pairs[:, 0], reference.pairs[:, 1]
    n = ranked.pair_rows[first, second]
    window = correlations(ranked)[first, second]
    used = (n >= max(MIN_PAIR_ROWS, rules.min_rows)) & (reference.fourth <= MAX_FOURTH * n)
    if not used.any():
        return None
    n, m = n[used], reference.rows[used]
    difference = fisher_z(window[used]) - fisher_z(reference.correlation[used])
    change = difference / reference.errors[used]
    median_n, median_m = float(np.median(n)), float(np.median(m))
    variance_ratio = median_n * (rules.between_day_sd**2 + 1.0 / median_m)
    statistic = float(np.sum((n - 3.0) * change**2))  # Fisher: the variance is 1/(n - 3)
    largest = int(np.argmax(np.abs(change)))
    null_bias = 2.0 * log(max(2, len(n))) * (1.0 / median_n + 1.0 / median_m)
    pair = int(np.flatnonzero(used)[largest])
    test = TestStatistic(
        name="correlation",
        statistic=statistic,
        p=weighted_chi_square_tail(
            statistic / (_SECOND_ORDER * (1.0 + variance_ratio)), reference.weights(used)
        ),
        effect=sqrt(max(0.0, float(change[largest]) ** 2 - null_bias)),
        n=int(median_n),
        variance_ratio=variance_ratio,
        exact_tail=False,
    )
    pair_change = PairChange(
        first=reference.features[int(first[pair])],
        second=reference.features[int(second[pair])],
        reference=float(reference.correlation[pair]),
        window=float(window[pair]),
    )
    return test, pair_change


def _columns(sample: RowSample, reference: PreparedCorrelation) -> Integers | None:
    """The codes of the reference's features; None if one is missing or the sample cannot be read.

    They have no more bits than the reference's: what is equal there must be equal here.
    """
    position = {name: column for column, name in enumerate(sample.features)}
    if any(name not in position for name in reference.features):
        return None
    try:
        rows = read_sample(sample)
    except DecodeError:
        return None
    bits = list(rows.fraction_bits)
    for name, reference_bits in zip(reference.features, reference.fraction_bits, strict=True):
        bits[position[name]] = reference_bits
    codes = rows.at(bits).codes
    return codes[:, [position[name] for name in reference.features]].astype(np.int64)


def _is_category(spec: FeatureSpec) -> bool:
    return spec.categorical or spec.kind == "text"


def _by_frequency(codes: Integers) -> Integers:
    """Codes of values, the most frequent first; ties by code."""
    values, counts = np.unique(codes[codes > NON_FINITE], return_counts=True)
    ordered: Integers = values[np.lexsort((values, -counts))]
    return ordered


def _ordered_codes(codes: Integers, orders: tuple[Integers | None, ...]) -> Integers:
    """Codes that grow with the value; categories by frequency, -1 for no value.

    A category that the reference never saw comes last.
    """
    result = np.where(codes > NON_FINITE, codes, -1)
    for column, order in enumerate(orders):
        if order is None or not len(order):
            continue
        by_code = np.argsort(order)
        nearest = np.minimum(np.searchsorted(order[by_code], codes[:, column]), len(order) - 1)
        known = order[by_code][nearest] == codes[:, column]
        position = np.where(known, by_code[nearest], len(order))
        result[:, column] = np.where(codes[:, column] > NON_FINITE, position, -1)
    return result
