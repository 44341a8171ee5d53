"""`driftline quality`: realised quality of the predictions, and estimates before labels arrive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from deploy.cli.shared.command import Json, Model, command
from deploy.config.units import format_time
from deploy.views.output import (
    check_chart_file,
    outcome_text,
    show_json,
    stderr,
    stdout,
    table,
)
from streaming.contracts.errors import ConfigurationError, NotFoundError
from streaming.contracts.quality_measures import headline_name, headline_of, title_of
from streaming.contracts.quality_records import QualityMetric, QualityVerdict
from streaming.contracts.records import Promotion

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment


@command
def quality(
    deployment: Deployment,
    model: Model,
    last: Annotated[int, typer.Option(min=1, help="Number of windows.")] = 12,
    plot: Annotated[
        Path | None, typer.Option(help="Draw quality, calibration and maturity: .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Show realised and estimated quality per window, the maturity curve and calibration.

    `driftline labels` is the service that measures it.

    Example: `driftline quality big_tipper`
    """
    from deploy.records import reader

    if deployment.settings_of(model).predictions is None:
        raise ConfigurationError(
            f"{model} has no `predictions` topic in {deployment.file.name}, so nothing records "
            "which predictions were served. Name the topic that the applications write their "
            "predictions to."
        )
    check_chart_file(plot)
    with deployment.log() as log:
        verdicts = reader.records(log, QualityVerdict, model)
        promotions = reader.newest(log, Promotion, model, 1)
    if not verdicts and not promotions:
        raise NotFoundError(
            f"No version of {model} is live yet, so there are no predictions to measure; "
            f"`driftline rollout status {model}`."
        )
    if not verdicts:
        raise NotFoundError(f"No window of {model} has ended yet; is `driftline labels` running?")
    shown = latest(verdicts, last)
    if plot is not None:
        from deploy.views.quality_charts import draw

        draw(verdicts, plot)
        stderr.print(f"Drawn into {plot}.")
    if json:
        show_json(shown)
        return
    stdout.print(_windows(model, shown))
    realised = [verdict for verdict in verdicts if verdict.stage == "realised" and verdict.live]
    if realised:
        stdout.print(_metrics(realised[-1]))
    stdout.print(_maturity(verdicts[-1]))
    stdout.print(_estimate(verdicts[-1]))


def latest(verdicts: list[QualityVerdict], count: int) -> list[QualityVerdict]:
    """The newest verdict on each version of the newest windows: realised where there is one."""
    newest: dict[tuple[float, int], QualityVerdict] = {}
    for verdict in verdicts:
        key = verdict.window_start, verdict.version
        if verdict.stage == "realised" or key not in newest:
            newest[key] = verdict
    return [newest[key] for key in sorted(newest)][-count:]


def _windows(model: str, verdicts: list[QualityVerdict]) -> Table:
    title = title_of(headline_name(verdicts))
    estimates = {metric.name for verdict in verdicts for metric in verdict.estimated[:1]}
    other = "".join(f" {title_of(name)}" for name in estimates if title_of(name) != title)
    shown = table(
        f"predictions of {model}",
        "end", ">version", ">served", ">labelled", "stage", f">{title}", f">estimated{other}",
        "inputs", "predictions", "verdict", "reason",
    )  # fmt: skip
    for verdict in verdicts:
        cause = f" ({verdict.cause})" if verdict.cause else ""
        drift = verdict.prediction_drift
        shown.add_row(
            format_time(verdict.window_end),
            str(verdict.version),
            str(verdict.predictions),
            f"{verdict.labelled / max(verdict.predictions, 1):.0%}",
            "mature" if verdict.stage == "realised" else "provisional",
            _value(headline_of(verdict.metrics)),
            _value(next(iter(verdict.estimated), None))
            + ("" if verdict.assumption_holds or not verdict.estimated else " ?"),
            verdict.inputs or "–",
            drift.outcome if drift else "–",
            outcome_text(verdict.outcome, cause),
            verdict.reason,
        )
    return shown


def _value(metric: QualityMetric | None) -> str:
    return "–" if metric is None else f"{metric.value:.3f}"


def _metrics(verdict: QualityVerdict) -> Table:
    shown = table(
        f"version {verdict.version}, the newest mature batch",
        "metric", ">value", ">from", ">to", ">baseline", ">limit", ">p", "hits", ">n",
    )  # fmt: skip
    for metric in verdict.metrics:
        numbers = (metric.value, metric.low, metric.high, metric.baseline, metric.limit)
        shown.add_row(
            metric.name.replace("_", " "),
            *(f"{number:.3f}" if number is not None else "–" for number in numbers),
            f"{metric.p:.2g}" if metric.p is not None else "–",
            f"{metric.hits} of {metric.of}" if metric.of else "–",
            str(metric.n),
        )
    return shown


def _maturity(verdict: QualityVerdict) -> Table:
    shown = table(f"labels: mature {verdict.matures_after:.1f} s after a window", ">age", ">share")
    for point in verdict.maturity:
        shown.add_row(f"{point.age_seconds:.1f} s", f"{point.share:.1%}")
    if not verdict.maturity:
        shown.add_row("–", "not known yet: a window is mature at the horizon")
    return shown


def _estimate(verdict: QualityVerdict) -> Text:
    holds = "The assumption holds. " if verdict.assumption_holds else ""
    return Text(f"{holds}{verdict.assumption or 'No estimate yet.'}", style="dim")
