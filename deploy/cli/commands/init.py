"""`driftline init`: a project of the user's own, guessed from data."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Invocation, Json, UsageError, command
from deploy.cli.shared.large_file import say_reading
from deploy.views.output import show_json, stderr, stdout

if TYPE_CHECKING:
    from deploy.project.csv_guess import DataGuess
    from deploy.project.label_tasks import TaskKind

MIN_FILES = ("driftline.yaml",)


@command
def init(
    invocation: Invocation,
    model: Annotated[str, typer.Argument(help="Name of the new model, for example churn.")],
    file: Annotated[
        Path | None, typer.Option("--from", help="CSV file with a header line.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option("--from-topic", help="Kafka topic of events in any format.")
    ] = None,
    labels_topic: Annotated[
        str | None, typer.Option(help="Kafka topic of the labels; with --from-topic and --label.")
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(help="Address of the schema registry; default: the setting registry.url."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column to predict; without it, it is guessed.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="binary, multiclass or regression; guessed without it.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Folder of the project; default: one called like MODEL.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files of the project.")] = False,
    json: Json = False,
) -> None:
    """Make a project from data: settings, contract, schema, net, and one test.

    Says for each column what it becomes and why. What cannot work is refused with the reason, and
    nothing is written then.

    Events of a topic are JSON, CloudEvents, or Avro, Protobuf or JSON Schema with a registry;
    fields inside objects are read by path. What was guessed is tried on the newest events.

    Example: `driftline init churn --from customers.csv --label churned --into churn`

    Example: `driftline init tips --from-topic trips --labels-topic tips --label paid.tip`
    """
    from deploy.config import paths
    from deploy.project.create import csv_project
    from deploy.project.settings_text import Topics
    from deploy.project.shown import guess_data
    from deploy.project.topic_guess import topic_project
    from deploy.project.writer import package_name, refuse_existing, write_project
    from deploy.views.library_output import redirect_to

    folder = (into or Path(model)).resolve()
    package = package_name(model, folder)
    refuse_existing(folder, [*MIN_FILES, package], force=force)
    if (file is None) == (topic is None) or (labels_topic and file):
        raise UsageError("Give either --from FILE.csv or --from-topic TOPIC.")
    served = f"{model}.predictions"
    topics = Topics(
        events=topic or "", labels=labels_topic or "", predictions=served, registry=registry or ""
    )
    kind = _task(task)
    say_reading(file)
    with redirect_to(paths.home() / "log" / "init.log"):  # TensorFlow's messages
        if file is not None:
            data, files = csv_project(model, package, file, label=label, task=kind)
        else:
            data, files = topic_project(
                model, package, invocation.deployment(), topics, label=label, task=kind
            )
    refuse_existing(folder, files, force=force)
    write_project(folder, files)
    if json:
        show_json({**guess_data(data), "folder": str(folder), "files": list(files)})
        return
    _show(data, model, folder, files, file)


def _show(
    data: DataGuess, model: str, folder: Path, files: dict[str, str], file: Path | None
) -> None:
    from deploy.project.shown import decided, guess_table

    stdout.print(guess_table(data))
    for sentence in decided(data):
        stdout.print(sentence, soft_wrap=True)
    _show_next(model, folder, files, file)


def _task(named: str | None) -> TaskKind | None:
    from deploy.project.label_tasks import TASKS

    if named is not None and named not in TASKS:
        raise UsageError(f"--task {named} is none of {', '.join(TASKS)}.")
    return next((kind for kind in TASKS if kind == named), None)


def _show_next(model: str, folder: Path, files: dict[str, str], file: Path | None) -> None:
    from deploy.project.texts import user_lines

    lines = user_lines(text for name, text in files.items() if name.endswith(".py"))
    stderr.print(f"{folder}: {len(files)} files, {lines} lines of Python.", soft_wrap=True)
    stderr.print("Next:")
    for line in _next_commands(model, folder, file):
        stderr.print(f"  {line}", soft_wrap=True, markup=False)


def _next_commands(model: str, folder: Path, file: Path | None) -> list[str]:
    """What to type after `init`; a file's path is quoted where a shell needs that."""
    lines = [f"cd {quote(str(folder))}"]
    if file is None:
        return [*lines, f"driftline model check {model}"]
    data = quote(str(file.resolve()))
    return [
        *lines,
        f"driftline model check {model} --from {data}",
        f"driftline up && driftline job submit {model}",
        f"driftline replay {data} --model {model} --for 3m",
    ]
