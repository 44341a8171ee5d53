"""Records of drift verdicts: windows compared with the reference of the live version."""

from __future__ import annotations

from typing import Literal

from streaming.contracts.base import OffsetRange, Record, Value
from streaming.contracts.window_records import RejectedField, SchemaAnomaly

DriftOutcome = Literal["stable", "suspected", "drifted", "inconclusive"]
"""Outcome of a drift verdict on a window or a feature.

* ``stable``: no alarm rule was raised.
* ``suspected``: an alarm rule was raised: by smaller effects in several of the latest windows, by a
  single window far beyond its limit, or by a slow change (CUSUM).
* ``drifted``: several of the latest windows were beyond the limit by at least the drifted effect.
* ``inconclusive``: it could not be judged.
"""
ALARMED: frozenset[str] = frozenset({"suspected", "drifted"})
"""Outcomes that report a change."""


class TestResult(Value, frozen=True, kw_only=True):
    """One test of one feature in one window."""

    __test__ = False  # not a test case, whatever its name begins with

    name: str
    """Name of the test: location, dispersion, shape, missing, non_finite, zero, value, range,
    category, unseen, frequent_value or correlation."""
    statistic: float
    """z of a linear score, chi-square of shape and category tests, or the observed share; never
    beyond 1e12."""
    p: float
    """p-value under sampling error and the persistent error."""
    effect: float
    """Effect size in standard deviations; for shares, on the probit scale. That of the dispersion
    is net of what the location adds to it; that of the shape is of the whole change."""


class Distances(Value, frozen=True, kw_only=True):
    """Common distances between window and reference, minus their expected value without drift.

    They are for display only; no alarm depends on them. `streaming.drift.display.distances` gives
    the formulas. A distance is None where it is undefined: categories have no order, so they have
    no Kolmogorov-Smirnov and no Wasserstein distance. No distance is below 0.
    """

    psi: float
    """Population stability index over the display bins."""
    jensen_shannon: float
    """Jensen-Shannon divergence over the display bins, in bits."""
    l_infinity: float
    """Largest difference of the share of a display bin."""
    kolmogorov_smirnov: float | None = None
    """Largest difference of the distribution functions; None for categories."""
    wasserstein: float | None = None
    """Wasserstein distance in standard deviations of the reference; None for categories, and for a
    reference without dispersion."""


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
    """Outcome of the feature."""
    reason: str
    """What changed, by how much in standard deviations and in the feature's own terms, and how
    often; or why the feature was not judged."""
    n: int
    """Number of rows of the window; for ``(correlation)`` the sampled rows that the test used."""
    effect: float
    """Absolute effect of `test`, in standard deviations; 0 where nothing was judged."""
    p: float
    """Combined p-value of the feature's tests in this window; 1 where nothing was judged."""
    p_limit: float
    """Largest `p` at which the window's tests are significant; 0 where nothing was judged."""
    hits: int
    """Number of the last `of` windows in which the feature exceeded its limit."""
    of: int
    """Number of latest windows that `hits` refers to."""
    tests: tuple[TestResult, ...]
    """Results of the feature's tests; empty where nothing was judged."""
    raised_by: Literal["", "sustained", "single", "cusum"] = ""
    """The alarm rule that raised it: `sustained` (hits in several windows), `single` (one window
    far beyond its limit) or `cusum` (a slow change). Empty where no rule did."""
    test: str = ""
    """Name of the test that names what happened: of the significant ones, the simplest cause that
    explains the others, even if another effect is larger; without a significant one, that with the
    largest effect among location, dispersion, shape and category. Where a CUSUM raised the alarm,
    its test if its effect is larger. Empty where nothing was judged."""
    limit_sd: float = 0.0
    """The effect that counts as a hit: where `test` becomes significant, and not less than the
    effect floor. 0 where nothing was judged."""
    distances: Distances | None = None
    """Distances for display; None where the feature has too few values or was not judged."""
    histogram: Histogram | None = None
    """Histograms for display; None where the feature has too few values or was not judged."""


class DriftVerdict(Record, frozen=True, kw_only=True, tag="drift-verdict"):
    """The verdict on one window."""

    window_start: float
    """Start of the window in event time (inclusive), seconds since 1970."""
    window_end: float
    """End of the window in event time (exclusive), seconds since 1970."""
    outcome: DriftOutcome
    """The worst outcome of the features that could be judged. `inconclusive` when none could, and
    when a feature went missing against the schema while all others were stable."""
    reason: str
    """The features that matter most, or why the window was not judged."""
    rows: int
    """Number of accepted rows of the window."""
    offsets: tuple[OffsetRange, ...]
    """For each partition the span of the accepted rows' offsets."""
    reference_id: str
    """record_id of the promotion whose reference was used; empty when there was none."""
    reference_version: int
    """Version whose reference was used; 0 when there was none."""
    features: tuple[FeatureVerdict, ...]
    """The verdicts on the judged features, and on ``(correlation)`` where that is tested; empty
    when the window was not judged."""
    anomalies: tuple[SchemaAnomaly, ...] = ()
    """Anomalies of the window under the schema, from its summary."""
    rejected_fields: tuple[RejectedField, ...] = ()
    """Dead letters of the window by the field that caused them, from its summary."""
    accepted: int = 0
    """Number of accepted rows, from the window's summary."""
    dead_letters: int = 0
    """Number of dead letters, from the window's summary."""
    late: int = 0
    """Number of late events, from the window's summary."""
    offsets_read: int = 0
    """Number of events accounted for in the window, from its summary."""

    season: str = ""
    """The seasonal slot whose history was the reference, in words; empty without a season."""
    correlation: float = 0.0
    """Mean |r| of the reference's pairs of features; 0 where correlations are not tested."""
    effective_features: float = 0.0
    """Effective number of independent features; 0 where correlations are not tested."""
    day_variation: str = ""
    """The day-to-day variation that the limits allow for, in words; empty when the window was not
    judged."""
    rules_digest: str = ""
    """Digest of the rules (`RulesInForce`) that it was computed with; empty in old records."""
    history_digest: str = ""
    """Digest of what was remembered of earlier windows; empty in old records."""
