"""`driftline quality`: what came true of the predictions, what is estimated before that."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.app.deployment import Deployment
from deploy.records import reader
from deploy.views.output import Json, Model, data, drawable, exits, show_json, table, talk
from streaming.contracts.errors import ConfigurationError, NotFoundError
from streaming.contracts.quality import QualityMetric, QualityVerdict

COLOURS = {"stable": "green", "suspected": "yellow", "degraded": "red", "inconclusive": "dim"}


def add_to(root: typer.Typer) -> None:
    """Hang the command under `driftline`."""
    root.command()(quality)


def quality(
    context: typer.Context,
    model: Model,
    last: Annotated[int, typer.Option(min=1, help="How many windows.")] = 12,
    plot: Annotated[
        Path | None, typer.Option(help="Draw quality, calibration and maturity: .png or .svg.")
    ] = None,
    json: Json = False,
) -> None:
    """Show realised and estimated quality per window, the maturity curve and calibration.

    `driftline labels` is the service that measures it. Example: `driftline quality big_tipper`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        if deployment.settings_of(model).predictions is None:
            raise ConfigurationError(
                f"{model} has no `predictions` topic in {deployment.file.name}: nothing tells what was "
                "served. Name the topic that the applications write their predictions to."
            )
        drawable(plot)
        with deployment.log() as log:
            everything = reader.records(log, QualityVerdict, model)
        if not everything:
            raise NotFoundError(
                f"No window of {model} has ended yet; is `driftline labels` running?"
            )
        found = latest(everything, last)
        if plot is not None:
            from deploy.views.quality_charts import draw

            draw(everything, plot)
            talk.print(f"Drawn into {plot}.")
    if json:
        show_json(found)
        return
    data.print(_windows(model, found))
    newest = everything[-1]
    realised = [one for one in everything if one.stage == "realised" and one.live]
    if realised:
        data.print(_metrics(realised[-1]))
    data.print(_maturity(newest))
    data.print(_estimate(newest))


def latest(verdicts: list[QualityVerdict], count: int) -> list[QualityVerdict]:
    """The newest verdict on each version of the newest windows: realised where there is one."""
    newest: dict[tuple[float, int], QualityVerdict] = {}
    for verdict in verdicts:
        key = verdict.window_start, verdict.version
        if verdict.stage == "realised" or key not in newest:
            newest[key] = verdict
    return [newest[key] for key in sorted(newest)][-count:]


def _windows(model: str, verdicts: list[QualityVerdict]) -> Table:
    shown = table(
        f"predictions of {model}",
        "end", ">version", ">served", ">labelled", "stage", ">AUC", ">estimated", "inputs",
        "scores", "verdict", "because",
    )  # fmt: skip
    for verdict in verdicts:
        end = datetime.fromtimestamp(verdict.window_end, UTC).strftime("%H:%M:%S")
        stage = "mature" if verdict.stage == "realised" else "provisional"
        cause = f" ({verdict.cause})" if verdict.cause else ""
        shown.add_row(
            end,
            str(verdict.version),
            str(verdict.predictions),
            f"{verdict.labelled / max(verdict.predictions, 1):.0%}",
            stage,
            _value(verdict.metrics, "auc"),
            _value(verdict.estimated, "auc") + ("" if verdict.founded else " ?"),
            verdict.inputs or "–",
            verdict.scores.outcome if verdict.scores else "–",
            f"[{COLOURS[verdict.outcome]}]{verdict.outcome}{cause}[/]",
            verdict.reason,
        )
    return shown


def _value(metrics: tuple[QualityMetric, ...], name: str) -> str:
    return next((f"{one.value:.3f}" for one in metrics if one.name == name), "–")


def _metrics(verdict: QualityVerdict) -> Table:
    shown = table(
        f"version {verdict.version}, the newest mature look",
        "measure", ">value", ">from", ">to", ">baseline", ">limit", ">p", "hits", ">n",
    )  # fmt: skip
    for one in verdict.metrics:
        numbers = (one.value, one.low, one.high, one.baseline, one.limit)
        shown.add_row(
            one.name.replace("_", " "),
            *(f"{number:.3f}" if number is not None else "–" for number in numbers),
            f"{one.p:.2g}" if one.p is not None else "–",
            f"{one.hits} of {one.of}" if one.of else "–",
            str(one.n),
        )
    return shown


def _maturity(verdict: QualityVerdict) -> Table:
    shown = table(f"labels: mature {verdict.matures_after:.1f} s after a window", ">age", ">share")
    for point in verdict.maturity:
        shown.add_row(f"{point.age_seconds:.1f} s", f"{point.share:.1%}")
    if not verdict.maturity:
        shown.add_row("–", "not learnt yet: only the horizon is mature")
    return shown


def _estimate(verdict: QualityVerdict) -> str:
    words = verdict.assumption or "No estimate yet."
    return f"[dim]{'Founded. ' if verdict.founded else 'Unfounded. '}{words}[/]"
