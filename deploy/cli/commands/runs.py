"""`driftline runs`: every retrain as a run, with parameters, metrics, curves, files and outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, UsageError, command
from deploy.cli.shared.completion import complete_model
from deploy.views.output import check_chart_file, show_json, stderr, stdout
from streaming.contracts.errors import NotFoundError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from retrain.run_view import Run

app = typer.Typer(
    no_args_is_help=True, help="Retrains as runs: parameters, metrics, curves, files, outcome."
)
OfModel = Annotated[
    str | None, typer.Option(help="Only runs of this model.", autocompletion=complete_model)
]
Target = Annotated[
    str, typer.Argument(help="A version, or the begin of a run's id or of a model's digest.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Draw the curves into this file, .svg or .png.")
]


@app.command("list")
@command
def list_(
    deployment: Deployment,
    model: OfModel = None,
    last: Annotated[int, typer.Option(min=1, help="Number of runs.")] = 20,
    json: Json = False,
) -> None:
    """List the newest runs: cause, state, version, judged metric with its interval, duration.

    A run is one retrain request, however many attempts it took.

    Example: `driftline runs list --model big_tipper --json`
    """
    runs = _read(deployment, model, complete=False)[:last]
    if json:
        show_json(runs)
        return
    from deploy.views.runs import runs_table

    stdout.print(runs_table(runs))
    if not runs:
        stderr.print("No retrain has been requested; `driftline retrain MODEL` asks for one.")


@app.command()
@command
def show(
    deployment: Deployment,
    run: Target,
    model: OfModel = None,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """Show one run: offsets, parameters, metrics with intervals, durations, curves, trials, files.

    Exit code 3: there is no such run; 5: the argument names several.

    Example: `driftline runs show 2 --plot losses.svg`
    """
    from deploy.runs.find import find

    check_chart_file(plot)
    chosen = find(_read(deployment, model), run, model)
    _draw([chosen], plot)
    if json:
        show_json(chosen)
        return
    from deploy.views.runs import run_tables

    for part in run_tables(chosen):
        stdout.print(part)


@app.command()
@command
def compare(
    deployment: Deployment,
    runs: Annotated[list[str], typer.Argument(help="Two or more runs, as `runs show` takes them.")],
    model: OfModel = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show what is equal too, and every slice.")
    ] = False,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """Put runs side by side: parameters and durations that differ, metrics with intervals.

    "apart" marks metrics with intervals that do not overlap. That is no test of a difference:
    the evaluation of each run compares it with its champion on the same rows.

    Example: `driftline runs compare 1 2 --plot losses.svg`
    """
    from deploy.runs.compare import compare as compared
    from deploy.runs.find import find

    check_chart_file(plot)
    if len(runs) < 2:
        raise UsageError("Give two runs or more; `driftline runs list` shows them.")
    known = _read(deployment, model)
    chosen = [find(known, each, model) for each in runs]
    _draw(chosen, plot)
    comparison = compared(chosen)
    if json:
        show_json(comparison)
        return
    from deploy.views.runs import comparison_tables

    for part in comparison_tables(comparison, everything=everything):
        stdout.print(part)
    if not comparison.same_events:
        stderr.print("The runs were trained and evaluated on different rows.")


@app.command()
@command
def board(
    deployment: Deployment,
    model: OfModel = None,
    last: Annotated[int, typer.Option(min=1, help="Number of newest runs.")] = 20,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; default: 6006 and the offset.")
    ] = None,
) -> None:
    """Serve TensorBoard over the runs' logs on 127.0.0.1, in the foreground.

    Example: `driftline runs board --model big_tipper`
    """
    from deploy.runs.board import PORT, check_installed, serve

    check_installed()
    chosen = PORT + deployment.settings.local.port_offset if port is None else port
    runs = _read(deployment, model)[:last]
    stderr.print(f"TensorBoard will be at http://127.0.0.1:{chosen}; Ctrl-C ends it.")
    serve(runs, port=chosen)


@app.command()
@command
def export(
    deployment: Deployment,
    runs: Annotated[
        list[str] | None, typer.Argument(help="Runs, as `runs show` takes them; default: all.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="MLflow's tracking URI; default: mlflow.tracking_uri."),
    ] = None,
    model: OfModel = None,
    json: Json = False,
) -> None:
    """Copy runs to MLflow, and set the aliases champion and challenger.

    A run that is there already is completed, not copied twice. Needs MLflow's environment:
    `.venv/bin/python -m deploy.setup mlflow`.

    Example: `driftline runs export --to sqlite:////tmp/mlflow.db`
    """
    from deploy.config.paths import install_paths
    from deploy.runs.find import find
    from deploy.runs.mlflow_export import export as export_runs

    settings = deployment.settings.mlflow
    uri = to or settings.tracking_uri
    if not uri:
        raise UsageError("Name MLflow's tracking URI with --to, or set mlflow.tracking_uri.")
    known = _read(deployment, model)
    chosen = [find(known, each, model) for each in runs] if runs else known
    if not chosen:
        raise NotFoundError("There is no run to copy; `driftline runs list` shows the runs.")
    copied = export_runs(
        chosen, known, tracking_uri=uri, experiment=settings.experiment, paths=install_paths()
    )
    if json:
        show_json({"tracking_uri": uri, "experiment": settings.experiment, "runs": copied})
        return
    stdout.print(f"{len(copied)} run(s) are in {uri}, experiment {settings.experiment}.")


def _read(deployment: Deployment, model: str | None, *, complete: bool = True) -> tuple[Run, ...]:
    from deploy.runs.opened import read_all

    if model is not None:
        deployment.settings_of(model)
    runs, behind = read_all(deployment, model or "", complete=complete)
    if behind:
        stderr.print(behind, soft_wrap=True)
    return runs


def _draw(runs: Sequence[Run], file: Path | None) -> None:
    if file is None:
        return
    from deploy.views.run_curves import draw_curves

    draw_curves(runs, file)
    stderr.print(f"The curves are in {file}.", soft_wrap=True)
