"""`driftline pipeline`: the retrain pipeline by hand, run here or compiled for Kubeflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.cli.shared.command import Json, Model, UsageError, command
from deploy.views.output import show_json, stderr, stdout

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from retrain.ports import Progress
    from streaming.contracts.records import RetrainRequest

app = typer.Typer(no_args_is_help=True, help="The retrain pipeline by hand: run it, or compile it.")

Csv = Annotated[str, typer.Option("--csv", help="Folder of CSV files with the rows.")]
Tfrecord = Annotated[str, typer.Option("--tfrecord", help="Folder of TFRecord files instead.")]
Request = Annotated[
    Path | None,
    typer.Option(
        "--request",
        help="Replay a retrain request: file that `driftline trace REQUEST --json` has written.",
    ),
]
Infer = Annotated[bool, typer.Option("--infer-schema", help="Infer the schema from the rows.")]
Engine = Annotated[
    Literal["fast", "tfx"] | None,
    typer.Option(help="Whose components run; default: that of the settings."),
]
Beam = Annotated[
    list[str] | None,
    typer.Option("--beam", help="An option for Beam, such as --beam=--runner=FlinkRunner; again."),
]
Tune = Annotated[int, typer.Option("--tune", min=0, help="Trials of a search of hyperparameters.")]
Parallel = Annotated[int, typer.Option(min=0, help="Processes of the search. 0: one a core.")]
Steps = Annotated[int, typer.Option(min=1, help="Most steps of the training.")]
Bulk = Annotated[str, typer.Option("--bulk", help="Folder of CSV files that are predicted.")]


@app.command()
@command
def run(
    deployment: Deployment,
    model: Model,
    csv: Csv = "",
    tfrecord: Tfrecord = "",
    request: Request = None,
    infer_schema: Infer = False,
    engine: Engine = None,
    beam: Beam = None,
    tune: Tune = 0,
    parallel: Parallel = 0,
    steps: Steps = 800,
    against: Annotated[int, typer.Option(min=0, help="Version to compare with. 0: none.")] = 0,
    push: Annotated[
        bool, typer.Option("--push", help="Publish the version to the store, if it is blessed.")
    ] = False,
    bulk: Bulk = "",
    json: Json = False,
) -> None:
    """Run every step of the pipeline here, and show what each wrote.

    Example: `driftline pipeline run big_tipper --csv trips --infer-schema --bulk new-trips`

    Example: `driftline pipeline run big_tipper --csv trips --tune 8 --against 3 --push`

    Example: `driftline pipeline run big_tipper --request request.json --against 1`
    """
    from deploy.services import pipelines
    from deploy.views.library_output import redirect_to

    source = pipelines.Source(csv=csv, tfrecord=tfrecord, request=_read(request, model))
    wishes = pipelines.Wishes(
        infer_schema=infer_schema,
        engine=engine,
        beam=_given(beam),
        trials=tune,
        parallel=parallel,
        steps=steps,
        champion=pipelines.champion_folder(deployment, model, against) if against else "",
        store=str(deployment.artifact_root / "models") if push else "",
        bulk=bulk,
    )
    log = deployment.home / "log" / "pipeline.log"
    stderr.print(f"What libraries print is in {log}.", soft_wrap=True)
    with redirect_to(log):
        done = pipelines.run_here(deployment, model, source, wishes, _show_progress)
    if json:
        show_json(done)
        return
    for node in done["nodes"]:
        for name, folder in node["outputs"].items():
            stdout.print(f"{node['node']}.{name}: {folder}", soft_wrap=True, markup=False)
    for metric in done["metrics"]:
        stdout.print(_metric_line(metric), soft_wrap=True, markup=False)


@app.command("compile")
@command
def compile_pipeline(
    deployment: Deployment,
    model: Model,
    to: Annotated[Path, typer.Option("--to", help="The YAML file that is written.")],
    image: Annotated[str, typer.Option(help="Container image with Driftline and the model.")],
    root: Annotated[str, typer.Option(help="URI below which artifacts are: gs://bucket/runs.")],
    csv: Csv = "",
    tfrecord: Tfrecord = "",
    request: Request = None,
    kafka: Annotated[str, typer.Option(help="Address of Kafka in the cluster, for a replay.")] = "",
    infer_schema: Infer = False,
    engine: Engine = None,
    beam: Beam = None,
    tune: Tune = 0,
    parallel: Parallel = 0,
    steps: Steps = 800,
    champion: Annotated[
        str, typer.Option(help="URI of the model to compare with, or folder of a volume.")
    ] = "",
    store: Annotated[
        str, typer.Option(help="URI of the store, or folder of a volume, that gets the version.")
    ] = "",
    bulk: Bulk = "",
    mount: Annotated[
        list[str] | None,
        typer.Option(help="CLAIM=FOLDER: a volume that every container has; again for more."),
    ] = None,
    json: Json = False,
) -> None:
    """Compile the pipeline for Kubeflow Pipelines, checked by Kubeflow's SDK.

    Files are URIs (gs://, s3://, minio://) or folders of mounted volumes.

    Example: `driftline pipeline compile big_tipper --csv gs://taxi/trips --to big_tipper.yaml
    --image registry/driftline:1 --root gs://taxi/runs --store /state/models --mount state=/state`
    """
    from deploy.services import pipelines
    from deploy.views.library_output import redirect_to

    replayed = _read(request, model)
    source = pipelines.Source(csv=csv, tfrecord=tfrecord, request=replayed, kafka=kafka)
    wishes = pipelines.Wishes(
        infer_schema=infer_schema,
        engine=engine,
        beam=_given(beam),
        trials=tune,
        parallel=parallel,
        steps=steps,
        champion=champion,
        store=store,
        bulk=bulk,
        in_container=True,
    )
    mounts = _mounts(mount)
    with redirect_to(deployment.home / "log" / "pipeline.log"):
        plan = pipelines.pipeline_of(deployment, model, source, wishes)
        nodes = plan.compile_to("kubeflow", to, image=image, root=root, mounts=mounts)
    if json:
        show_json({"file": str(to), "nodes": nodes})
    else:
        stdout.print(f"{to}: {len(nodes)} nodes: {', '.join(nodes)}", soft_wrap=True, markup=False)


def _read(file: Path | None, model: str) -> RetrainRequest | None:
    """The request in the file, before anything heavy is imported."""
    from deploy.services.pipelines import read_request

    return None if file is None else read_request(file, model)


def _given(options: list[str] | None) -> tuple[str, ...] | None:
    return tuple(options) if options else None


def _mounts(given: list[str] | None) -> dict[str, str]:
    mounts = {}
    for text in given or ():
        claim, _, folder = text.partition("=")
        if not claim or not folder.startswith("/") or folder == "/":
            raise UsageError(f"--mount {text}: write CLAIM=/FOLDER, for example state=/state.")
        mounts[claim] = folder
    return mounts


def _metric_line(metric: dict[str, Any]) -> str:
    """Name, slice, value and interval of a metric."""
    where = metric["slice"] or "all rows"
    text = f"{metric['name']} ({where}): {metric['value']:.4f}"
    if metric["low"] is None or metric["high"] is None:
        return text
    return f"{text} [{metric['low']:.4f}, {metric['high']:.4f}]"


def _show_progress(progress: Progress) -> None:
    text = f"{progress.step}/{progress.steps} {progress.component}"
    seconds = f" {progress.seconds:.1f} s" if progress.seconds else ""
    stderr.print(f"{text}: {progress.state}{seconds}", soft_wrap=True, markup=False)
