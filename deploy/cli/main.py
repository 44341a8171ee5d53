"""The command `driftline`.

Heavy parts (Beam, TensorFlow, Faust, scipy) are imported by the command that needs them, so that
`--help` and the small commands start at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from deploy import __version__
from deploy.cli.commands import (
    access,
    alerts,
    backtest,
    config,
    console,
    dead_letters,
    doctor,
    drift,
    events,
    experiment,
    init,
    job,
    lineage,
    logs,
    model,
    pipeline,
    predict,
    prune,
    quality,
    queue,
    replay,
    report,
    retrain,
    rollout,
    runs,
    schema,
    services,
    stack,
)
from deploy.cli.shared.command import EXITS, Invocation, error_as_data
from deploy.views.library_output import apply_filters
from deploy.views.output import show_json, stdout

_EPILOG = "Exit codes: " + " · ".join(f"{code} {meaning}" for code, meaning in EXITS.items())


class JsonErrorGroup(TyperGroup):
    """Prints wrong usage as JSON too when the command line has `--json`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember whether JSON was asked for."""
        ctx.meta["driftline.json"] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; its usage error goes to stdout as JSON before it is shown."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            code = getattr(error, "exit_code", None)
            if ctx.meta.get("driftline.json") and code == 2 and hasattr(error, "format_message"):
                show_json(error_as_data("UsageError", error.format_message(), code))
            raise


app = typer.Typer(
    name="driftline",
    cls=JsonErrorGroup,
    help="Keeps a deployed model true to the stream it serves.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=True,
    epilog=_EPILOG,
)


def _show_version(show: bool) -> None:
    if show:
        stdout.print(f"driftline {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Configuration file; default: DRIFTLINE_CONFIG, ./driftline.yaml, or the one "
            "that is shipped.",
        ),
    ] = None,
    server: Annotated[
        str,
        typer.Option(
            envvar="DRIFTLINE_SERVER",
            help="Address of a console: the command uses its API instead of this machine's stack.",
        ),
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="DRIFTLINE_TOKEN_FILE",
            help="File with the token for --server, readable by you only.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Keeps a deployed model true to the stream it serves."""

    def run_remotely(path: str, arguments: dict[str, Any]) -> None:
        from deploy.cli.remote.dispatch import run_remotely as run

        run(path, server, token_file, arguments)

    context.obj = Invocation(
        file=file, log_factory=context.obj, server=server, run_remotely=run_remotely
    )


_COMMANDS: tuple[Callable[..., None], ...] = (
    init.init,
    doctor.doctor,
    stack.up,
    stack.down,
    stack.status,
    logs.logs,
    services.daemon,
    services.worker,
    services.labels,
    services.notifier,
    services.demo,
    console.console,
    report.report,
    report.open_,
    retrain.retrain,
    queue.queue,
    prune.prune,
    lineage.models,
    lineage.versions,
    lineage.trace,
    drift.drift,
    backtest.backtest,
    quality.quality,
    predict.predict,
    replay.replay,
)
_GROUPS: dict[str, typer.Typer] = {
    "access": access.app,
    "job": job.app,
    "runs": runs.app,
    "rollout": rollout.app,
    "experiment": experiment.app,
    "schema": schema.app,
    "events": events.app,
    "dead-letters": dead_letters.app,
    "alerts": alerts.app,
    "config": config.app,
    "model": model.app,
    "pipeline": pipeline.app,
}

for function in _COMMANDS:
    app.command(function.__name__.rstrip("_"))(function)
for name, group in _GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Entry point of the command."""
    apply_filters()
    app(prog_name="driftline")


if __name__ == "__main__":
    main()
