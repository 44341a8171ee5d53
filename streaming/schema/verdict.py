"""Schema verdicts: combines the findings of the latest windows.

A finding is `suspected` when `Tolerance.sustained` of the last `Tolerance.of` windows have it.
Whether it is `broken` is decided by `contracts.tolerance.judge`, as it is in the retrain: so a
verdict is broken exactly where no retrain starts. A window that cannot be judged is `inconclusive`
and never conforms, unless one field made it unreadable. That field is then named, and the verdict
is `broken`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streaming.contracts.ids import digest, record_id
from streaming.contracts.records import (
    DriftVerdict,
    SchemaFinding,
    SchemaKind,
    SchemaOutcome,
    SchemaVerdict,
    WindowSummary,
)
from streaming.contracts.tolerance import Breach, Tolerance, judge
from streaming.drift.settings import DriftRules
from streaming.schema.columns import Schema
from streaming.schema.skew import SkewState, find_skew
from streaming.schema.thresholds import SchemaThresholds
from streaming.schema.window import MAX_VALUES, find_disagreements, is_unjudgeable, kind_of_code

MAX_FINDINGS = 200
"""Largest number of findings of one window: events can name any number of new columns."""
SKEW_LIMIT = DriftRules().suspected_sd
"""Smallest skew that is reported by default, in standard deviations: that of drift."""


class PastWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one window."""

    start: float
    findings: tuple[SchemaFinding, ...]
    breaches: tuple[Breach, ...] = ()
    """The rows behind those findings that can be broken data."""


class SchemaHistory(msgspec.Struct, frozen=True, kw_only=True):
    """State between verdicts; bounded by `Tolerance.of` windows."""

    digest: str = ""
    """Digest of the schema the windows were compared with; another schema starts afresh."""
    windows: tuple[PastWindow, ...] = ()
    skew: SkewState = SkewState()


def schema_history_digest(history: SchemaHistory) -> str:
    """Digest of a history, 24 hex digits: equal histories have equal digests."""
    return digest(msgspec.json.encode(history, order="deterministic"))[:24]


def judge_schema(
    window: WindowSummary,
    schema: Schema,
    history: SchemaHistory,
    thresholds: SchemaThresholds,
    drift: DriftVerdict | None = None,
    skew_limit: float = SKEW_LIMIT,
) -> tuple[SchemaVerdict, SchemaHistory]:
    """The verdict on `window`, and the history that includes it.

    Parameters
    ----------
    history:
        State after the windows before; windows must come in order.
    thresholds:
        See `streaming.schema.thresholds`.
    drift:
        The drift verdict of the same window, for skew; None when it was not judged.
    skew_limit:
        Smallest effect that is reported as drift, in standard deviations.
    """
    before = history.windows if history.digest == schema.digest else ()
    tolerance = thresholds.tolerance
    by_column: dict[tuple[SchemaKind, str], SchemaFinding] = {}
    breaches: list[Breach] = []
    for disagreement in find_disagreements(schema, window, thresholds):
        finding = disagreement.finding
        known = by_column.setdefault((finding.kind, finding.feature), finding)
        if (finding.value or 0.0) > (known.value or 0.0):
            by_column[finding.kind, finding.feature] = finding
        if disagreement.breach is not None:
            breaches.append(disagreement.breach)
    kept = dict(sorted(by_column.items())[:MAX_FINDINGS])
    current = PastWindow(
        start=window.window_start,
        findings=tuple(kept.values()),
        breaches=tuple(breaches[:MAX_FINDINGS]),
    )
    windows = (*before, current)[-tolerance.of :]
    skew_state, findings = history.skew, _combine(windows, tolerance)
    if drift is not None:
        skew_state, skew_findings = find_skew(history.skew, drift, skew_limit)
        findings = (*findings, *skew_findings)
    outcome, reason = _outcome(findings, window, tolerance)
    verdict = SchemaVerdict(
        record_id=record_id("schema-verdict", window.model, window.window_start, window.window_end),
        model=window.model,
        at=window.at,
        caused_by=(window.record_id,),
        window_start=window.window_start,
        window_end=window.window_end,
        outcome=outcome,
        reason=reason,
        rows=window.accepted,
        schema_version=schema.version,
        schema_digest=schema.digest,
        findings=findings,
    )
    return verdict, SchemaHistory(digest=schema.digest, windows=windows, skew=skew_state)


def check_schema(
    schema: Schema, windows: Sequence[WindowSummary], thresholds: SchemaThresholds
) -> SchemaVerdict:
    """The verdict on the newest of `windows` (at least one, oldest first), given the others."""
    history = SchemaHistory()
    for window in windows[-thresholds.tolerance.of :]:
        verdict, history = judge_schema(window, schema, history, thresholds)
    return verdict


def _combine(windows: tuple[PastWindow, ...], tolerance: Tolerance) -> tuple[SchemaFinding, ...]:
    """One finding per kind and column over the windows, the newest last."""
    by_column: dict[tuple[SchemaKind, str], list[SchemaFinding]] = {}
    for window in windows:
        for finding in window.findings:
            by_column.setdefault((finding.kind, finding.feature), []).append(finding)
    judgement = judge([window.breaches for window in windows], tolerance)
    broken = {
        (kind_of_code(breach.code), breach.feature)
        for breach in judgement.breaches
        if judgement.effect == "broken"
    }
    return tuple(
        _combined(findings, tolerance, is_broken=key in broken)
        for key, findings in sorted(by_column.items())
    )


def _combined(
    findings: list[SchemaFinding], tolerance: Tolerance, *, is_broken: bool
) -> SchemaFinding:
    is_sustained = len(findings) >= tolerance.sustained
    values = tuple(
        dict.fromkeys(value for finding in reversed(findings) for value in finding.values)
    )
    return msgspec.structs.replace(
        findings[-1],
        outcome="broken" if is_broken else "suspected" if is_sustained else "noticed",
        hits=len(findings),
        of=tolerance.of,
        since=findings[0].since,
        values=values[:MAX_VALUES],
    )


def _outcome(
    findings: tuple[SchemaFinding, ...], window: WindowSummary, tolerance: Tolerance
) -> tuple[SchemaOutcome, str]:
    sustained = [finding for finding in findings if finding.outcome != "noticed"]
    worst = next((finding for finding in sustained if finding.outcome == "broken"), None)
    if is_unjudgeable(window) and worst is None:
        return "inconclusive", (
            f"{window.accepted} rows accepted, {window.dead_letters} of {window.offsets_read} "
            "could not be read: too little to judge."
        )
    if not sustained:
        return "conforms", f"No sustained finding in the last {tolerance.of} windows."
    worst = worst or sustained[0]
    reason = f"{worst.kind.replace('_', ' ')}: {worst.feature}. {worst.reason}"
    more = f" And {len(sustained) - 1} more." if len(sustained) > 1 else ""
    return ("broken" if worst.outcome == "broken" else "suspected"), reason + more
