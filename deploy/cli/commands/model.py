"""`driftline model`: a model's own code, checked before anything runs in earnest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.shared.command import Json, Model, command
from deploy.cli.shared.large_file import say_reading
from deploy.views.output import show_json, stderr, stdout

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.project.model_rules import Violation
    from deploy.project.model_trial import Trial

app = typer.Typer(no_args_is_help=True, help="Check a model's own code.")


@app.command()
@command
def check(
    deployment: Deployment,
    model: Model,
    data: Annotated[
        Path | None,
        typer.Option("--from", help="CSV file; without it, rows are made that the schema allows."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare code, schema and settings only.")
    ] = False,
    json: Json = False,
) -> None:
    """Import the code, compare it with schema and settings, train, export, serve and predict.

    Every broken rule is explained with file and line; the exit code is 4 then.

    Example: `driftline model check big_tipper --quick`
    """
    from deploy.project.model_rules import model_violations

    violations = model_violations(deployment.settings_of(model))
    trial = None
    if not violations and not quick:
        trial = _tried(deployment, model, data)
        violations += trial.violations
    if json:
        show_json(_as_data(violations, trial))
    else:
        _show(model, violations, trial)
    if violations:
        raise typer.Exit(4)


def show_violations(violations: list[Violation]) -> None:
    """Print each violation as editors read it: file, line, rule, sentence."""
    for violation in violations:
        stdout.print(
            f"{violation.place}: {violation.rule}: {violation.message}",
            soft_wrap=True,
            markup=False,
        )


def _tried(deployment: Deployment, model: str, data: Path | None) -> Trial:
    from deploy.project.model_trial import try_model
    from deploy.views.library_output import redirect_to

    say_reading(data)
    log = deployment.home / "log" / "model-check.log"
    stderr.print(f"Training {model} on a sample; what libraries print is in {log}.", soft_wrap=True)
    with redirect_to(log):
        return try_model(deployment, model, data, lambda step: stderr.print(f"  {step}"))


def _show(model: str, violations: list[Violation], trial: Trial | None) -> None:
    show_violations(violations)
    if violations:
        stderr.print(f"{model} breaks {len(violations)} rule(s).")
        return
    if trial is None:
        stderr.print(f"{model}: code, schema and settings agree.")
        return
    measured = ", ".join(f"{name} {value:.3f}" for name, value in trial.metrics)
    stdout.print(
        f"{model} was trained on {trial.rows} rows, exported, loaded by the model server in "
        f"{trial.load_seconds:.1f} s, and predicts a row in {1000 * trial.predict_seconds:.0f} ms."
    )
    stdout.print(f"Evaluated: {measured}.", soft_wrap=True)


def _as_data(violations: list[Violation], trial: Trial | None) -> dict[str, Any]:
    return {
        "violations": [
            {"rule": v.rule, "place": v.place, "message": v.message} for v in violations
        ],
        "trained": None
        if trial is None or trial.violations
        else {
            "rows": trial.rows,
            "metrics": dict(trial.metrics),
            "load_seconds": trial.load_seconds,
            "predict_seconds": trial.predict_seconds,
        },
    }
