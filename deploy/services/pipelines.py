"""The retrain pipeline of a model as an owner asks for it by hand: to run, or to compile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deploy.runs.places import metadata_place
from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.models.code import load_code
from retrain.ports import OnProgress, ServerCommand
from streaming.contracts.errors import (
    ConfigurationError,
    DecodeError,
    GateFailedError,
    NotFoundError,
    PermanentError,
)
from streaming.contracts.records import RetrainRequest

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from retrain.engines.tfx.pipeline import RetrainPipeline
    from retrain.engines.tfx.pipeline_steps import Engine
    from retrain.training_options import ModelTraining

LOG = "streaming.engines.kafka.log.KafkaLog"
DECODER = "deploy.services.worker.column_decoder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows come from: exactly one of the three."""

    csv: str = ""
    tfrecord: str = ""
    request: RetrainRequest | None = None
    """Its offset ranges are replayed."""
    kafka: str = ""
    """Address of Kafka; empty = that of the settings."""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.csv, self.tfrecord, self.request))) != 1:
            raise ConfigurationError(
                "Name the rows by one of --csv FOLDER, --tfrecord FOLDER and --request FILE."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the pipeline does with the rows."""

    infer_schema: bool = False
    engine: Engine | None = None
    """None = that of the settings."""
    beam: tuple[str, ...] | None = None
    """None = those of the settings."""
    trials: int = 0
    """Trials of a search before the training; 0 = that of the settings."""
    parallel: int = 0
    steps: int = 800
    champion: str = ""
    """Folder or URI of a model to compare with; empty = none."""
    store: str = ""
    """Folder or URI of the store that gets the version; empty = it is not published."""
    bulk: str = ""
    """Folder or URI of CSV files that are predicted; empty = none."""
    in_container: bool = False
    """Whether the nodes run in containers, where this machine's Python is not."""


def pipeline_of(
    deployment: Deployment, model: str, source: Source, wishes: Wishes
) -> RetrainPipeline:
    """The pipeline of `model` with the rules, options and tolerances of the settings.

    Raises
    ------
    ConfigurationError
        When the settings lack the model, or its code cannot be used.
    """
    from retrain.engines.tfx.pipeline import pipeline

    section = deployment.settings_of(model)
    training = section.retrain.training()
    plan = pipeline(
        model,
        code=load_code(section.module),
        root=deployment.home / "pipelines" / model,
        metadata=metadata_place(deployment),
        engine=wishes.engine or section.retrain.engine,
        beam=section.retrain.beam if wishes.beam is None else wishes.beam,
    )
    _add_rows(plan, deployment, model, source)
    plan.generate_statistics()
    plan = plan.infer_schema() if wishes.infer_schema else plan.with_schema()
    plan.validate_input_data(deployment.tolerance(model)).preprocess()
    _add_search(plan, training, wishes)
    plan.train(steps=wishes.steps, options=training.options)
    plan.against(wishes.champion or None).evaluate_model()
    server = DriftlineModelServer(deployment.settings.artifacts.allowed_operations).command()
    plan.infra_validate(server=_in_container(server) if wishes.in_container else server)
    if wishes.store:
        plan.push_to(wishes.store, rules=section.retrain.blessing())
    return plan.bulk_infer(csv=wishes.bulk) if wishes.bulk else plan


def run_here(
    deployment: Deployment, model: str, source: Source, wishes: Wishes, on_progress: OnProgress
) -> dict[str, Any]:
    """Run every node in this process; returns the nodes with what they wrote, and the metrics.

    Raises
    ------
    PermanentError
        When a node fails; a gate's refusal stays a `GateFailedError`.
    """
    from retrain.engines.tfx.evaluation import read_metrics
    from retrain.engines.tfx.runner import NodeFailed
    from retrain.engines.tfx.warm_server import SERVERS

    plan = pipeline_of(deployment, model, source, wishes)
    try:
        done = plan.run(on_progress=on_progress)
    except NodeFailed as error:
        kind = GateFailedError if isinstance(error.__cause__, GateFailedError) else PermanentError
        raise kind(f"{error}") from error
    finally:
        SERVERS.close()
    evaluation = done.outputs["Evaluator"]["evaluation"]
    metrics = read_metrics(evaluation, champion=bool(wishes.champion))
    nodes = [
        {
            "node": node.name,
            "seconds": round(node.seconds, 2),
            "outputs": {name: str(folder) for name, folder in done.outputs[node.name].items()},
        }
        for node in done.components
    ]
    return {"run": done.run_id, "nodes": nodes, "metrics": msgspec.to_builtins(metrics)}


def champion_folder(deployment: Deployment, model: str, version: int) -> str:
    """A folder with a version of the store in the layout of TFX's models."""
    from retrain.engines.model_store import FolderStore

    served = FolderStore(deployment.artifact_root / "models").path(model, version)
    folder = deployment.home / "pipelines" / model / f"version-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "Format-Serving"
    link.unlink(missing_ok=True)  # the store may have moved
    link.symlink_to(served)
    return str(folder)


class _Traced(msgspec.Struct, frozen=True):
    """What ``driftline trace ID --json`` prints."""

    record: RetrainRequest


def read_request(file: Path, model: str) -> RetrainRequest:
    """The request in a file: its JSON, or what ``driftline trace`` says of it as JSON.

    Raises
    ------
    NotFoundError, DecodeError
        When there is no such file, or it has no request of this model.
    """
    if not file.is_file():
        raise NotFoundError(f"There is no file {file}.")
    try:
        content = file.read_bytes()
        traced = "record" in msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        request = (
            msgspec.json.decode(content, type=_Traced).record
            if traced
            else msgspec.json.decode(content, type=RetrainRequest)
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(
            f"{file} has no JSON of a retrain request: {error}. Write it by"
            " `driftline trace REQUEST --json`, with the id of the request."
        ) from error
    if request.model != model:
        raise DecodeError(f"{file} has a request of {request.model}, not of {model}.")
    return request


def _add_rows(plan: RetrainPipeline, deployment: Deployment, model: str, source: Source) -> None:
    if source.csv:
        plan.from_csv(source.csv)
    elif source.tfrecord:
        plan.from_tfrecord(source.tfrecord)
    elif source.request is not None:
        plan.from_kafka(
            source.request,
            deployment.contract(model),
            bootstrap=source.kafka or deployment.bootstrap,
            log=LOG,
            decoder=DECODER,
        )


def _add_search(plan: RetrainPipeline, training: ModelTraining, wishes: Wishes) -> None:
    search = training.tuner
    if wishes.trials:
        plan.tune(trials=wishes.trials, parallel=wishes.parallel)
    elif search is not None:
        plan.tune(trials=search.trials, seconds=search.seconds, parallel=search.parallel)


def _in_container(server: ServerCommand) -> ServerCommand:
    """The command with the Python of the image."""
    return ServerCommand(arguments=("python", *server.arguments[1:]), environment={})
