"""Records of the stream's statistics: summaries of windows, yardsticks and verdicts."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import Artifact, OffsetRange, Record, Value

DriftOutcome = Literal["stable", "suspected", "drifted", "inconclusive"]
ALARMED: frozenset[str] = frozenset({"suspected", "drifted"})
"""Outcomes that say: it is not as it was."""


class NumericGrid(Value, frozen=True, kw_only=True):
    """Counts of finite values per bucket of the universal grid, after subtracting `pivot`.

    `buckets` is ascending and parallel to `counts` (all > 0).
    """

    pivot: float
    buckets: tuple[int, ...]
    counts: tuple[int, ...]


class Categories(Value, frozen=True, kw_only=True):
    """Counts of the most frequent values; rows that count for none of them are in `tail_rows`.

    `values` and `counts` are parallel, sorted by count descending, then value.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]
    tail_rows: int = 0
    error: int = 0
    """No value has fewer rows than its count (0 where it is not listed), and none more than this
    many above it. 0: exact."""


class FeatureSummary(Value, frozen=True, kw_only=True):
    """One feature over a set of rows: rows = missing + non_finite + counted values."""

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
    """Every row whose key is smaller is in the sample."""
    data: bytes


class Wobble(Value, frozen=True, kw_only=True):
    """How far healthy features strayed from day to day before the version was made."""

    sd: float
    """Of their places; an upper bound, in standard deviations."""
    days: int
    features: int
    degrees: float
    """Of freedom: days beyond the first, times features as far as they are independent."""
    spread: float | None = None
    """The same of their spreads, …"""
    shape: float | None = None
    """… of their shapes, …"""
    values: float | None = None
    """… of the shares of single values, …"""
    categories: float | None = None
    """… of those of categories …"""
    shares: float | None = None
    """… and of missing values. None where history teaches nothing of it: as places."""


class SlotSummary(Value, frozen=True, kw_only=True):
    """What the windows of one slot of the season held, added up."""

    slot: int
    """Hour of the day (0-23) or of the week (0-167, from Monday)."""
    rows: int
    periods: int
    """Days on which the slot was seen."""
    features: tuple[FeatureSummary, ...]


class SchemaAnomaly(Value, frozen=True, kw_only=True):
    """What TFDV's schema validation found in a window."""

    feature: str
    code: str
    """TFDV's name of the anomaly, for example ``ENUM_TYPE_UNEXPECTED_STRING_VALUES``."""
    detail: str
    found: str = ""
    """Of a new column: the kind of its first value (integer, number, text, …); else empty."""


class Misfit(Value, frozen=True, kw_only=True):
    """Events of a window that became dead letters because of one field.

    An event with several such fields counts for the first of them.
    """

    feature: str
    found: str
    """Kind of the value that was sent: text, number, integer, boolean, list, object; empty where
    a required field was missing."""
    rows: int


class WindowSummary(Record, frozen=True, kw_only=True, tag="window-summary"):
    """What one event-time window held.

    Offsets are accounted once: over all summaries
    ``sum(accepted) + sum(dead_letters) + sum(late) == sum(offsets_read)``.
    """

    window_start: float
    window_end: float
    accepted: int
    dead_letters: int
    late: int
    offsets_read: int
    offsets: tuple[OffsetRange, ...]
    """Per partition, the hull of the accepted rows' offsets: what a retrain replays."""
    features: tuple[FeatureSummary, ...]
    anomalies: tuple[SchemaAnomaly, ...] = ()
    statistics: Artifact | None = None
    """The TFDV statistics proto of the same rows."""
    sample: RowSample | None = None
    """Some of the rows, for what features do together."""
    misfits: tuple[Misfit, ...] = ()
    """Dead letters by field, most rows first."""
    schema_digest: str = ""
    """The schema that `anomalies` speak of."""


class TestResult(Value, frozen=True, kw_only=True):
    """One test of one feature in one window."""

    __test__ = False  # not a test case, whatever its name begins with

    name: str
    """location, dispersion, shape, missing, non_finite, zero, category, unseen, …"""
    statistic: float
    p: float
    effect: float
    """In standard deviations (shares on the probit scale)."""


class Distances(Value, frozen=True, kw_only=True):
    """Familiar distances of a window from the reference, less what chance alone gives.

    They are shown, never judged: `streaming.drift.display.distances` says how each is computed. None where
    one has no meaning, as for categories, which have no order.
    """

    psi: float
    jensen_shannon: float
    """Divergence in bits."""
    l_infinity: float
    kolmogorov_smirnov: float | None = None
    wasserstein: float | None = None
    """In standard deviations of the reference."""


class Histogram(Value, frozen=True, kw_only=True):
    """The reference and the window in the same few cells, as shares of their counted values."""

    bounds: tuple[float, ...] = ()
    """Of a number's cells, one more than cells: cell i is [bounds[i], bounds[i + 1]). What lies
    outside belongs to the first and the last cell."""
    labels: tuple[str, ...] = ()
    """Of a category's cells."""
    before: tuple[float, ...]
    now: tuple[float, ...]


class FeatureVerdict(Value, frozen=True, kw_only=True):
    """How one feature compares with the reference."""

    feature: str
    """Its name; ``(together)`` for how all of them move together."""
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
    """Windows of the last `of` in which the feature was beyond its limit."""
    of: int
    tests: tuple[TestResult, ...]
    lane: Literal["", "sustained", "single", "slow"] = ""
    """What raised it: hits in several windows, one window far beyond, or a slow change."""
    test: str = ""
    """Whose effect `effect` is."""
    limit_sd: float = 0.0
    """The effect that counts as a hit: where that test becomes significant, and not less than the
    smallest effect that is reported. 0 where nothing was judged."""
    distances: Distances | None = None
    histogram: Histogram | None = None


class DriftVerdict(Record, frozen=True, kw_only=True, tag="drift-verdict"):
    """The judgement on one window."""

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
    accepted: int = 0
    dead_letters: int = 0
    late: int = 0
    offsets_read: int = 0

    season: str = ""
    """The slot whose history was the yardstick, in words; empty without a season."""
    correlation: float = 0.0
    """Mean |r| of the reference's pairs of features."""
    effective_features: float = 0.0
    """So many independent features would vary as much; 0 where no rows were sampled."""
    wobble: str = ""
    """Which day-to-day stray the limits allow for, in words."""


class ReferenceSummary(Record, frozen=True, kw_only=True, tag="reference-summary"):
    """The yardstick: merged window summaries of the rows a version was trained on."""

    version: int
    window_start: float
    window_end: float
    rows: int
    features: tuple[FeatureSummary, ...]
    slots: tuple[SlotSummary, ...] = ()
    """The same by hour of the day or week, where a season is known."""
    sample: RowSample | None = None
    """Some of the rows, for what features do together."""
    wobble: Wobble | None = None
    """Learnt from the days before; None while there were too few."""
