"""The test that no single feature can do: do the features still move together as they did?

The rows sampled in the window and in the reference are each ranked by their own margins
(`copula`); the differences of Fisher's transforms, over all pairs of features in units of their
standard error, are squared and added. Under the reference that is a sum of chi-squares weighted by
the eigenvalues of the pairs' influences on the reference's sample (`quadratic`). Its error beyond
the window's, 1/M of the sample and the wobble, enters as everywhere (`pvalues`).

It is one more member of the family that shares the budget, and alarms only when sustained: its far
tail is a limit. It says nothing about seasons (hours mixed in one sample move together even when
no hour does) and looks at the `MAX_PAIRS` pairs that move together most.
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
    fisher,
    influence,
    mean_correlation,
    rank_rows,
)
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.quadratic_form import weighted_chi_square_tail
from streaming.drift.statistics.statistic import Evidence
from streaming.grid import Floats, Integers
from streaming.summary.sample import NON_FINITE
from streaming.summary.sample_records import read_sample

TOGETHER = "(together)"
"""Stands where a feature's name stands. A feature of this name would not be judged with others."""
MAX_PAIRS = 300
ENOUGH_ROWS = 100
"""A pair needs so many rows with both values, in window and reference."""
MAX_FOURTH = 0.1
"""… and a fourth moment of its influence of at most this part of the window's rows: rare values
make heavy tails."""
_SECOND_ORDER = 1.02
"""Squares are so much larger, at most, than influences say (measured for 200 to 512 rows)."""
_LEAST_ERROR = 0.5
"""The error of Fisher's transform is never taken for less, in 1/sqrt(n): a function of another
feature has next to none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedTogether:
    """A reference's sample, ready to be compared with."""

    features: tuple[str, ...]
    orders: tuple[Integers | None, ...]
    """For each category its codes by frequency; None for numbers."""
    rows: Floats
    """For each pair, rows that have both values."""
    pairs: npt.NDArray[np.intp]
    correlation: Floats
    """Of each pair."""
    errors: Floats
    """Standard error of its Fisher transform, times sqrt(n)."""
    fourth: Floats
    alike: Floats
    """Correlation of the errors, pairs x pairs."""
    mean_correlation: float
    effective_features: float
    _weights: dict[bytes, Floats] = field(default_factory=dict)

    def weights(self, used: npt.NDArray[np.bool_]) -> Floats:
        """Eigenvalues of the errors of these pairs."""
        key = used.tobytes()
        if key not in self._weights:
            values = np.linalg.eigvalsh(self.alike[np.ix_(used, used)])
            self._weights[key] = values.astype(np.float64)
        return self._weights[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The pair that moved most."""

    one: str
    other: str
    before: float
    now: float


def prepare_together(
    sample: RowSample | None, specs: tuple[FeatureSpec, ...]
) -> PreparedTogether | None:
    """The yardstick of pairs; None without a sample or with fewer than two features that vary."""
    return None if sample is None else _prepared(sample, specs)


@lru_cache(maxsize=16)
def _prepared(sample: RowSample, specs: tuple[FeatureSpec, ...]) -> PreparedTogether | None:
    kinds = {spec.name: spec for spec in specs if spec.judged}
    try:
        codes = read_sample(sample).codes.astype(np.int64)
    except DecodeError:
        return None
    kept = [at for at, name in enumerate(sample.features) if name in kinds]
    names = tuple(sample.features[at] for at in kept)
    orders = tuple(
        _by_frequency(codes[:, at]) if _is_category(kinds[sample.features[at]]) else None
        for at in kept
    )
    ranked = rank_rows(_places(codes[:, kept], orders))
    found, shared = correlations(ranked), ranked.shared
    varying = np.flatnonzero(np.diag(found) > 0.0)
    one, other = np.triu_indices(len(names), 1)
    usable = (shared[one, other] >= ENOUGH_ROWS) & np.isin(one, varying) & np.isin(other, varying)
    pairs = np.column_stack((one, other))[usable]
    strongest = np.argsort(-np.abs(found[pairs[:, 0], pairs[:, 1]]), kind="stable")[:MAX_PAIRS]
    pairs = pairs[np.sort(strongest)]
    if not len(pairs):
        return None
    r, rows = found[pairs[:, 0], pairs[:, 1]], shared[pairs[:, 0], pairs[:, 1]]
    added = influence(ranked, found, pairs)
    variance = (added**2).sum(axis=0) / rows
    errors = np.sqrt(np.maximum(variance, 1e-12))
    alike = (added / errors).T @ (added / errors) / np.sqrt(np.outer(rows, rows))
    raised = np.maximum(errors, _LEAST_ERROR)
    alike *= np.outer(errors / raised, errors / raised)
    inner = found[np.ix_(varying, varying)]
    return PreparedTogether(
        features=names,
        orders=orders,
        rows=rows,
        pairs=pairs,
        correlation=r,
        errors=raised,
        fourth=(added**4).sum(axis=0) / rows / np.maximum(variance, 1e-12) ** 2,
        alike=alike,
        mean_correlation=mean_correlation(inner),
        effective_features=effective_features(inner),
    )


def together_test(
    reference: PreparedTogether, sample: RowSample, rules: DriftRules
) -> tuple[Evidence, Moved] | None:
    """The test of a window's sample, and the pair that moved most; None with too few rows.

    Its effect is that pair's change of Fisher's transform in units of its standard error times
    sqrt(n): of a Gaussian pair the change itself, 0.25 for a correlation that goes from 0 to 0.245
    or from 0.9 to 0.84. What the largest of so many changes by chance is taken off.
    """
    codes = _columns(sample, reference.features)
    if codes is None:
        return None
    ranked = rank_rows(_places(codes, reference.orders))
    one, other = reference.pairs[:, 0], reference.pairs[:, 1]
    n, now = ranked.shared[one, other], correlations(ranked)[one, other]
    used = (n >= max(ENOUGH_ROWS, rules.min_rows)) & (reference.fourth <= MAX_FOURTH * n)
    if not used.any():
        return None
    n, m = n[used], reference.rows[used]
    change = (fisher(now[used]) - fisher(reference.correlation[used])) / reference.errors[used]
    size, before = float(np.median(n)), float(np.median(m))
    persistence = size * (rules.wobble_sd**2 + 1.0 / before)
    statistic = float(np.sum((n - 3.0) * change**2))  # Fisher: its variance is 1/(n - 3)
    most = int(np.argmax(np.abs(change)))
    by_chance = 2.0 * log(max(2, len(n))) * (1.0 / size + 1.0 / before)
    where = int(np.flatnonzero(used)[most])
    evidence = Evidence(
        name="together",
        statistic=statistic,
        p=weighted_chi_square_tail(
            statistic / (_SECOND_ORDER * (1.0 + persistence)), reference.weights(used)
        ),
        effect=sqrt(max(0.0, float(change[most]) ** 2 - by_chance)),
        n=int(size),
        persistence=persistence,
        alone=False,
    )
    moved = Moved(
        one=reference.features[int(one[where])],
        other=reference.features[int(other[where])],
        before=float(reference.correlation[where]),
        now=float(now[where]),
    )
    return evidence, moved


def _columns(sample: RowSample, features: tuple[str, ...]) -> Integers | None:
    place = {name: at for at, name in enumerate(sample.features)}
    if any(name not in place for name in features):
        return None
    try:
        codes = read_sample(sample).codes
    except DecodeError:
        return None
    return codes[:, [place[name] for name in features]].astype(np.int64)


def _is_category(spec: FeatureSpec) -> bool:
    return spec.categorical or spec.kind == "text"


def _by_frequency(codes: Integers) -> Integers:
    """Codes of values, the most frequent first; equal ones by code."""
    values, counts = np.unique(codes[codes > NON_FINITE], return_counts=True)
    ordered: Integers = values[np.lexsort((values, -counts))]
    return ordered


def _places(codes: Integers, orders: tuple[Integers | None, ...]) -> Integers:
    """Ascending places of values, -1 for none; a value the reference never saw comes last."""
    places = np.where(codes > NON_FINITE, codes, -1)
    for at, order in enumerate(orders):
        if order is None or not len(order):
            continue
        by_code = np.argsort(order)
        found = np.minimum(np.searchsorted(order[by_code], codes[:, at]), len(order) - 1)
        known = order[by_code][found] == codes[:, at]
        place = np.where(known, by_code[found], len(order))
        places[:, at] = np.where(codes[:, at] > NON_FINITE, place, -1)
    return places
