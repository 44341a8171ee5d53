"""`driftline config`: check, explain and print the JSON Schema of driftline.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from deploy.cli.shared.command import Invocation, Json, command
from deploy.views.output import show_json, stderr, stdout
from streaming.contracts.errors import NotFoundError

if TYPE_CHECKING:
    from deploy.config.explain import Explained

app = typer.Typer(no_args_is_help=True, help="Check and explain driftline.yaml.")


@app.command()
@command
def check(invocation: Invocation, json: Json = False) -> None:
    """Check the configuration and the models' contracts; every mistake is reported at once.

    Example: `driftline -c driftline.yaml config check`
    """
    from deploy.config import loader
    from deploy.config.paths import config_file

    settings = loader.load(invocation.file, contracts=True)
    if json:
        show_json(settings.model_dump(mode="json"))
    else:
        file = config_file(invocation.file)
        stderr.print(f"{file}: {len(settings.models)} model(s), no mistakes.", soft_wrap=True)


@app.command(name="explain")
@command
def show(
    invocation: Invocation,
    key: Annotated[
        str | None, typer.Argument(help="Show only keys that contain this, for example rollout.")
    ] = None,
    json: Json = False,
) -> None:
    """Show each key's value in force, its default and its meaning, one key per line.

    Example: `driftline config explain retrain`
    """
    from deploy.config import loader
    from deploy.config.explain import explain

    rows = [row for row in explain(loader.load(invocation.file)) if key is None or key in row.key]
    if not rows:
        raise NotFoundError(f"No key contains {key!r}; `driftline config explain` lists all.")
    if json:
        show_json(rows)
        return
    for row in rows:
        stdout.print(_line(row), soft_wrap=True)


def _line(row: Explained) -> Text:
    default = "required" if row.default == "required" else f"default {row.default}"
    return Text.assemble(
        (row.key, "bold"), ": ", (row.value, "green"), f"  # {row.meaning} ({default})"
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of driftline.yaml, for editors.

    Example: `driftline config schema > driftline.schema.json`
    """
    from deploy.config.explain import json_schema

    show_json(json_schema())
