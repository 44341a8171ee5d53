"""Windows against a schema: findings that last, not single rows.

A finding lasts when `SUSTAINED` of the last `OF` windows have it, or when one window is far enough
beyond: every row of it lacks a column, or most of its events hold another type. A window that
cannot be read is `inconclusive` and never conforms, unless one field made it unreadable: that is
named, and broken.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streaming.contracts.ids import record_id
from streaming.contracts.records import (
    DriftVerdict,
    SchemaFinding,
    SchemaKind,
    SchemaOutcome,
    SchemaVerdict,
    WindowSummary,
)
from streaming.schema.columns import Schema
from streaming.schema.limits import OF, SUSTAINED, Limits
from streaming.schema.skew import SkewState, skew
from streaming.schema.window import MAX_VALUES, hits, unreadable

MAX_FINDINGS = 200
"""Of one window: names of new columns can be invented."""
_BREAKS = frozenset({"missing_column", "type_change"})


class PastWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What one window had."""

    start: float
    findings: tuple[SchemaFinding, ...]
    alone: tuple[tuple[SchemaKind, str], ...] = ()
    """(kind, feature) of those for which this window was enough."""


class SchemaHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What the judgement remembers; bounded by `OF` windows."""

    digest: str = ""
    """Of the schema the windows were held against; another one begins afresh."""
    windows: tuple[PastWindow, ...] = ()
    skew: SkewState = SkewState()


def judge_schema(
    window: WindowSummary,
    schema: Schema,
    history: SchemaHistory,
    limits: Limits,
    drift: DriftVerdict | None = None,
    skew_limit: float = 0.25,
) -> tuple[SchemaVerdict, SchemaHistory]:
    """The verdict on `window`, and the history with it.

    Parameters
    ----------
    history:
        Of the windows before; they come in order.
    limits:
        See `streaming.schema.limits`.
    drift:
        The drift verdict of the same window, for skew; None = not judged.
    skew_limit:
        Smallest effect that the drift judge reports.
    """
    before = history.windows if history.digest == schema.digest else ()
    found = {(one.finding.kind, one.finding.feature): one for one in hits(schema, window, limits)}
    kept = dict(sorted(found.items())[:MAX_FINDINGS])
    now = PastWindow(
        start=window.window_start,
        findings=tuple(one.finding for one in kept.values()),
        alone=tuple(key for key, one in kept.items() if one.alone),
    )
    windows = (*before, now)[-OF:]
    state, findings = history.skew, _over(windows)
    if drift is not None:
        state, skewed = skew(history.skew, drift, skew_limit)
        findings = (*findings, *skewed)
    outcome, reason = _outcome(findings, window)
    verdict = SchemaVerdict(
        record_id=record_id(
            "schema-verdict", window.model, window.window_start, window.window_end, schema.digest
        ),
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
    return verdict, SchemaHistory(digest=schema.digest, windows=windows, skew=state)


def check(schema: Schema, windows: Sequence[WindowSummary], limits: Limits) -> SchemaVerdict:
    """Judge the newest of `windows` (at least one, oldest first) in the light of the others."""
    history = SchemaHistory()
    for window in windows[-OF:]:
        verdict, history = judge_schema(window, schema, history, limits)
    return verdict


def _over(windows: tuple[PastWindow, ...]) -> tuple[SchemaFinding, ...]:
    held: dict[tuple[SchemaKind, str], list[SchemaFinding]] = {}
    for window in windows:
        for finding in window.findings:
            held.setdefault((finding.kind, finding.feature), []).append(finding)
    alone = frozenset(windows[-1].alone)
    return tuple(_lasting(found, key in alone) for key, found in sorted(held.items()))


def _lasting(found: list[SchemaFinding], alone: bool) -> SchemaFinding:
    last, lasts = found[-1], alone or len(found) >= SUSTAINED
    breaks = last.kind in _BREAKS and (alone or last.value is None or last.value >= 0.5)
    values = tuple(dict.fromkeys(value for one in reversed(found) for value in one.values))
    return msgspec.structs.replace(
        last,
        outcome=("broken" if breaks else "suspected") if lasts else "noticed",
        hits=len(found),
        of=OF,
        since=found[0].since,
        values=values[:MAX_VALUES],
    )


def _outcome(
    findings: tuple[SchemaFinding, ...], window: WindowSummary
) -> tuple[SchemaOutcome, str]:
    lasting = [one for one in findings if one.outcome != "noticed"]
    worst = next((one for one in lasting if one.outcome == "broken"), None)
    if unreadable(window) and worst is None:
        return "inconclusive", (
            f"{window.accepted} rows accepted, {window.dead_letters} of {window.offsets_read} "
            "could not be read: too little to judge."
        )
    if not lasting:
        return "conforms", f"Nothing lasted {SUSTAINED} of {OF} windows."
    worst = worst or lasting[0]
    words = f"{worst.kind.replace('_', ' ')}: {worst.feature}. {worst.reason}"
    more = f" And {len(lasting) - 1} more." if len(lasting) > 1 else ""
    return ("broken" if worst.outcome == "broken" else "suspected"), words + more
