"""Tables of runs, and their curves as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table

from deploy.config.units import format_time
from deploy.views.output import outcome_text, table
from retrain.run_view import Run, headline_of
from streaming.contracts.records import Metric

if TYPE_CHECKING:
    from deploy.runs.compare import ComparedValue, Comparison

_BARS = "▁▂▃▄▅▆▇█"
MAX_BARS = 60
"""Characters of a text curve; longer ones show every n-th epoch, and the last."""
_STATES = {"published": "ok", "insufficient": "insufficient", "failed": "failed"}


def runs_table(runs: Sequence[Run]) -> Table:
    """Runs, one a row."""
    shown = table(
        "runs", "run", "model", "requested", "cause", "state", ">version", "metric",
        ">value", "after publication", ">s", "loss",
    )  # fmt: skip
    for run in runs:
        metric = headline_of(run)
        seconds = sum(component.seconds for component in run.components)
        shown.add_row(
            run.run_id,
            run.model,
            format_time(run.at),
            run.cause,
            state_text(run),
            str(run.version or "–"),
            metric.name if metric else "–",
            with_interval(metric),
            run.history[-1].outcome if run.history else "–",
            f"{seconds:.1f}" if run.components else "–",
            sparkline(run.curve.val_loss or run.curve.loss, width=16),
        )
    return shown


def state_text(run: Run) -> Any:
    """A run's state in its colour, with the number of attempts where there were several."""
    detail = f" ({run.attempts} attempts)" if run.attempts > 1 else ""
    text = outcome_text(_STATES.get(run.state, run.state))
    shown = outcome_text(run.state, detail)
    shown.style = text.style
    return shown


def with_interval(metric: Metric | None) -> str:
    """A value with its 95 % interval.

    >>> with_interval(Metric(name="auc", slice="", value=0.9, low=0.89, high=0.912))
    '0.9000 [0.8900, 0.9120]'
    """
    if metric is None:
        return "–"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.4f}"
    return f"{metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]"


def run_tables(run: Run) -> list[RenderableType]:
    """Everything about one run."""
    shown: list[RenderableType] = [_facts(run)]
    if run.parameters:
        shown.append(_pairs("parameters", run.parameters))
    if run.metrics:
        shown.append(_metrics(run.metrics))
    if run.components:
        shown.append(_pairs("components", {c.name: f"{c.seconds:.2f} s" for c in run.components}))
    if run.curve.loss:
        shown.append(_curves(run))
    if run.trials:
        shown.append(_trials(run))
    if run.artifacts:
        shown.append(artifacts_table(run))
    return shown


def _facts(run: Run) -> Table:
    offsets = [
        f"{span.topic}/{span.partition} {span.start}–{span.stop}"
        for span in (*run.events, *run.labels)
    ]
    facts = {
        "model": run.model,
        "requested": f"{format_time(run.at)}, {run.cause or 'cause unknown'}: {run.reason}",
        "caused by": ", ".join(run.caused_by) or "–",
        "offsets": "; ".join(offsets) or "–",
        "rows": str(run.rows or "–"),
        "state": run.state,
        "attempts": str(run.attempts),
        "version": f"{run.version or '–'}{'' if run.blessed is None else _blessed(run.blessed)}",
        "digest": run.digest or "–",
        "outcome": run.outcome or "–",
    }
    for event in run.history:
        facts[f"{event.kind} {format_time(event.at)}"] = f"{event.outcome}: {event.reason}"
    return _pairs(f"run {run.run_id}", facts)


def _blessed(blessed: bool) -> str:
    return ", blessed" if blessed else ", not blessed"


def _pairs(title: str, pairs: dict[str, Any]) -> Table:
    shown = table(title, "name", "value")
    for name, value in pairs.items():
        shown.add_row(name, str(value))
    return shown


def _metrics(metrics: Sequence[Metric]) -> Table:
    shown = table("evaluation", "metric", "slice", ">value", ">low", ">high", ">rows", ">champion")
    for metric in metrics:
        shown.add_row(
            metric.name,
            metric.slice or "(all)",
            *(_number(value) for value in (metric.value, metric.low, metric.high)),
            str(metric.n),
            _number(metric.champion),
        )
    return shown


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _curves(run: Run) -> Table:
    shown = table("curves", "loss of", ">first", ">last", ">epochs", "by epoch")
    for name, losses in (("training rows", run.curve.loss), ("held-back rows", run.curve.val_loss)):
        if losses:
            ends = (_number(losses[0]), _number(losses[-1]))
            shown.add_row(name, *ends, str(len(losses)), sparkline(losses))
    return shown


def sparkline(losses: Sequence[float | None], *, width: int = MAX_BARS) -> str:
    """A curve as text, one bar an epoch; a loss that is no number is a gap.

    >>> sparkline([3.0, 2.0, None, 1.0])
    '█▅ ▁'
    >>> sparkline([])
    ''
    """
    chosen = _thinned(losses, width)
    known = [value for value in chosen if value is not None and math.isfinite(value)]
    if not known:
        return " " * len(chosen)
    low, spread = min(known), max(known) - min(known)
    bars = []
    for value in chosen:
        if value is None or not math.isfinite(value):
            bars.append(" ")
        else:
            part = (value - low) / spread if spread else 0.0
            bars.append(_BARS[round(part * (len(_BARS) - 1))])
    return "".join(bars)


def _thinned(losses: Sequence[float | None], width: int) -> list[float | None]:
    stride = -(-len(losses) // width) if losses else 1
    return list(losses[::-1][::stride][::-1])


def _trials(run: Run) -> Table:
    shown = table("trials", "trial", ">loss", ">epochs", ">s", "ended", "hyperparameters")
    for trial in run.trials:
        given = trial.get("values")
        pairs = given.items() if isinstance(given, dict) else ()
        loss, seconds = trial.get("loss"), trial.get("seconds")
        shown.add_row(
            str(trial.get("id", "")),
            f"{loss:.5f}" if isinstance(loss, float) else "–",
            str(trial.get("epochs", "–")),
            f"{seconds:.1f}" if isinstance(seconds, float) else "–",
            str(trial.get("ending", "–")),
            " ".join(f"{name}={value}" for name, value in pairs),
        )
    return shown


def artifacts_table(run: Run) -> Table:
    """The files of a run, and where they are or were."""
    shown = table(f"files of run {run.run_id}", "kind", "where")
    for artifact in run.artifacts:
        shown.add_row(artifact.kind, f"{artifact.uri}{' (removed)' if artifact.removed else ''}")
    return shown


def comparison_tables(comparison: Comparison, *, everything: bool) -> list[RenderableType]:
    """Runs side by side; without `everything` only what differs."""
    names = [f"{run.run_id[:12]} v{run.version or '–'}" for run in comparison.runs]
    shown: list[RenderableType] = []
    for title, rows in (("parameters", comparison.parameters), ("seconds", comparison.components)):
        chosen = [row for row in rows if everything or row.differs]
        if chosen:
            shown.append(_side_by_side(title, names, chosen))
    metrics = table("evaluation", "metric", "slice", *(f">{name}" for name in names), "intervals")
    for row in comparison.metrics:
        if everything or not row.slice:
            cells = (with_interval(metric) for metric in row.values)
            metrics.add_row(row.name, row.slice or "(all)", *cells, "apart" if row.apart else "")
    if metrics.row_count:
        shown.insert(1 if shown else 0, metrics)
    return shown


def _side_by_side(title: str, names: list[str], rows: Sequence[ComparedValue]) -> Table:
    shown = table(title, "name", *(f">{name}" for name in names))
    for row in rows:
        shown.add_row(row.name, *("–" if value is None else str(value) for value in row.values))
    return shown
