"""`driftline init`: a project of the user's own, guessed from data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Invocation, Json, UsageError, command
from deploy.views.output import show_json, stderr, stdout

if TYPE_CHECKING:
    from deploy.project.label_rules import TaskKind

MIN_FILES = ("driftline.yaml",)


@command
def init(
    invocation: Invocation,
    model: Annotated[str, typer.Argument(help="Name of the new model, for example churn.")],
    file: Annotated[
        Path | None, typer.Option("--from", help="CSV file with a header line.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option("--from-topic", help="Kafka topic of flat JSON objects.")
    ] = None,
    labels_topic: Annotated[
        str | None, typer.Option(help="Kafka topic of the labels; with --from-topic and --label.")
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

    Example: `driftline init churn --from customers.csv --label churned --into churn`
    """
    from deploy.config import paths
    from deploy.project.create import csv_project
    from deploy.project.settings_text import Topics
    from deploy.project.shown import decided, guess_data, guess_table
    from deploy.project.topic_guess import topic_project
    from deploy.project.writer import package_name, refuse_existing, write_project
    from deploy.views.library_output import redirect_to

    folder = (into or Path(model)).resolve()
    package = package_name(model, folder)
    refuse_existing(folder, [*MIN_FILES, package], force=force)
    if (file is None) == (topic is None) or (labels_topic and file):
        raise UsageError("Give either --from FILE.csv or --from-topic TOPIC.")
    topics = Topics(
        events=topic or "", labels=labels_topic or "", predictions=f"{model}.predictions"
    )
    kind = _task(task)
    with redirect_to(paths.home() / "log" / "init.log"):  # TensorFlow's messages
        if file is not None:
            data, files = csv_project(model, package, file, label=label, task=kind)
        else:
            with invocation.deployment().log() as log:
                data, files = topic_project(model, package, log, topics, label=label, task=kind)
    refuse_existing(folder, files, force=force)
    write_project(folder, files)
    if json:
        show_json({**guess_data(data), "folder": str(folder), "files": list(files)})
        return
    stdout.print(guess_table(data))
    for sentence in decided(data):
        stdout.print(sentence, soft_wrap=True)
    _show_next(model, folder, files, file)


def _task(named: str | None) -> TaskKind | None:
    from deploy.project.label_rules import TASKS

    if named is not None and named not in TASKS:
        raise UsageError(f"--task {named} is none of {', '.join(TASKS)}.")
    return next((kind for kind in TASKS if kind == named), None)


def _show_next(model: str, folder: Path, files: dict[str, str], file: Path | None) -> None:
    from deploy.project.texts import user_lines

    lines = user_lines(text for name, text in files.items() if name.endswith(".py"))
    stderr.print(f"{folder}: {len(files)} files, {lines} lines of Python.", soft_wrap=True)
    stderr.print("Next:")
    stderr.print(f"  cd {folder}", soft_wrap=True)
    stderr.print(f"  driftline model check {model}")
    if file is not None:
        stderr.print(f"  driftline up && driftline job submit {model}")
        stderr.print(f"  driftline replay {file.resolve()} --model {model}", soft_wrap=True)
