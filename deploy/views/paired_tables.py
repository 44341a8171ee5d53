"""A paired comparison as tables: checks, measures, slices, the rows that differ most."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from deploy.config.units import format_time
from deploy.views.escapes import one_line
from deploy.views.output import outcome_text, table
from streaming.contracts.records import AnswerComparison, AnswerStatistics, PairedComparison

SHOWN_SLICES = 15
"""Slices in the table; the record has more."""


def comparison_tables(record: AnswerComparison) -> Iterator[RenderableType]:
    """Everything about one comparison, the outcome first."""
    comparison = record.comparison
    line = Text(
        one_line(
            f"{record.model}: version {record.version} against version {record.champion}, "
            f"{format_time(record.at)}: "
        )
    )
    line.append_text(outcome_text(comparison.outcome))
    yield line.append(one_line(f". {comparison.reason}"))
    if comparison.checks:
        yield _checks(comparison)
    yield _measures(comparison)
    if comparison.slices:
        yield _slices(comparison)
    if comparison.worst:
        yield _worst(comparison)


def _checks(comparison: PairedComparison) -> Table:
    shown = table("checks", "check", "outcome", ">value", ">limit", "reason")
    for check in comparison.checks:
        shown.add_row(
            check.name,
            outcome_text(check.outcome),
            number(check.value),
            number(check.limit),
            check.reason,
        )
    return shown


def _measures(comparison: PairedComparison) -> Table:
    shown = table("both versions", "measure", ">value")
    rows = [
        ("requests to both versions", str(comparison.requested)),
        ("compared rows", str(comparison.rows)),
        (
            "unanswered, champion and canary",
            f"{comparison.champion_unanswered}, {comparison.canary_unanswered}",
        ),
        (
            "not finite, champion and canary",
            f"{comparison.champion_not_finite}, {comparison.canary_not_finite}",
        ),
    ]
    if comparison.statistics is not None:
        rows += _statistics(comparison.statistics, comparison.threshold)
    for name, value in rows:
        shown.add_row(name, value)
    return shown


def _statistics(measured: AnswerStatistics, threshold: float) -> list[tuple[str, str]]:
    counts = measured.decisions
    rows = [
        (f"equal decisions at {threshold:g}", f"{100 * measured.agreement:.1f} %"),
        (
            "yes by both, champion only, canary only, neither",
            f"{counts.both}, {counts.only_champion}, {counts.only_canary}, {counts.neither}",
        ),
        ("McNemar p", f"{counts.p_value:.2g}"),
        ("Spearman's rank correlation", _correlation(measured)),
        ("Kendall's tau-b", number(measured.kendall)),
        ("mean difference", f"{measured.mean_difference:+.4f}"),
        ("mean absolute difference", f"{measured.mean_absolute_difference:.4f}"),
        ("largest absolute difference", f"{measured.max_absolute_difference:.4f}"),
        ("Kolmogorov-Smirnov distance", f"{measured.ks:.3f}"),
        ("labelled rows", str(measured.labelled)),
    ]
    if measured.champion_auc is not None and measured.canary_auc is not None:
        aucs = f"{measured.champion_auc:.3f}, {measured.canary_auc:.3f}"
        rows.append(("AUC of champion and canary", aucs))
    return rows


def _correlation(measured: AnswerStatistics) -> str:
    if measured.spearman is None:
        return "–"
    interval = f"{number(measured.spearman_low)} to {number(measured.spearman_high)}"
    return f"{number(measured.spearman)} ({interval})"


def _slices(comparison: PairedComparison) -> Table:
    left_out = len(comparison.slices) - SHOWN_SLICES
    title = "slices, the lowest agreement first"
    title += f" ({left_out} more with --json)" if left_out > 0 else ""
    shown = table(
        title, "feature", "value", ">rows", ">agreement", ">rank correlation", ">mean difference"
    )
    for entry in comparison.slices[:SHOWN_SLICES]:
        shown.add_row(
            entry.feature,
            entry.value or "(missing)",
            str(entry.rows),
            f"{100 * entry.agreement:.1f} %",
            number(entry.rank_correlation),
            f"{entry.mean_difference:+.4f}",
        )
    return shown


def _worst(comparison: PairedComparison) -> Table:
    shown = table("largest differences", "event", ">champion", ">canary", ">difference")
    for pair in comparison.worst:
        shown.add_row(
            pair.row,
            f"{pair.champion:.4f}",
            f"{pair.canary:.4f}",
            f"{pair.canary - pair.champion:+.4f}",
        )
    return shown


def number(value: float | None) -> str:
    """A value with three significant digits; a dash where there is none.

    >>> number(None), number(-0.98765), number(1e-6)
    ('–', '-0.988', '1e-06')
    """
    return "–" if value is None else f"{value:.3g}"
