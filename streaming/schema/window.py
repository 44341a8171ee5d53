"""Findings of one window: where its rows disagree with the schema.

A share (missing values, values outside a domain, rows that do not decode) is compared with the
share that the schema allows by an exact binomial test. At least `TOLERATED_SHARE` of the rows is
always allowed: one odd row in 100,000 is no finding even where the schema allows none.

Columns that a window does not count have no share: a new column is only known to have been seen. A
value of another type never becomes part of a column; its event is a dead letter, counted by field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from scipy import special

from streaming.contracts.records import (
    FeatureSummary,
    RejectedField,
    SchemaFinding,
    SchemaKind,
    WindowSummary,
)
from streaming.schema.columns import Column, Schema
from streaming.schema.thresholds import SchemaThresholds

TOLERATED_SHARE = 0.001
"""Share of rows that is allowed to disagree whatever the schema says."""
MIN_ROWS = 100
"""Smallest number of rows that is tested."""
MAX_DEAD_LETTERS = 0.5
"""Share of dead letters above which a window is not judged."""
MAX_VALUES, MAX_VALUE_LENGTH = 20, 64
"""Largest number and length of the example values in a finding."""

_TESTED_CODES = frozenset(
    {
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "SCHEMA_MISSING_COLUMN",
    }
)
"""TFDV's codes of the anomalies that are tested here for the columns that windows count."""
_KINDS: dict[str, SchemaKind] = {
    "SCHEMA_NEW_COLUMN": "new_column",
    "SCHEMA_MISSING_COLUMN": "missing_column",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": "unseen_value",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": "presence_drop",
    "UNEXPECTED_DATA_TYPE": "type_change",
}


@dataclass(frozen=True, slots=True)
class WindowFinding:
    """A finding of one window."""

    finding: SchemaFinding
    decisive: bool = False
    """Whether this window alone is enough for the finding."""


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


def exceedance_p(count: int, n: int, allowed: float) -> float:
    """P(at least `count` of `n` rows) when the share `allowed`, at least `TOLERATED_SHARE`, may.

    >>> f"{exceedance_p(1, 100_000, 0.0):.2f} {exceedance_p(100, 1_000, 0.05):.0e}"
    '1.00 8e-11'
    """
    share = max(allowed, TOLERATED_SHARE)
    return float(special.bdtrc(count - 1, n, share)) if count > n * share else 1.0


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
        if is_tested or is_known:
            continue
        kind = _KINDS.get(anomaly.code, "other")
        values = (anomaly.value_kind,) if anomaly.value_kind else ()
        yield WindowFinding(_finding(kind, anomaly.feature, window, anomaly.detail, values=values))


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
        p = exceedance_p(count, n, 0.0)
        if n < MIN_ROWS or p > thresholds.sustained:
            continue
        decisive = count > MAX_DEAD_LETTERS * n and p <= thresholds.single
        finding = (
            _type_change(name, fields, count, window)
            if has_value
            else _missing_field(name, count, window)
        )
        yield WindowFinding(finding, decisive)


def _type_change(
    name: str, fields: Sequence[RejectedField], count: int, window: WindowSummary
) -> SchemaFinding:
    n = window.offsets_read
    types = tuple(field.value_kind for field in fields if field.value_kind)
    reason = f"{count / n:.2%} of {n} events hold another type ({', '.join(types)})."
    share = _Share(value=count / n, limit=TOLERATED_SHARE, n=n)
    return _finding("type_change", name, window, reason, share=share, values=types)


def _missing_field(name: str, count: int, window: WindowSummary) -> SchemaFinding:
    n = window.offsets_read
    reason = f"{count / n:.2%} of {n} events lack this required field."
    share = _Share(value=count / n, limit=TOLERATED_SHARE, n=n)
    return _finding("missing_column", name, window, reason, share=share)


def _presence(
    column: Column, feature: FeatureSummary, window: WindowSummary, thresholds: SchemaThresholds
) -> Iterator[WindowFinding]:
    missing, n = feature.missing, feature.rows
    if column.deprecated:
        if exceedance_p(n - missing, n, 0.0) <= thresholds.sustained:
            reason = "The column is deprecated and still sent."
            share = _Share(value=1 - missing / n, limit=TOLERATED_SHARE, n=n)
            yield WindowFinding(
                _finding("deprecated_column", column.name, window, reason, share=share)
            )
        return
    allowed = 1.0 - column.min_fraction
    p = exceedance_p(missing, n, allowed)
    if column.min_fraction <= 0 or p > thresholds.sustained:
        return
    share = _Share(value=missing / n, limit=max(allowed, TOLERATED_SHARE), n=n)
    if missing == n:
        finding = _finding(
            "missing_column", column.name, window, "No row has a value.", share=share
        )
        yield WindowFinding(finding, p <= thresholds.single)
        return
    reason = f"{missing / n:.2%} of {n} rows have no value; {allowed:.2%} are allowed."
    yield WindowFinding(_finding("presence_drop", column.name, window, reason, share=share))


def _domain(
    column: Column, feature: FeatureSummary, window: WindowSummary, thresholds: SchemaThresholds
) -> Iterator[WindowFinding]:
    categories = feature.categories
    if not column.values or categories is None:
        return
    known = frozenset(column.values)
    pairs = zip(categories.values, categories.counts, strict=True)
    unseen = [(value, count) for value, count in pairs if value not in known]
    n, count = feature.rows - feature.missing, sum(count for _, count in unseen)
    allowed = 1.0 - column.domain_mass
    if n < MIN_ROWS or exceedance_p(count, n, allowed) > thresholds.sustained:
        return
    reason = f"{count / n:.2%} of {n} values are not in the domain; {allowed:.2%} are allowed."
    values = tuple(value[:MAX_VALUE_LENGTH] for value, _ in unseen[:MAX_VALUES])
    share = _Share(value=count / n, limit=max(allowed, TOLERATED_SHARE), n=n)
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
