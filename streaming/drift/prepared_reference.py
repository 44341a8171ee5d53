"""A reference with everything precomputed, so that judging a window takes a few dot products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from streaming.contracts.errors import DecodeError
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    DayVariance,
    FeatureSummary,
    ReferenceSummary,
    RowSample,
)
from streaming.drift.correlation.statistic import PreparedCorrelation, prepare_correlation
from streaming.drift.display.histogram import (
    CategoricalBins,
    NumericBins,
    categorical_bins,
    numeric_bins,
)
from streaming.drift.settings import (
    FREQUENT_VALUE_WEIGHT,
    SHARES_WEIGHT,
    WEIGHTS_OF_CATEGORIES,
    WEIGHTS_OF_NUMBERS,
)
from streaming.drift.statistics.categorical import ReferenceCategories, prepare_categorical
from streaming.drift.statistics.rank_scores import (
    DISPERSION,
    LOCATION,
    SHAPE,
    NumericScores,
    prepare_numeric,
)
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.dependence import TestDependence
from streaming.drift.thresholds.min_p import DEPENDENT_TESTS
from streaming.grid import MAX_FRACTION_BITS
from streaming.resolution import GridCounts, shared_pairs
from streaming.summary.grids import grid_counts
from streaming.summary.sample_records import read_sample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Source:
    """What a feature of the reference is prepared from."""

    summary: FeatureSummary
    spec: FeatureSpec
    extra_variance: float
    sampled: GridCounts | None
    """Counts of the reference's sampled rows. They may tell apart what the summary does not."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedFeature:
    """One feature of the reference: its shares and scores, and how its budget is divided."""

    name: str
    rows: int
    missing: int
    non_finite: int
    numbers: NumericScores | None
    categories: ReferenceCategories | None
    weights: Mapping[str, float]
    """Part of the feature's budget for each test; the parts add up to 1."""
    dependence: TestDependence
    bins: NumericBins | CategoricalBins | None = None
    """The bins of the displayed histogram."""
    extra_variance: float = 0.0
    """Variance, in squared standard deviations, of the reference's error beyond 1/m and the
    between-day variance. A shrunk slot of a season adds it; it acts as 1/m does."""
    shared_pairs: float = 0.0
    """Probability that two different values of a number share a bucket of `numbers`."""
    source: _Source | None = None
    coarser: dict[int, PreparedFeature] = field(default_factory=dict)
    """Results of `at`."""

    def at(self, fraction_bits: int) -> PreparedFeature:
        """The feature as it compares with a window of these fraction bits.

        A window whose values are spread over too many buckets has fewer bits than the reference.
        Nothing is missing then; both are compared at the window's.
        """
        if self.numbers is None or self.source is None:
            return self
        if fraction_bits >= self.numbers.fraction_bits:
            return self
        if fraction_bits not in self.coarser:
            self.coarser[fraction_bits] = _prepare(self.source, fraction_bits)
        return self.coarser[fraction_bits]

    def union_ratio(self, tests: Iterable[TestStatistic]) -> float:
        """Union over sum of the sizes of these tests.

        Where the shape varies between days along location and dispersion only, its exceedances
        become exceedances of those two tests and add nothing to them. With the ratio r of that
        between-day variation to all other errors, the part r / (1 + r) of them does. This is
        within 2 % of what draws give.
        """
        by_name = {test.name: test for test in tests if test.name in DEPENDENT_TESTS}
        ratio = self.dependence.union_ratio(frozenset(by_name))
        shape = by_name.pop("shape", None)
        if shape is None or not {"location", "dispersion"} <= by_name.keys():
            return ratio
        persistent_part = 1.0 - shape.weights[0] / shape.weights[-1]
        other_weights = sum(self.weights[name] for name in by_name)
        without_shape = (
            self.dependence.union_ratio(frozenset(by_name))
            * other_weights
            / (other_weights + self.weights["shape"])
        )
        return ratio + persistent_part * min(0.0, without_shape - ratio)

    def effective_sample_fraction(self, m: int) -> float:
        """The part of `m` rows that the extra variance leaves as independent information."""
        return 1.0 / (1.0 + m * self.extra_variance)

    @property
    def counted(self) -> int:
        """Rows with a usable value."""
        return self.rows - self.missing - self.non_finite


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedReference:
    """A `ReferenceSummary` with the scores of its features."""

    version: int
    features: Mapping[str, PreparedFeature]
    season: str = ""
    """Name of the seasonal slot; empty for the reference of all hours."""
    day_variance: DayVariance | None = None
    """Day variance estimated from the days before the reference."""
    correlation: PreparedCorrelation | None = None
    """Correlations between the features. None where no rows were sampled, and for a slot."""

    def in_season(self, name: str) -> PreparedReference:
        """A copy with the name of a seasonal slot."""
        return replace(self, season=name)


def prepare_reference(
    reference: ReferenceSummary,
    contract: ModelContract,
    extra_variance: Mapping[str, float] | None = None,
    *,
    test_correlation: bool = True,
) -> PreparedReference:
    """Compute what depends on the reference only, for the features that are judged.

    Parameters
    ----------
    reference, contract:
        The reference of a version, and the contract of its model.
    extra_variance:
        By feature, see `PreparedFeature`.
    test_correlation:
        Whether the correlations between features are prepared too.
    """
    extra = extra_variance or {}
    specs = {spec.name: spec for spec in contract.features if spec.judged}
    sampled = _sampled_numbers(reference.sample) if reference.sample else {}
    return PreparedReference(
        version=reference.version,
        features={
            summary.name: _prepare(
                _Source(
                    summary=summary,
                    spec=specs[summary.name],
                    extra_variance=extra.get(summary.name, 0.0),
                    sampled=sampled.get(summary.name),
                )
            )
            for summary in reference.features
            if summary.name in specs
        },
        day_variance=reference.day_variance,
        correlation=prepare_correlation(reference.sample, contract.features)
        if test_correlation
        else None,
    )


@lru_cache(maxsize=16)
def _sampled_numbers(sample: RowSample) -> Mapping[str, GridCounts]:
    """The counts of the numbers in a sample, by feature; none where it cannot be read."""
    try:
        rows = read_sample(sample)
    except DecodeError:
        return {}
    columns = ((name, rows.numbers(column)) for column, name in enumerate(sample.features))
    return {name: counts for name, counts in columns if counts is not None}


def _prepare(source: _Source, max_bits: int = MAX_FRACTION_BITS) -> PreparedFeature:
    summary, extra_variance = source.summary, source.extra_variance
    numbers = prepare_numeric(summary.grid, max_bits) if summary.grid else None
    categories = prepare_categorical(summary.categories) if summary.categories else None
    bins: NumericBins | CategoricalBins | None = None
    if numbers is not None:
        bins = numeric_bins(numbers, 1.0 / (1.0 + numbers.m * extra_variance))
    elif categories is not None:
        bins = categorical_bins(categories, 1.0 / (1.0 + categories.m * extra_variance))
    weights = _weights(source.spec, numbers, categories)
    return PreparedFeature(
        name=summary.name,
        rows=summary.rows,
        missing=summary.missing,
        non_finite=summary.non_finite,
        numbers=numbers,
        categories=categories,
        weights=weights,
        dependence=TestDependence(numbers or categories, weights),
        bins=bins,
        extra_variance=extra_variance,
        shared_pairs=_shared_pairs(source, numbers),
        source=source,
    )


def _shared_pairs(source: _Source, numbers: NumericScores | None) -> float:
    """Probability that two different values share a bucket: by all rows as far as their buckets
    tell values apart, and by the sampled rows."""
    if numbers is None or source.summary.grid is None:
        return 0.0
    counted = [grid_counts(source.summary.grid)] + ([source.sampled] if source.sampled else [])
    return max(shared_pairs(counts, numbers.fraction_bits) for counts in counted)


def _weights(
    spec: FeatureSpec, numbers: NumericScores | None, categories: ReferenceCategories | None
) -> dict[str, float]:
    """The part of a feature's budget for each test that the reference makes possible."""
    weights: dict[str, float] = {}
    share_tests = ["missing"] + (["non_finite"] if spec.kind == "number" else [])
    shares_weight = 1.0
    if numbers is not None:
        share_tests += ["range", "unseen", "zero"]
        share_tests += ["value"] if len(numbers.heavy) else []
        usable = {
            "location": numbers.usable[LOCATION],
            "dispersion": numbers.usable[DISPERSION],
            "shape": any(numbers.usable[SHAPE]) and not numbers.two_valued,
        }
        weights = {name: weight for name, weight in WEIGHTS_OF_NUMBERS.items() if usable[name]}
        shares_weight = SHARES_WEIGHT
        if numbers.two_valued:  # one share, with the weights that a category has
            known = {"zero"} & set(share_tests) if 0 in numbers.buckets else set()
            known |= {"value"} & set(share_tests)
            weights |= dict.fromkeys(known, WEIGHTS_OF_CATEGORIES["value"] / max(1, len(known)))
            # Other values of such a number are unseen, inside its range or not.
            share_tests = [name for name in share_tests if name not in known | {"range"}]
            shares_weight = 1.0 - sum(WEIGHTS_OF_CATEGORIES.values())
    elif categories is not None:
        share_tests += ["unseen"]
        weights = dict(WEIGHTS_OF_CATEGORIES)
        shares_weight = 1.0 - sum(weights.values())
    weights |= {name: shares_weight / len(share_tests) for name in share_tests}
    total = sum(weights.values())
    if numbers is not None or categories is not None:
        total /= 1.0 - FREQUENT_VALUE_WEIGHT
        weights["frequent_value"] = FREQUENT_VALUE_WEIGHT * total
    return {name: weight / total for name, weight in weights.items()}
