"""Records of windows: summaries of the rows, schema anomalies and rejected fields."""

from __future__ import annotations

from streaming.contracts.base import Artifact, OffsetRange, Record, Value


class NumericGrid(Value, frozen=True, kw_only=True):
    """Counts of finite values per bucket of the universal grid.

    `buckets` and `counts` are parallel.
    """

    fraction_bits: int = 6
    """Number of bits of a value's fraction that its bucket keeps, 6 to 40: as many as keep the
    buckets at 512 or fewer, and 6 whatever they are. Each bit more halves the buckets."""
    buckets: tuple[int, ...]
    """Ids of the buckets that hold values, ascending; see `streaming.grid`."""
    counts: tuple[int, ...]
    """Number of values in each of `buckets`, at least 1."""


class Categories(Value, frozen=True, kw_only=True):
    """Counts of the most frequent values; all other rows are in `tail_rows`.

    `values` and `counts` are parallel, sorted by count descending, then value.
    """

    values: tuple[str, ...]
    """The listed values, limited in number and length; integers in decimal notation."""
    counts: tuple[int, ...]
    """Number of rows counted for each of `values`; it may be too low by `error`."""
    tail_rows: int = 0
    """Number of rows that have a value and are counted for none of `values`."""
    error: int = 0
    """Bound of the count error: a value has at least as many rows as its count (0 where it is not
    listed) and at most this many more. 0: the counts are exact."""


class FeatureSummary(Value, frozen=True, kw_only=True):
    """Summary of one feature over a set of rows: rows = missing + non_finite + counted values."""

    name: str
    """Name of the feature."""
    rows: int
    """Number of rows in the set."""
    missing: int
    """Number of rows without a value."""
    non_finite: int = 0
    """Number of rows whose value is NaN or infinite."""
    grid: NumericGrid | None = None
    """Counts of a numeric feature's finite values; None for a feature that is counted by value."""
    categories: Categories | None = None
    """Counts by value of a text or categorical feature; None for a feature on the grid."""


class RowSample(Value, frozen=True, kw_only=True):
    """A uniform sample of whole rows, packed; `streaming.summary.sample` reads and writes it."""

    features: tuple[str, ...]
    """The judged features, in the order of the packed columns."""
    rows: int
    """Number of sampled rows."""
    below: int
    """The sample holds every row whose key is smaller than this; 2**53 when no row was left
    out."""
    data: bytes
    """Keys and values of the sampled rows, packed and compressed; base64 in JSON."""
    fraction_bits: tuple[int, ...] = ()
    """For each of `features`, the bits of its grid buckets, or 0 for a category; empty in records
    of an older release, which have 6."""


class SchemaAnomaly(Value, frozen=True, kw_only=True):
    """An anomaly that TFDV's schema validation reports for a window."""

    feature: str
    """Name of the column."""
    code: str
    """TFDV's name of the anomaly, for example ``ENUM_TYPE_UNEXPECTED_STRING_VALUES``."""
    detail: str
    """Description of the anomaly, in words."""
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
    """Name of the field."""
    value_kind: str
    """Kind of the value that was sent: text, number, integer, boolean, list, object; empty where
    a required field was missing."""
    rows: int
    """Number of events."""


class WindowSummary(Record, frozen=True, kw_only=True, tag="window-summary"):
    """Summary of one event-time window.

    Each offset is accounted for once: over all summaries
    ``sum(accepted) + sum(dead_letters) + sum(late) == sum(offsets_read)``.
    """

    window_start: float
    """Start of the window in event time (inclusive), seconds since 1970."""
    window_end: float
    """End of the window in event time (exclusive), seconds since 1970."""
    accepted: int
    """Number of events of the window that could be read and were not late: the rows of
    `features`."""
    dead_letters: int
    """Number of events that could not be used. They are accounted for in the window of their Kafka
    timestamp, or in the oldest open one where that window has closed."""
    late: int
    """Number of events that came after their own window had closed. They are accounted for like
    dead letters."""
    offsets_read: int
    """Number of events accounted for in this window: `accepted` + `dead_letters` + `late`."""
    offsets: tuple[OffsetRange, ...]
    """For each partition the span of the accepted rows' offsets, which a retrain replays."""
    features: tuple[FeatureSummary, ...]
    """Summary of each feature over the accepted rows, in the order of the model's contract."""
    anomalies: tuple[SchemaAnomaly, ...] = ()
    """Anomalies of the window under the schema; empty when there are none."""
    statistics: Artifact | None = None
    """The TFDV statistics proto of the same rows; None when none was stored."""
    sample: RowSample | None = None
    """A sample of the rows, for the correlations between features; None when there is none."""
    rejected_fields: tuple[RejectedField, ...] = ()
    """Dead letters by the field that caused them, most rows first."""
    schema_digest: str = ""
    """Digest of the schema that `anomalies` refer to; empty when the model has no schema."""
