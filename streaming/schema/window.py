"""What one window says against a schema.

A share (missing values, values outside a domain, rows that do not decode) is held against what
the schema allows by an exact binomial test, and at least `STRAY` of the rows is always allowed:
one odd row in 100,000 is no finding even where the schema says "always".

What a window does not count has no share: of a new column it is known only that it was seen. A
value of another type never becomes a column; it is a dead letter, counted by field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from scipy import special

from streaming.contracts.records import (
    FeatureSummary,
    Misfit,
    SchemaFinding,
    SchemaKind,
    WindowSummary,
)
from streaming.schema.columns import Column, Schema
from streaming.schema.limits import Limits

STRAY = 0.001
"""A share of rows that is tolerated whatever the schema says."""
MIN_ROWS = 100
MAX_DEAD_LETTERS = 0.5
MAX_VALUES, LONGEST_VALUE = 20, 64
"""Bounds of the examples that a finding carries."""

_SHARES = frozenset(
    {
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "SCHEMA_MISSING_COLUMN",
    }
)
"""TFDV's names of what is tested here instead, for the columns that windows count."""
_KINDS: dict[str, SchemaKind] = {
    "SCHEMA_NEW_COLUMN": "new_column",
    "SCHEMA_MISSING_COLUMN": "missing_column",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": "unseen_value",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": "presence_drop",
    "UNEXPECTED_DATA_TYPE": "type_change",
}


@dataclass(frozen=True, slots=True)
class Hit:
    """A finding of one window, and whether this window is enough for it."""

    finding: SchemaFinding
    alone: bool = False


def unreadable(window: WindowSummary) -> bool:
    """Too few rows, or too many dead letters, to judge the columns by."""
    return (
        window.accepted < MIN_ROWS or window.dead_letters > MAX_DEAD_LETTERS * window.offsets_read
    )


def chance(count: int, n: int, allowed: float) -> float:
    """P(at least `count` of `n` rows) where `allowed`, but at least `STRAY`, of them may.

    >>> f"{chance(1, 100_000, 0.0):.2f} {chance(100, 1_000, 0.05):.0e}"
    '1.00 8e-11'
    """
    share = max(allowed, STRAY)
    return float(special.bdtrc(count - 1, n, share)) if count > n * share else 1.0


def hits(schema: Schema, window: WindowSummary, limits: Limits) -> Iterator[Hit]:
    """Everything in `window` that `schema` does not allow."""
    yield from _misfits(schema, window, limits)
    if unreadable(window):
        return
    seen = {feature.name: feature for feature in window.features}
    for column in schema.columns:
        feature = seen.get(column.name)
        if feature is not None and feature.rows >= MIN_ROWS:
            yield from _presence(column, feature, window, limits)
            yield from _domain(column, feature, window, limits)
    known = {column.name for column in schema.columns}
    for anomaly in window.anomalies:
        new = anomaly.code == "SCHEMA_NEW_COLUMN"
        if (anomaly.code in _SHARES and anomaly.feature in seen) or (
            new and anomaly.feature in known
        ):
            continue
        kind = _KINDS.get(anomaly.code, "other")
        values = (anomaly.found,) if anomaly.found else ()
        yield Hit(_finding(kind, anomaly.feature, window, anomaly.detail, values=values))


# ------------------------------------------------------------------- the tests


def _misfits(schema: Schema, window: WindowSummary, limits: Limits) -> Iterator[Hit]:
    """Rows that one field made unreadable: another type, or a required field that is missing."""
    known = {column.name for column in schema.columns}
    by_field = sorted(window.misfits, key=lambda one: (one.feature, not one.found, -one.rows))
    for (name, typed), run in groupby(by_field, key=lambda one: (one.feature, bool(one.found))):
        found, n = list(run), window.offsets_read
        count = sum(one.rows for one in found)
        p = chance(count, n, 0.0)
        if name not in known or n < MIN_ROWS or p > limits.sustained:
            continue
        alone = count > MAX_DEAD_LETTERS * n and p <= limits.single
        yield Hit(_misfit(name, typed, found, count, window), alone)


def _misfit(
    name: str, typed: bool, found: Iterable[Misfit], count: int, window: WindowSummary
) -> SchemaFinding:
    n = window.offsets_read
    types = tuple(one.found for one in found if one.found)
    if typed:
        reason = f"{count / n:.2%} of {n} events hold another type ({', '.join(types)})."
        return _finding("type_change", name, window, reason, count / n, STRAY, n, types)
    reason = f"{count / n:.2%} of {n} events lack it, and it is required."
    return _finding("missing_column", name, window, reason, count / n, STRAY, n)


def _presence(
    column: Column, feature: FeatureSummary, window: WindowSummary, limits: Limits
) -> Iterator[Hit]:
    missing, n = feature.missing, feature.rows
    if column.deprecated:
        if chance(n - missing, n, 0.0) <= limits.sustained:
            reason, share = "Deprecated, and still sent.", 1 - missing / n
            yield Hit(_finding("deprecated_column", column.name, window, reason, share, STRAY, n))
        return
    allowed = 1.0 - column.min_fraction
    if column.min_fraction <= 0 or (p := chance(missing, n, allowed)) > limits.sustained:
        return
    shares = (missing / n, max(allowed, STRAY), n)
    if missing == n:
        made = _finding("missing_column", column.name, window, "No row has a value.", *shares)
        yield Hit(made, p <= limits.single)
        return
    reason = f"{missing / n:.2%} of {n} rows have no value; {allowed:.2%} are allowed."
    yield Hit(_finding("presence_drop", column.name, window, reason, *shares))


def _domain(
    column: Column, feature: FeatureSummary, window: WindowSummary, limits: Limits
) -> Iterator[Hit]:
    counted = feature.categories
    if not column.values or counted is None:
        return
    known = frozenset(column.values)
    pairs = zip(counted.values, counted.counts, strict=True)
    unseen = [(value, count) for value, count in pairs if value not in known]
    n, count = feature.rows - feature.missing, sum(count for _, count in unseen)
    allowed = 1.0 - column.domain_mass
    if n < MIN_ROWS or chance(count, n, allowed) > limits.sustained:
        return
    reason = f"{count / n:.2%} of {n} values are not in the domain; {allowed:.2%} are allowed."
    values = tuple(value[:LONGEST_VALUE] for value, _ in unseen[:MAX_VALUES])
    limit = max(allowed, STRAY)
    yield Hit(_finding("unseen_value", column.name, window, reason, count / n, limit, n, values))


def _finding(
    kind: SchemaKind,
    feature: str,
    window: WindowSummary,
    reason: str,
    value: float | None = None,
    limit: float | None = None,
    n: int = 0,
    values: tuple[str, ...] = (),
) -> SchemaFinding:
    return SchemaFinding(
        kind=kind, feature=feature, outcome="noticed", reason=reason, value=value, limit=limit,
        n=n, since=window.window_start, values=values,
    )  # fmt: skip
