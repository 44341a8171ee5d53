"""Findings of one window: where its rows disagree with the schema.

A share is compared with the share that the schema allows by an exact binomial test. At least the
tolerated share of the rows is always allowed: one odd row in 100,000 is no finding even where the
schema allows none. Rows that can be broken data (missing values, values outside a numeric domain,
rows that do not decode) are tested by the rule that the retrain shares,
`streaming.contracts.tolerance`; their finding carries its `Breach`.

Columns that a window does not count have no share: a new column is only known to have been seen. A
value of another type never becomes part of a column; its event is a dead letter, counted by field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from scipy import special

from streaming.contracts.records import (
    FeatureSummary,
    SchemaAnomaly,
    SchemaFinding,
    SchemaKind,
    WindowSummary,
)
from streaming.contracts.tolerance import (
    CHANGES,
    MISSING_FIELD,
    PRESENCE,
    WRONG_TYPE,
    Breach,
    Tolerance,
    breaches_of,
    exceeds,
)
from streaming.schema.columns import Column, Schema
from streaming.schema.domain import OutsideRows, count_outside, sample_outside
from streaming.schema.thresholds import SchemaThresholds

TOLERATED_SHARE = Tolerance().share
"""Share of rows that is allowed to disagree by default, whatever the schema says."""
MIN_ROWS = 100
"""Smallest number of rows that is tested."""
MAX_DEAD_LETTERS = 0.5
"""Share of dead letters above which a window is not judged."""
MAX_VALUES, MAX_VALUE_LENGTH = 20, 64
"""Largest number and length of the example values in a finding."""

_NO_VALUES, _FEW_VALUES = "FEATURE_TYPE_NOT_PRESENT", "FEATURE_TYPE_LOW_FRACTION_PRESENT"
_TESTED_CODES = PRESENCE | {"ENUM_TYPE_UNEXPECTED_STRING_VALUES"}
"""TFDV's codes of the anomalies that are tested here for the columns that windows count."""
_KINDS: dict[str, SchemaKind] = {
    "SCHEMA_NEW_COLUMN": "new_column",
    "SCHEMA_MISSING_COLUMN": "missing_column",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": "unseen_value",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": "presence_drop",
    "FEATURE_TYPE_LOW_NUMBER_PRESENT": "presence_drop",
    "FEATURE_TYPE_NO_VALUES": "missing_column",
    _NO_VALUES: "missing_column",
    MISSING_FIELD: "missing_column",
    WRONG_TYPE: "type_change",
    "UNEXPECTED_DATA_TYPE": "type_change",
    "FLOAT_TYPE_SMALL_FLOAT": "out_of_domain",
    "FLOAT_TYPE_BIG_FLOAT": "out_of_domain",
    "INT_TYPE_SMALL_INT": "out_of_domain",
    "INT_TYPE_BIG_INT": "out_of_domain",
}


@dataclass(frozen=True, slots=True)
class WindowFinding:
    """A finding of one window."""

    finding: SchemaFinding
    breach: Breach | None = None
    """The rows that exceed the tolerated share; None where the finding is change, not breakage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """The share of rows that disagree, and the share that is allowed."""

    value: float | None = None
    limit: float | None = None
    n: int = 0


def is_unjudgeable(window: WindowSummary) -> bool:
    """Whether a window has too few rows or too many dead letters to judge its columns."""
    return (
        window.accepted < MIN_ROWS or window.dead_letters > MAX_DEAD_LETTERS * window.offsets_read
    )


def exceedance_p(count: int, n: int, allowed: float, tolerated: float = TOLERATED_SHARE) -> float:
    """P(at least `count` of `n` rows) when the share `allowed`, at least `tolerated`, may.

    >>> f"{exceedance_p(1, 100_000, 0.0):.2f} {exceedance_p(100, 1_000, 0.05):.0e}"
    '1.00 8e-11'
    """
    share = max(allowed, tolerated)
    return float(special.bdtrc(count - 1, n, share)) if count > n * share else 1.0


def kind_of_code(code: str) -> SchemaKind:
    """The kind of finding that an anomaly of TFDV, or a code of dead letters, becomes."""
    return _KINDS.get(code, "other")


def find_disagreements(
    schema: Schema, window: WindowSummary, thresholds: SchemaThresholds
) -> Iterator[WindowFinding]:
    """Every finding of `window` against `schema`."""
    yield from _rejected_fields(window, thresholds)
    if is_unjudgeable(window):
        return
    counted = {feature.name: feature for feature in window.features}
    for column in schema.columns:
        feature = counted.get(column.name)
        if feature is not None and feature.rows >= MIN_ROWS:
            yield from _presence(column, feature, window, thresholds)
            yield from _domain(column, feature, window, thresholds)
    known = {column.name for column in schema.columns}
    for anomaly in window.anomalies:
        is_tested = anomaly.code in _TESTED_CODES and anomaly.feature in counted
        is_known = anomaly.code == "SCHEMA_NEW_COLUMN" and anomaly.feature in known
        if not is_tested and not is_known:
            yield from _anomaly(anomaly, window, thresholds.tolerance)


# ------------------------------------------------------------------- the tests


def _rejected_fields(
    window: WindowSummary, thresholds: SchemaThresholds
) -> Iterator[WindowFinding]:
    """Events that one field made unreadable: another type, or a missing required field.

    The field need not be a column of the schema: the event time often is none.
    """
    by_field = sorted(
        window.rejected_fields, key=lambda field: (field.feature, not field.value_kind, -field.rows)
    )
    for (name, has_value), group in groupby(
        by_field, key=lambda field: (field.feature, bool(field.value_kind))
    ):
        fields, n = list(group), window.offsets_read
        count = sum(field.rows for field in fields)
        code = WRONG_TYPE if has_value else MISSING_FIELD
        breach = Breach(feature=name, code=code, rows=count, of_rows=n)
        if n < MIN_ROWS or not exceeds(breach, thresholds.tolerance):
            continue
        share = _Share(value=count / n, limit=thresholds.tolerance.share, n=n)
        types = tuple(field.value_kind for field in fields if field.value_kind)
        reason = (
            f"{share.value:.2%} of {n} events hold another type ({', '.join(types)})."
            if has_value
            else f"{share.value:.2%} of {n} events lack this required field."
        )
        kind: SchemaKind = "type_change" if has_value else "missing_column"
        finding = _finding(kind, name, window, reason, share=share, values=types)
        yield WindowFinding(finding, breach)


def _anomaly(
    anomaly: SchemaAnomaly, window: WindowSummary, tolerance: Tolerance
) -> Iterator[WindowFinding]:
    """An anomaly of TFDV that is not tested here: by its rows, where TFDV's are counted."""
    kind = kind_of_code(anomaly.code)
    values = (anomaly.value_kind,) if anomaly.value_kind else ()
    if anomaly.code in CHANGES:
        yield WindowFinding(_finding(kind, anomaly.feature, window, anomaly.detail, values=values))
        return
    (breach,) = breaches_of([anomaly], (), rows=window.accepted, offsets_read=window.offsets_read)
    if not exceeds(breach, tolerance):
        return
    share, detail = _Share(), anomaly.detail
    if breach.counted:
        n = breach.of_rows
        limit = max(breach.allowed, tolerance.share)
        share = _Share(value=breach.rows / n, limit=limit, n=n)
        detail = f"{breach.rows / n:.2%} of {n} rows. {detail}"
    yield WindowFinding(_finding(kind, anomaly.feature, window, detail, share=share), breach)


def _presence(
    column: Column, feature: FeatureSummary, window: WindowSummary, thresholds: SchemaThresholds
) -> Iterator[WindowFinding]:
    missing, n = feature.missing + feature.non_finite, feature.rows
    tolerated = thresholds.tolerance.share
    if column.deprecated:
        if exceedance_p(n - missing, n, 0.0, tolerated) <= thresholds.sustained:
            reason = "The column is deprecated and still sent."
            share = _Share(value=1 - missing / n, limit=tolerated, n=n)
            yield WindowFinding(
                _finding("deprecated_column", column.name, window, reason, share=share)
            )
        return
    allowed = round(1.0 - column.min_fraction, 9)
    code = _NO_VALUES if missing == n else _FEW_VALUES
    breach = Breach(feature=column.name, code=code, rows=missing, of_rows=n, allowed=allowed)
    if column.min_fraction <= 0 or not exceeds(breach, thresholds.tolerance):
        return
    share = _Share(value=missing / n, limit=max(allowed, tolerated), n=n)
    kind: SchemaKind = "missing_column" if missing == n else "presence_drop"
    reason = f"{missing / n:.2%} of {n} rows have no value; {allowed:.2%} are allowed."
    if missing == n:
        reason = "No row has a value."
    yield WindowFinding(_finding(kind, column.name, window, reason, share=share), breach)


def _domain(
    column: Column, feature: FeatureSummary, window: WindowSummary, thresholds: SchemaThresholds
) -> Iterator[WindowFinding]:
    categories = feature.categories
    if not column.values or categories is None:
        return
    counted = count_outside(column, categories, feature.rows - feature.missing - feature.non_finite)
    allowed = 1.0 - column.domain_mass
    tolerated = thresholds.tolerance.share

    def is_too_much(outside: OutsideRows) -> bool:
        p = exceedance_p(outside.rows, outside.n, allowed, tolerated)
        return outside.n >= MIN_ROWS and p <= thresholds.sustained

    outside: OutsideRows | None = counted
    if not is_too_much(counted):
        outside = None if counted.exact else sample_outside(column, window)
    if outside is None or not is_too_much(outside):
        return
    n, value = outside.n, outside.rows / outside.n
    of = f"{n} sampled values" if outside.sampled else f"{n} values"
    reason = f"{value:.2%} of {of} are not in the domain; {allowed:.2%} are allowed."
    values = tuple(value[:MAX_VALUE_LENGTH] for value in counted.values[:MAX_VALUES])
    share = _Share(value=value, limit=max(allowed, tolerated), n=n)
    yield WindowFinding(
        _finding("unseen_value", column.name, window, reason, share=share, values=values)
    )


def _finding(
    kind: SchemaKind,
    feature: str,
    window: WindowSummary,
    reason: str,
    *,
    share: _Share | None = None,
    values: tuple[str, ...] = (),
) -> SchemaFinding:
    share = share or _Share()
    return SchemaFinding(
        kind=kind, feature=feature, outcome="noticed", reason=reason, value=share.value,
        limit=share.limit, n=share.n, since=window.window_start, values=values,
    )  # fmt: skip
