"""`driftline models | versions | trace`: what is live, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, command
from deploy.cli.shared.completion import complete_model
from deploy.config.units import format_time
from deploy.views.output import outcome_text, show_json, stdout, table
from streaming.contracts.errors import GateFailedError, NotFoundError
from streaming.contracts.records import ModelVersion, Promotion

if TYPE_CHECKING:
    from rich.tree import Tree

    from deploy.app.deployment import Deployment
    from deploy.records.lineage import Link
    from streaming.contracts.log import RecordLog
    from streaming.contracts.recomputed import Recomputed


@command
def models(deployment: Deployment, json: Json = False) -> None:
    """List the models and their live versions.

    Example: `driftline models --json`
    """
    from deploy.records import reader
    from deploy.records.describe import describe

    with deployment.log() as log:
        live = {promotion.model: promotion for promotion in reader.records(log, Promotion)}
    if json:
        show_json({name: live.get(name) for name in deployment.settings.models})
        return
    shown = table("models", "model", ">live", "since", "reason")
    for name in deployment.settings.models:
        promotion = live.get(name)
        if promotion is None:
            shown.add_row(name, "–", "", "nothing promoted yet")
        else:
            version = str(promotion.version)
            shown.add_row(name, version, format_time(promotion.at), describe(promotion))
    stdout.print(shown)


@command
def versions(
    deployment: Deployment,
    model: Model,
    last: Annotated[int, typer.Option(min=1, help="Number of versions.")] = 20,
    json: Json = False,
) -> None:
    """List the newest versions of a model with their evaluation.

    Example: `driftline versions big_tipper`
    """
    from deploy.records import reader

    deployment.settings_of(model)
    with deployment.log() as log:
        newest = reader.newest(log, ModelVersion, model, last)
    if json:
        show_json(newest)
        return
    shown = table(
        f"versions of {model}", ">version", "trained", ">rows", ">auc", "blessed", "reason"
    )
    for version in newest:
        auc = next((m.value for m in version.evaluation if m.name == "auc" and not m.slice), None)
        shown.add_row(
            str(version.version),
            format_time(version.at),
            str(version.training_rows),
            "–" if auc is None else f"{auc:.3f}",
            outcome_text("yes" if version.blessed else "no"),
            version.reason,
        )
    stdout.print(shown)


@command
def trace(
    deployment: Deployment,
    target: Annotated[str, typer.Argument(help="A record id (or its beginning), or a version.")],
    model: Annotated[
        str | None,
        typer.Option(help="The model of the version.", autocompletion=complete_model),
    ] = None,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Compute every verdict of the chain and of its rollouts again from the log.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Follow a record or a version back to the window that caused it.

    With --recompute each verdict is computed again from the records alone and compared byte for
    byte. Exit code 0: all are equal; 4: one differs, its fields are shown; 3: one cannot be
    recomputed, because something that it needs is not on the log.

    Example: `driftline trace 2 --recompute`
    """
    from rich.tree import Tree

    if model is not None:
        deployment.settings_of(model)
    with deployment.log() as log:
        link = _chain(deployment, log, target, model)
        results = _recomputed(deployment, log, link) if recompute else None
    if json:
        data = _as_data(link)
        show_json(data if results is None else {"chain": data, "recomputed": results})
    else:
        stdout.print(_with_causes(Tree(_line(link)), link))
    if results is not None:
        _conclude(results, quiet=json)


def _chain(deployment: Deployment, log: RecordLog, target: str, model: str | None) -> Link:
    """The chain from the console's projection where it is up to date, else from the log."""
    from deploy.projection.current import current_reader
    from deploy.projection.lineage import trace as trace_in_projection
    from deploy.records import lineage

    reader = current_reader(deployment.home, deployment.bootstrap, log)
    if reader is None:
        return lineage.trace(log, target, model)
    try:
        return trace_in_projection(reader, log, target, model)
    finally:
        reader.close()


def _recomputed(deployment: Deployment, log: RecordLog, link: Link) -> tuple[Recomputed, ...]:
    from deploy.recompute.chain import recompute_chain

    return recompute_chain(log, deployment.store(), link)


def _conclude(results: tuple[Recomputed, ...], *, quiet: bool) -> None:
    """Show the results and end with the exit code that they stand for."""
    from deploy.views.recompute import sentence, tables

    if not quiet:
        for part in tables(results):
            stdout.print(part)
    if any(result.outcome == "differs" for result in results):
        raise GateFailedError(sentence(results))
    if not results or any(result.outcome == "missing" for result in results):
        raise NotFoundError(sentence(results))
    if not quiet:
        stdout.print(sentence(results))


def _line(link: Link) -> str:
    from deploy.records.describe import describe

    record = link.record
    return f"{format_time(record.at)}  {describe(record)}  [{record.record_id}]"


def _with_causes(tree: Tree, link: Link) -> Tree:
    """Add the causes; a record that is listed already is only named."""
    for cause in link.causes:
        record_id = cause.record.record_id
        if cause.repeated:
            tree.add(f"(above)  [{record_id}]")
            continue
        branch = _with_causes(tree.add(_line(cause)), cause)
        if cause.more:
            branch.add(f"older causes: driftline trace {record_id}")
    return tree


def _as_data(link: Link) -> dict[str, object]:
    if link.repeated:
        return {"record_id": link.record.record_id, "repeated": True}
    return {
        "record": link.record,
        "causes": [_as_data(cause) for cause in link.causes],
        "more": link.more,
    }
