"""`driftline models | versions | trace | dead-letters`: what is live, and why."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.tree import Tree

from deploy.app.deployment import Deployment
from deploy.records import reader
from deploy.views.output import Json, Model, data, exits, show_json, table, talk
from streaming.contracts.records import DeadLetter, ModelVersion, Promotion


def add_to(root: typer.Typer) -> None:
    """Hang the commands under `driftline`."""
    root.command()(models)
    root.command()(versions)
    root.command()(trace)
    root.command("dead-letters")(dead_letters)


def models(context: typer.Context, json: Json = False) -> None:
    """List the models and what is live.

    Example: `driftline models --json`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        with deployment.log() as log:
            live = {record.model: record for record in reader.records(log, Promotion)}
    if json:
        show_json({name: live.get(name) for name in deployment.settings.models})
        return
    shown = table("models", "model", ">live", "since", "because")
    for name in deployment.settings.models:
        record = live.get(name)
        row = ("–", "", "nothing promoted yet")
        if record is not None:
            row = (str(record.version), _clock(record.at), reader.sentence(record))
        shown.add_row(name, *row)
    data.print(shown)


def versions(context: typer.Context, model: Model, json: Json = False) -> None:
    """List the versions of a model with their evaluation.

    Example: `driftline versions big_tipper`
    """
    with exits():
        deployment = Deployment.load(context.obj)
        deployment.settings_of(model)
        with deployment.log() as log:
            found = reader.records(log, ModelVersion, model)
    if json:
        show_json(found)
        return
    shown = table(f"versions of {model}", ">version", "made", ">rows", ">auc", "blessed", "because")
    for record in found:
        auc = next((m.value for m in record.evaluation if m.name == "auc" and not m.slice), None)
        shown.add_row(
            str(record.version),
            _clock(record.at),
            str(record.training_rows),
            "–" if auc is None else f"{auc:.3f}",
            "yes" if record.blessed else "no",
            record.reason,
        )
    data.print(shown)


def trace(
    context: typer.Context,
    wanted: Annotated[str, typer.Argument(help="A record id (or its beginning), or a version.")],
    model: Annotated[str | None, typer.Option(help="Whose version.")] = None,
    json: Json = False,
) -> None:
    """Follow a record or a version back to the window that caused it.

    Example: `driftline trace 2`
    """
    with exits():
        with Deployment.load(context.obj).log() as log:
            link = reader.trace(log, wanted, model)
        if json:
            show_json(_as_json(link))
            return
        data.print(_grow(Tree(_line(link)), link))


def dead_letters(
    context: typer.Context,
    last: Annotated[int, typer.Option(help="How many of the newest to list.")] = 20,
    json: Json = False,
) -> None:
    """List the newest dead letters and count them by reason.

    Example: `driftline dead-letters --last 5`
    """
    with exits(), Deployment.load(context.obj).log() as log:
        found = reader.records(log, DeadLetter)
    if json:
        show_json(found[-last:])
        return
    shown = table("dead letters", "at", "where", "reason", "detail", "payload")
    for letter in found[-last:]:
        where = f"{letter.topic}/{letter.partition}@{letter.offset}"
        payload = letter.payload[:60].decode(errors="replace")
        shown.add_row(_clock(letter.at), where, letter.reason, letter.detail, payload)
    data.print(shown)
    for reason, count in Counter(letter.reason for letter in found).most_common():
        talk.print(f"{reason}: {count}")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _line(link: reader.Link) -> str:
    record = link.record
    return f"{_clock(record.at)}  {reader.sentence(record)}  [{record.record_id}]".replace(
        "[", "\\["
    )


def _grow(tree: Tree, link: reader.Link) -> Tree:
    for cause in link.causes:
        _grow(tree.add(_line(cause)), cause)
    return tree


def _as_json(link: reader.Link) -> dict[str, object]:
    return {"record": link.record, "causes": [_as_json(cause) for cause in link.causes]}
