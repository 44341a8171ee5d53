"""`driftline config`: check, explain and print the JSON Schema of driftline.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from deploy.cli.shared.command import Invocation, Json, command
from deploy.views.output import show_json, stderr, stdout
from streaming.contracts.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.config.explain import Explained

app = typer.Typer(no_args_is_help=True, help="Check and explain driftline.yaml.")


@app.command()
@command
def check(
    invocation: Invocation,
    live: Annotated[
        bool, typer.Option("--live", help="Also compare the topics in Kafka with the settings.")
    ] = False,
    json: Json = False,
) -> None:
    """Check the configuration, and the models' code against it; every mistake is told at once.

    With --live the exit code is 4 when a topic differs from the settings. `driftline up` and the
    daemon repair Driftline's own topics; the applications' topics are only named.

    Example: `driftline -c driftline.yaml config check`
    """
    from deploy.config import loader
    from deploy.config.paths import config_file
    from deploy.project.model_rules import model_violations

    settings = loader.load(invocation.file, contracts=True)
    violations = [
        violation for section in settings.models.values() for violation in model_violations(section)
    ]
    if violations:
        raise ConfigurationError(
            "\n".join(f"{broken.place}: {broken.rule}: {broken.message}" for broken in violations)
        )
    if live:
        _compare_topics(invocation.deployment(), json)
    elif json:
        show_json(settings.model_dump(mode="json"))
    else:
        file = config_file(invocation.file)
        stderr.print(f"{file}: {len(settings.models)} model(s), no mistakes.", soft_wrap=True)


def _compare_topics(deployment: Deployment, json: bool) -> None:
    from deploy.app.topics import deployment_topics

    with deployment.log() as log:
        differences = log.differences(deployment_topics(deployment))
    if json:
        show_json(differences)
    for difference in () if json else differences:
        what_to_do = (
            "`driftline up` or a start of the daemon repairs it"
            if difference.repaired
            else "Driftline does not change it"
        )
        stdout.print(f"{difference}; {what_to_do}.", soft_wrap=True, markup=False)
    if differences:
        raise typer.Exit(4)
    stderr.print("Every topic in Kafka is as the settings say.")


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
