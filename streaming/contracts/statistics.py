"""Records of the stream's statistics: summaries of windows, references and verdicts."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Artifact, OffsetRange, Record, Value

DriftOutcome = Literal["stable", "suspected", "drifted", "inconclusive"]
ALARMED: frozenset[str] = frozenset({"suspected", "drifted"})
"""Outcomes that report a change."""


class NumericGrid(Value, frozen=True, kw_only=True):
    """Counts of finite values per bucket of the universal grid, after subtracting `pivot`.

    `buckets` is ascending and parallel to `counts` (all > 0).
    """

    pivot: float
    buckets: tuple[int, ...]
    counts: tuple[int, ...]


class Categories(Value, frozen=True, kw_only=True):
    """Counts of the most frequent values; all other rows are in `tail_rows`.

    `values` and `counts` are parallel, sorted by count descending, then value.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]
    tail_rows: int = 0
    error: int = 0
    """Bound of the count error: a value has at least as many rows as its count (0 where it is not
    listed) and at most this many more. 0: the counts are exact."""


class FeatureSummary(Value, frozen=True, kw_only=True):
    """Summary of one feature over a set of rows: rows = missing + non_finite + counted values."""

    name: str
    rows: int
    missing: int
    non_finite: int = 0
    grid: NumericGrid | None = None
    categories: Categories | None = None


class RowSample(Value, frozen=True, kw_only=True):
    """A uniform sample of whole rows, packed; `streaming.summary.sample` reads and writes it."""

    features: tuple[str, ...]
    """The judged features, in the order of the packed columns."""
    rows: int
    below: int
    """The sample holds every row whose key is smaller than this."""
    data: bytes


class DayVariance(Value, frozen=True, kw_only=True):
    """Between-day variation of healthy features, estimated from the days before a version.

    Each figure is the upper confidence bound of a standard deviation over days, in the unit of
    effects, for one family of tests. None means too little history; the location's figure is
    then used instead.
    """

    location: float
    """Between-day standard deviation of the locations of numeric features."""
    days: int
    """Number of days from which the locations' figure was estimated."""
    features: int
    """Number of features from which the locations' figure was estimated."""
    degrees: float
    """Degrees of freedom of the locations' figure: days beyond the first, times the effective
    number of independent features."""
    dispersion: float | None = None
    """Between-day standard deviation of the dispersions of numeric features."""
    shape: float | None = None
    """Between-day standard deviation of the shapes of numeric features."""
    values: float | None = None
    """Between-day standard deviation of the shares of single values of numeric features."""
    categories: float | None = None
    """Between-day standard deviation of the shares of categories."""
    missing: float | None = None
    """Between-day standard deviation of the shares of missing and non-finite values."""


class SlotSummary(Value, frozen=True, kw_only=True):
    """Merged summaries of the windows of one seasonal slot."""

    slot: int
    """Hour of the day (0-23) or of the week (0-167, from Monday)."""
    rows: int
    periods: int
    """Days on which the slot was seen."""
    features: tuple[FeatureSummary, ...]


class SchemaAnomaly(Value, frozen=True, kw_only=True):
    """An anomaly that TFDV's schema validation reports for a window."""

    feature: str
    code: str
    """TFDV's name of the anomaly, for example ``ENUM_TYPE_UNEXPECTED_STRING_VALUES``."""
    detail: str
    value_kind: str = ""
    """Kind of the values of a new column (integer, number, text, …); empty for other anomalies."""
    rows: int | None = None
    """Rows that break the schema in this respect; None where they are not counted."""
    allowed: float = 0.0
    """Share of the rows for which the schema allows it."""


class RejectedField(Value, frozen=True, kw_only=True):
    """Events of a window that became dead letters because of one field.

    An event with several such fields counts for the first of them.
    """

    feature: str
    value_kind: str
    """Kind of the value that was sent: text, number, integer, boolean, list, object; empty where
    a required field was missing."""
    rows: int


class WindowSummary(Record, frozen=True, kw_only=True, tag="window-summary"):
    """Summary of one event-time window.

    Each offset is accounted for once: over all summaries
    ``sum(accepted) + sum(dead_letters) + sum(late) == sum(offsets_read)``.
    """

    window_start: float
    window_end: float
    accepted: int
    dead_letters: int
    late: int
    offsets_read: int
    offsets: tuple[OffsetRange, ...]
    """For each partition the span of the accepted rows' offsets, which a retrain replays."""
    features: tuple[FeatureSummary, ...]
    anomalies: tuple[SchemaAnomaly, ...] = ()
    statistics: Artifact | None = None
    """The TFDV statistics proto of the same rows."""
    sample: RowSample | None = None
    """A sample of the rows, for the correlations between features."""
    rejected_fields: tuple[RejectedField, ...] = ()
    """Dead letters by the field that caused them, most rows first."""
    schema_digest: str = ""
    """Digest of the schema that `anomalies` refer to."""


class TestResult(Value, frozen=True, kw_only=True):
    """One test of one feature in one window."""

    __test__ = False  # not a test case, whatever its name begins with

    name: str
    """Name of the test: location, dispersion, shape, missing, non_finite, zero, value, range,
    category, unseen or correlation."""
    statistic: float
    p: float
    effect: float
    """Effect size in standard deviations; for shares, on the probit scale."""


class Distances(Value, frozen=True, kw_only=True):
    """Common distances between window and reference, minus their expected value without drift.

    They are for display only; no alarm depends on them. `streaming.drift.display.distances` gives
    the formulas. A distance is None where it is undefined: categories have no order, so they have
    no Kolmogorov-Smirnov and no Wasserstein distance.
    """

    psi: float
    jensen_shannon: float
    """Divergence in bits."""
    l_infinity: float
    kolmogorov_smirnov: float | None = None
    wasserstein: float | None = None
    """In standard deviations of the reference."""


class Histogram(Value, frozen=True, kw_only=True):
    """The reference and the window in the same display bins, as shares of their counted values."""

    edges: tuple[float, ...] = ()
    """Edges of a numeric feature's bins: bin i is [edges[i], edges[i + 1]). Values outside the
    edges belong to the first or the last bin. Empty for a categorical feature."""
    labels: tuple[str, ...] = ()
    """Names of a categorical feature's bins. Empty for a numeric feature."""
    reference: tuple[float, ...]
    """Share of the reference's counted values in each bin."""
    window: tuple[float, ...]
    """Share of the window's counted values in each bin."""


class FeatureVerdict(Value, frozen=True, kw_only=True):
    """The verdict on one feature."""

    feature: str
    """The feature's name, or ``(correlation)`` for the test of correlations between features."""
    outcome: DriftOutcome
    reason: str
    n: int
    effect: float
    """Largest absolute effect over the tests that were significant; else over those of the whole
    distribution (location, dispersion, shape, category)."""
    p: float
    """Combined p of this window."""
    p_limit: float
    hits: int
    """Number of the last `of` windows in which the feature exceeded its limit."""
    of: int
    tests: tuple[TestResult, ...]
    raised_by: Literal["", "sustained", "single", "cusum"] = ""
    """The alarm rule that raised it: `sustained` (hits in several windows), `single` (one window
    far beyond its limit) or `cusum` (a slow change). Empty for a stable feature."""
    test: str = ""
    """Name of the test that `effect` comes from."""
    limit_sd: float = 0.0
    """The effect that counts as a hit: where that test becomes significant, and not less than the
    smallest effect that is reported. 0 where nothing was judged."""
    distances: Distances | None = None
    histogram: Histogram | None = None


class DriftVerdict(Record, frozen=True, kw_only=True, tag="drift-verdict"):
    """The verdict on one window."""

    window_start: float
    window_end: float
    outcome: DriftOutcome
    reason: str
    rows: int
    offsets: tuple[OffsetRange, ...]
    reference_id: str
    """record_id of the promotion whose reference was used; empty when there was none."""
    reference_version: int
    features: tuple[FeatureVerdict, ...]
    anomalies: tuple[SchemaAnomaly, ...] = ()
    rejected_fields: tuple[RejectedField, ...] = ()
    """Dead letters of the window by the field that caused them."""
    accepted: int = 0
    dead_letters: int = 0
    late: int = 0
    offsets_read: int = 0

    season: str = ""
    """The seasonal slot whose history was the reference, in words; empty without a season."""
    correlation: float = 0.0
    """Mean |r| of the reference's pairs of features."""
    effective_features: float = 0.0
    """Effective number of independent features; 0 where no rows were sampled."""
    day_variation: str = ""
    """The day-to-day variation that the limits allow for, in words."""


class ReferenceSummary(Record, frozen=True, kw_only=True, tag="reference-summary"):
    """The reference of a version: merged window summaries of the rows it was trained on."""

    version: int
    window_start: float
    window_end: float
    rows: int
    features: tuple[FeatureSummary, ...]
    slots: tuple[SlotSummary, ...] = ()
    """Summaries by hour of the day or week; empty without a season."""
    sample: RowSample | None = None
    """A sample of the rows, for the correlations between features."""
    day_variance: DayVariance | None = None
    """Estimated from the days before the version; None while there were too few."""
