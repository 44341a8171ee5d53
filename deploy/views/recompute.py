"""Shows the results of computing records again."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table

from deploy.config.units import format_time
from deploy.views.output import outcome_text, table
from streaming.contracts.recomputed import Recomputed

MAX_ROWS = 30
"""Records that are not equal are listed up to this number; equal ones are only counted."""
MAX_FIELDS = 8
"""Differing fields that are shown of each record; `--json` has more."""
_OUTCOMES = {"equal": "equal", "differs": "differs", "missing": "cannot be recomputed"}


def tables(results: Sequence[Recomputed]) -> list[RenderableType]:
    """Counts by kind, then what is not equal, with its fields."""
    shown: list[RenderableType] = [_counts(results)]
    others = [result for result in results if result.outcome != "equal"]
    if others:
        shown.append(_others(others))
    if any(result.differences for result in others):
        shown.append(_fields(others))
    return shown


def sentence(results: Sequence[Recomputed]) -> str:
    """The result in one sentence."""
    number = {name: sum(r.outcome == name for r in results) for name in _OUTCOMES}
    total = len(results)
    if number["differs"]:
        return f"{number['differs']} of {total} records differ from what is computed from the log."
    if number["missing"] or not total:
        return f"{number['missing']} of {total} records cannot be recomputed from the log."
    return f"All {total} records are what is computed from the log, byte for byte."


def _counts(results: Sequence[Recomputed]) -> Table:
    shown = table("computed again", "record", *(f">{name}" for name in _OUTCOMES.values()))
    for kind in dict.fromkeys(result.kind for result in results):
        of_kind: list[str] = [result.outcome for result in results if result.kind == kind]
        shown.add_row(kind, *(str(of_kind.count(name)) for name in _OUTCOMES))
    return shown


def _others(results: Sequence[Recomputed]) -> Table:
    shown = table("not equal", "record", "kind", "at", "result", "why", "written by")
    for result in results[:MAX_ROWS]:
        shown.add_row(
            result.record_id,
            result.kind,
            format_time(result.at),
            outcome_text(_OUTCOMES[result.outcome]),
            result.reason,
            result.code or "–",
        )
    if len(results) > MAX_ROWS:
        shown.add_row(f"and {len(results) - MAX_ROWS} more", "", "", "", "", "")
    return shown


def _fields(results: Sequence[Recomputed]) -> Table:
    shown = table("differing fields", "record", "field", "on the log", "computed again")
    for result in results[:MAX_ROWS]:
        for entry in result.differences[:MAX_FIELDS]:
            shown.add_row(result.record_id, entry.field, entry.recorded, entry.recomputed)
    return shown
