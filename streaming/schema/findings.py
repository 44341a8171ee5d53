"""What windows say against a schema: findings that last, not single rows.

A share (missing values, values outside a domain) is held against what the schema allows by an
exact binomial test, and at least `STRAY` of the rows is always allowed: one odd row in 100,000 is
no finding even where the schema says "always". A finding lasts when `SUSTAINED` of the last `OF`
windows have it. A column that every row of the newest window lacks is found at once.

What a window does not count has no share: for a new column it is known only that it was seen.
Text for numbers never becomes a column (those rows are dead letters), so a type change shows as
windows that cannot be judged, which are `inconclusive` and never conform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import special

from streaming.contracts.statistics import FeatureSummary, WindowSummary
from streaming.schema.columns import Column, Schema

Kind = Literal[
    "new_column", "missing_column", "presence_drop", "unseen_value", "deprecated_column", "other"
]
Outcome = Literal["conforms", "suspected", "broken", "inconclusive"]

SUSTAINED, OF = 3, 5
STRAY = 0.001
"""A share of rows that is tolerated whatever the schema says."""
P_LIMIT = 1e-4
"""Of one test of one column in one window, before the rule over windows."""
MIN_ROWS = 100
MOST_DEAD_LETTERS = 0.5
MOST_VALUES, LONGEST_VALUE = 20, 64
"""Bounds of the examples that a finding carries."""

_SHARES = frozenset(
    {
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "SCHEMA_MISSING_COLUMN",
    }
)
"""TFDV's names of what is tested here instead, for the columns that windows count."""
_KINDS: dict[str, Kind] = {
    "SCHEMA_NEW_COLUMN": "new_column",
    "SCHEMA_MISSING_COLUMN": "missing_column",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": "unseen_value",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": "presence_drop",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One disagreement of one column with the schema."""

    kind: Kind
    feature: str
    lasting: bool
    reason: str
    hits: int
    """Windows of the last `OF` that have it."""
    since: float
    """Start of the first of those windows."""
    rows: int = 0
    """Rows (for an unseen value: rows with a value) of the newest window that has it."""
    share: float | None = None
    """Part of those rows that disagrees; None where windows do not count it."""
    limit: float | None = None
    """The share that is allowed."""
    values: tuple[str, ...] = ()
    """Values outside the domain, most frequent first; bounded and cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaReport:
    """The judgement on the newest of some windows."""

    outcome: Outcome
    reason: str
    window_start: float
    window_end: float
    schema_digest: str
    findings: tuple[Finding, ...]


def check(schema: Schema, windows: Sequence[WindowSummary]) -> SchemaReport:
    """Judge the newest window in the light of the `OF - 1` before it.

    Parameters
    ----------
    windows:
        At least one, oldest first.
    """
    last = windows[-OF:]
    newest = last[-1]
    held: dict[tuple[Kind, str], list[Finding]] = {}
    for window in last:
        if _unreadable(window):
            continue
        for finding in _of_window(schema, window):
            held.setdefault((finding.kind, finding.feature), []).append(finding)
    findings = tuple(_over_windows(found, newest) for _, found in sorted(held.items()))
    outcome, reason = _outcome(findings, newest)
    return SchemaReport(
        outcome=outcome,
        reason=reason,
        window_start=newest.window_start,
        window_end=newest.window_end,
        schema_digest=schema.digest,
        findings=findings,
    )


def too_many(count: int, n: int, allowed: float) -> bool:
    """Whether `count` of `n` rows are more than `allowed` explains.

    >>> too_many(1, 100_000, 0.0), too_many(1_000, 100_000, 0.0)
    (False, True)
    >>> too_many(30, 1_000, 0.05), too_many(100, 1_000, 0.05)
    (False, True)
    """
    share = max(allowed, STRAY)
    return count > n * share and float(special.bdtrc(count - 1, n, share)) <= P_LIMIT


# ------------------------------------------------------------------ one window


def _unreadable(window: WindowSummary) -> bool:
    return (
        window.accepted < MIN_ROWS or window.dead_letters > MOST_DEAD_LETTERS * window.offsets_read
    )


def _of_window(schema: Schema, window: WindowSummary) -> list[Finding]:
    seen = {feature.name: feature for feature in window.features}
    start = window.window_start
    found: list[Finding] = []
    for column in schema.columns:
        feature = seen.get(column.name)
        if feature is not None and feature.rows >= MIN_ROWS:
            found += _presence(column, feature, start) + _domain(column, feature, start)
    for anomaly in window.anomalies:
        if anomaly.code not in _SHARES or anomaly.feature not in seen:
            kind = _KINDS.get(anomaly.code, "other")
            found.append(_finding(kind, anomaly.feature, start, reason=anomaly.detail))
    return list({(one.kind, one.feature): one for one in found}.values())


def _presence(column: Column, feature: FeatureSummary, start: float) -> list[Finding]:
    missing, n = feature.missing, feature.rows
    if column.deprecated:
        if not too_many(n - missing, n, 0.0):
            return []
        reason = "Deprecated, and still sent."
        return [_finding("deprecated_column", column.name, start, reason, n, 1 - missing / n)]
    if column.min_fraction <= 0:
        return []
    allowed = 1.0 - column.min_fraction
    if missing == n:
        reason = "No row has a value."
        return [_finding("missing_column", column.name, start, reason, n, 1.0, allowed)]
    if not too_many(missing, n, allowed):
        return []
    reason = f"{missing / n:.2%} of {n} rows have no value; {allowed:.2%} are allowed."
    return [_finding("presence_drop", column.name, start, reason, n, missing / n, allowed)]


def _domain(column: Column, feature: FeatureSummary, start: float) -> list[Finding]:
    counted = feature.categories
    if not column.values or counted is None:
        return []
    known = frozenset(column.values)
    pairs = zip(counted.values, counted.counts, strict=True)
    unseen = [(value, count) for value, count in pairs if value not in known]
    n, count = feature.rows - feature.missing, sum(count for _, count in unseen)
    allowed = 1.0 - column.domain_mass
    if n < MIN_ROWS or not too_many(count, n, allowed):
        return []
    reason = f"{count / n:.2%} of {n} values are not in the domain; {allowed:.2%} are allowed."
    values = tuple(value[:LONGEST_VALUE] for value, _ in unseen[:MOST_VALUES])
    return [_finding("unseen_value", column.name, start, reason, n, count / n, allowed, values)]


def _finding(
    kind: Kind,
    feature: str,
    since: float,
    reason: str,
    rows: int = 0,
    share: float | None = None,
    limit: float | None = None,
    values: tuple[str, ...] = (),
) -> Finding:
    return Finding(
        kind=kind, feature=feature, lasting=False, reason=reason, hits=1, since=since,
        rows=rows, share=share, limit=limit, values=values,
    )  # fmt: skip


# ------------------------------------------------------------------ over windows


def _over_windows(found: list[Finding], newest: WindowSummary) -> Finding:
    last = found[-1]
    now = last.since == newest.window_start
    return Finding(
        kind=last.kind,
        feature=last.feature,
        lasting=len(found) >= SUSTAINED or (last.kind == "missing_column" and now),
        reason=last.reason,
        hits=len(found),
        since=found[0].since,
        rows=last.rows,
        share=last.share,
        limit=last.limit,
        values=tuple(dict.fromkeys(v for one in reversed(found) for v in one.values))[:MOST_VALUES],
    )


def _outcome(findings: tuple[Finding, ...], newest: WindowSummary) -> tuple[Outcome, str]:
    if _unreadable(newest):
        return "inconclusive", (
            f"{newest.accepted} rows accepted, {newest.dead_letters} of {newest.offsets_read} "
            "could not be read: too little to judge."
        )
    lasting = [one for one in findings if one.lasting]
    if not lasting:
        return "conforms", f"Nothing lasted {SUSTAINED} of {OF} windows."
    worst = next((one for one in lasting if one.kind == "missing_column"), lasting[0])
    words = f"{worst.kind.replace('_', ' ')}: {worst.feature}. {worst.reason}"
    more = f" And {len(lasting) - 1} more." if len(lasting) > 1 else ""
    return ("broken" if worst.kind == "missing_column" else "suspected"), words + more
