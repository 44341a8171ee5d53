"""The benchmark's report as a table on the screen and as Markdown for the README."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.figures import (
    BenchReport,
    ManyModels,
    RetrainComparison,
    RetrainRound,
    Series,
    Soak,
)

HEAD = ("figure", "ours", "against", "ratio")


def rows(report: BenchReport) -> Iterator[tuple[str, str, str, str]]:
    """The table's rows.

    >>> from tests.bench.figures import Machine
    >>> machine = Machine(processor="x", cores=2, python="3.11", load_at_start=0.0)
    >>> list(rows(BenchReport(at=0.0, quick=True, machine=machine)))
    []
    """
    for ratio in report.ratios:
        against = (
            f"{ratio.comparison:,.0f} {ratio.unit} "
            f"({ratio.comparison_name}, {ratio.comparison_version})"
        )
        yield ratio.name, f"{ratio.ours:,.0f} {ratio.unit}", against, f"{ratio.ratio:.2f} ×"
    for spread in report.spreads:
        times = f"p50 {_time(spread.p50)}, p99 {_time(spread.p99)}"
        yield spread.name, times, f"{spread.n} measured", ""
    if report.models:
        yield from _many(report.models)
    if report.soak:
        yield from _soak(report.soak)
    for line in report.lines:
        costs = zip(line.sizes, line.costs, strict=True)
        each = ", ".join(f"{size}: {cost / size:.2f}" for size, cost in costs)
        fit = f"{line.slope:.3f} {line.unit} each + {line.intercept:.1f}, r² {line.r2:.4f}"
        yield line.name, f"{each} {line.unit} each", f"straight line: {fit}", ""
    for state in report.state:
        bytes_ = (
            f"{_size(state.accumulator)} × {state.max_accumulators} at most, "
            f"{_size(state.history)} history"
        )
        against = (
            f"adversarial rows {_size(state.adversarial)} × {state.max_accumulators}, "
            f"bound {_size(state.bound)}"
        )
        yield f"state of a model of {state.features} features", bytes_, against, ""
    if report.retrain:
        yield from _retrain(report.retrain)


def _retrain(retrain: RetrainComparison) -> Iterator[tuple[str, str, str, str]]:
    name = f"retrain on {retrain.rows:,} rows ({retrain.source}), warm"
    sides = [_side(retrain.ours), _side(retrain.stock)]
    yield f"{name}, wall time", sides[0], sides[1], f"{retrain.ratio('wall_seconds'):.2f} ×"
    cpu = [
        f"{statistics.median(each.cpu_seconds for each in side):.1f} s"
        for side in (retrain.ours, retrain.stock)
    ]
    yield f"{name}, CPU time", cpu[0], cpu[1], f"{retrain.ratio('cpu_seconds'):.2f} ×"
    aucs = [
        f"{statistics.fmean(each.auc for each in side):.4f}"
        for side in (retrain.ours, retrain.stock)
    ]
    yield f"{name}, mean AUC", aucs[0], aucs[1], f"{retrain.auc_difference:+.4f}"
    peaks = [_size(max(each.peak_bytes for each in side)) for side in (retrain.ours, retrain.stock)]
    yield f"{name}, peak memory", peaks[0], peaks[1], ""


def _side(rounds: Sequence[RetrainRound]) -> str:
    """Median time, and the largest components of the last round."""
    median = statistics.median(each.wall_seconds for each in rounds)
    largest = sorted(rounds[-1].components, key=lambda part: -part.seconds[-1])[:4]
    parts = ", ".join(f"{part.component} {part.seconds[-1]:.1f}" for part in largest)
    return f"{median:.1f} s ({parts})"


def _many(many: ManyModels) -> Iterator[tuple[str, str, str, str]]:
    name = f"{many.models} models × {many.features} features in one job"
    yield (
        name,
        f"{many.cores:.2f} cores",
        f"{many.events_per_second:,.0f} events/s; {many.judged} windows judged, "
        f"{many.inconclusive} inconclusive",
        "",
    )
    delay = many.delay
    times = f"p50 {_time(delay.p50)}, p99 {_time(delay.p99)}"
    yield delay.name, times, f"{delay.n} measured", ""
    sizes = " → ".join(f"{size / 1024:.0f}" for size in many.state_bytes_per_model)
    yield "state per model", f"{many.state_bytes_per_model[-1] / 1024:.0f} KiB", f"{sizes} KiB", ""


def _soak(soak: Soak) -> Iterator[tuple[str, str, str, str]]:
    rate = f"{soak.events_per_second:,.0f} events/s"
    what = f"{soak.models} models × {soak.features} features, {rate}"
    aside = f"{soak.dead_letters:,} dead and {soak.late:,} late ones"
    yield (
        f"soak of {soak.minutes:g} minutes: {what}, windows of {soak.window_seconds:g} s",
        f"{soak.accepted:,} events of {soak.sent:,} accepted, {aside}",
        f"each counted once: {f'no, {len(soak.problems)} problems' if soak.problems else 'yes'}",
        "",
    )
    delay = soak.delay
    times = f"p50 {_time(delay.p50)}, p99 {_time(delay.p99)}"
    windows = (
        f"{soak.windows:,} windows, {soak.judged:,} judged, {soak.inconclusive:,} inconclusive"
    )
    yield delay.name, times, windows, ""
    yield "restarts, failed checkpoints", f"{soak.restarts}, {soak.checkpoints_failed}", "", ""
    for series in soak.series:
        yield _growth(series)


def _growth(series: Series) -> tuple[str, str, str, str]:
    first, middle, last = (series.values[at] for at in (0, len(series.values) // 2, -1))
    values = " → ".join(f"{value:.1f}" for value in (first, middle, last))
    slope = f"{series.slope:+.2f} ± {series.error:.2f} {series.unit} an hour in the second half"
    return series.name, f"{values} {series.unit}", slope, ""


def show(report: BenchReport, console: Console) -> None:
    """Print the table."""
    table = Table(title=_title(report), title_justify="left", box=None, header_style="bold")
    for name in HEAD:
        table.add_column(name, justify="right" if name == "ratio" else "left")
    for row in rows(report):
        table.add_row(*row)
    console.print(table, soft_wrap=True)


def markdown(report: BenchReport) -> str:
    """The same as a Markdown table."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|---|---:|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(report)]
    return "\n".join([*lines, "", _title(report)]) + "\n"


def _title(report: BenchReport) -> str:
    machine = report.machine
    return (
        f"{machine.cores} cores of {machine.processor}, Python {machine.python}, load "
        f"{machine.load_at_start} at the start; rates are per CPU second, medians of "
        f"{'few' if report.quick else 'at least five'} interleaved rounds."
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.1f} kB"
