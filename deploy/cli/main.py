"""The command `driftline`.

Heavy parts (Beam, TensorFlow, Faust) are imported by the command that needs them, so that
`--help` and the small commands answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy import __version__
from deploy.cli.commands import (
    backtest,
    config,
    doctor,
    drift,
    job,
    lineage,
    predict,
    quality,
    retrain,
    rollout,
    schema,
    services,
    stack,
)
from deploy.views.output import EXITS, data

_EPILOG = "Exit codes: " + " · ".join(f"{code} {meaning}" for code, meaning in EXITS.items())

app = typer.Typer(
    name="driftline",
    help="Keeps a deployed model true to the stream it serves.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog=_EPILOG,
)


def _version(wanted: bool) -> None:
    if wanted:
        data.print(f"driftline {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="driftline.yaml; else DRIFTLINE_CONFIG, ./driftline.yaml, the one that ships.",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Keeps a deployed model true to the stream it serves."""
    context.obj = file


for part in (
    doctor,
    stack,
    job,
    services,
    retrain,
    rollout,
    lineage,
    drift,
    backtest,
    quality,
    schema,
    predict,
    config,
):
    part.add_to(app)


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
