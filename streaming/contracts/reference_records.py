"""Records of references: the merged windows of a version, with seasonal slots and day variance."""

from __future__ import annotations

from streaming.contracts.base import Record, Value
from streaming.contracts.window_records import FeatureSummary, RowSample


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
    """Number of accepted rows of these windows."""
    periods: int
    """Number of days on which the slot was seen."""
    features: tuple[FeatureSummary, ...]
    """Summary of each judged feature over these rows."""


class ReferenceSummary(Record, frozen=True, kw_only=True, tag="reference-summary"):
    """The reference of a version: merged window summaries of the rows it was trained on."""

    version: int
    """Number of the version."""
    window_start: float
    """Start of the first merged window in event time, seconds since 1970."""
    window_end: float
    """End of the last merged window in event time, seconds since 1970."""
    rows: int
    """Number of accepted rows of the merged windows."""
    features: tuple[FeatureSummary, ...]
    """Summary of each feature over these rows."""
    slots: tuple[SlotSummary, ...] = ()
    """Summaries by hour of the day or week; empty without a season."""
    sample: RowSample | None = None
    """A sample of the rows, for the correlations between features; None when no window has one."""
    day_variance: DayVariance | None = None
    """Estimated from the days before the version; None while there were too few, or where the
    settings give the variation."""
