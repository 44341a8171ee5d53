"""`driftline models | versions | trace`: what is live, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.shared.command import Json, Model, UsageError, command
from deploy.cli.shared.completion import complete_model
from deploy.config.units import format_time
from deploy.records.lineage import Link
from deploy.views.output import outcome_text, show_json, stderr, stdout, table
from streaming.contracts.errors import GateFailedError, NotFoundError
from streaming.contracts.records import (
    AnyRecord,
    ModelVersion,
    Promotion,
    RetrainFailure,
    RetrainRequest,
)

if TYPE_CHECKING:
    from rich.tree import Tree

    from deploy.app.deployment import Deployment
    from deploy.records.effects import Effect
    from retrain.run_view import Run
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
    target: Annotated[
        str,
        typer.Argument(
            help="A record id, a version, a digest (or the beginning of an id or digest), or a "
            "time in a window."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="The model of the version or window.", autocompletion=complete_model),
    ] = None,
    effects: Annotated[
        bool, typer.Option("--effects", help="Follow it forwards: what it caused.")
    ] = False,
    files: Annotated[
        bool,
        typer.Option("--files", help="Also the files of its retrains, from ML Metadata."),
    ] = False,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Compute every verdict of the chain and of its rollouts again from the log.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Follow a record, version or window back to what caused it, or forwards with --effects.

    With --recompute each verdict is computed again from the records alone, and the choice of a
    retrain's rows from the rows at its offsets, and compared byte for byte. Exit code 0: all are
    equal; 4: one differs, its fields are shown; 3: one cannot be recomputed, because something
    that it needs is not on the log, or nothing has this name.

    Example: `driftline trace 2 --recompute`, or forwards
    `driftline trace 2026-11-20T08:00 --model big_tipper --effects`
    """
    from rich.tree import Tree

    if effects and recompute:
        raise UsageError("--recompute computes what caused a record; leave out --effects.")
    if model is not None:
        deployment.settings_of(model)
    with deployment.log() as log:
        link = _chain(deployment, log, target, model, forwards=effects)
        results = (
            _recomputed(deployment, log, link) if isinstance(link, Link) and recompute else None
        )
    runs = _runs(deployment, link) if files else None
    if json:
        further = {"recomputed": results, "files": runs}
        given = {name: value for name, value in further.items() if value is not None}
        show_json({"chain": _as_data(link), **given} if given else _as_data(link))
    else:
        stdout.print(_with_next(Tree(_line(link)), link))
        _show_files(runs)
    if results is not None:
        _conclude(results, quiet=json)


def _chain(
    deployment: Deployment, log: RecordLog, target: str, model: str | None, *, forwards: bool
) -> Link | Effect:
    """The chain from the console's projection where it is up to date, else from the log."""
    from deploy.projection import lineage as projected
    from deploy.projection.current import current_reader
    from deploy.records import effects, lineage

    reader = current_reader(deployment.home, deployment.bootstrap, log)
    if reader is None:
        link = lineage.trace(log, target, model)
        return effects.trace_effects(log, link.record) if forwards else link
    try:
        link = projected.trace(reader, log, target, model)
        return projected.trace_effects(reader, log, link.record) if forwards else link
    finally:
        reader.close()


def _runs(deployment: Deployment, link: Link | Effect) -> tuple[Run, ...]:
    """The runs of the requests and versions in a chain, oldest first."""
    from deploy.runs.opened import read_all

    ids = {
        record.record_id if isinstance(record, RetrainRequest) else record.request_id
        for record in _records(link)
        if isinstance(record, RetrainRequest | ModelVersion | RetrainFailure)
    }
    runs, behind = read_all(deployment)
    if behind:
        stderr.print(behind, soft_wrap=True)
    return tuple(run for run in reversed(runs) if run.run_id in ids)


def _records(link: Link | Effect) -> Iterator[AnyRecord]:
    yield link.record
    for following in _next(link):
        yield from _records(following)


def _next(link: Link | Effect) -> Sequence[Link | Effect]:
    return link.causes if isinstance(link, Link) else link.effects


def _show_files(runs: tuple[Run, ...] | None) -> None:
    from deploy.views.runs import artifacts_table

    for run in runs or ():
        stdout.print(artifacts_table(run))


def _recomputed(deployment: Deployment, log: RecordLog, link: Link) -> tuple[Recomputed, ...]:
    from deploy.recompute.chain import recompute_chain
    from deploy.recompute.rows import reselect_from

    return recompute_chain(log, deployment.store(), link, reselect_from(deployment, log))


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


def _line(link: Link | Effect) -> str:
    from deploy.records.describe import describe

    record = link.record
    return f"{format_time(record.at)}  {describe(record)}  [{record.record_id}]"


def _with_next(tree: Tree, link: Link | Effect) -> Tree:
    """Add causes or effects; a record that is listed already is only named."""
    for following in _next(link):
        record_id = following.record.record_id
        if following.repeated:
            tree.add(f"(above)  [{record_id}]")
            continue
        branch = _with_next(tree.add(_line(following)), following)
        if following.more and isinstance(following, Link):
            branch.add(f"older causes: driftline trace {record_id}")
        elif following.more:
            branch.add(f"further effects: driftline trace {record_id} --effects")
    return tree


def _as_data(link: Link | Effect) -> dict[str, object]:
    if link.repeated:
        return {"record_id": link.record.record_id, "repeated": True}
    name = "causes" if isinstance(link, Link) else "effects"
    return {
        "record": link.record,
        name: [_as_data(following) for following in _next(link)],
        "more": link.more,
    }
