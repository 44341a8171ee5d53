"""The platform's TFX Trainer function: trains a model's ``build_model`` and exports it.

The transformed rows are held in memory. The last tenth of the training rows decides when to stop
and which epoch's weights are kept; the evaluation rows are never used. Rows come in the order of
their key's hash, so that tenth is a random sample.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import msgspec
import tensorflow_transform as tft

from retrain.engines.tfx.checkpoints import Progress
from retrain.engines.tfx.compression import write_variants
from retrain.engines.tfx.devices import cluster_of, device_names, local_strategy
from retrain.engines.tfx.exporter import Exporter, first_rows
from retrain.engines.tfx.free_memory import give_back
from retrain.engines.tfx.net_training import served_copy, train_net
from retrain.engines.tfx.training_config import NetJob, read_config
from retrain.engines.tfx.training_data import (
    TrainingData,
    load_columns,
    net_inputs,
    usable_rows,
)
from retrain.engines.tfx.training_loop import TrainingLoop, compile_net
from retrain.engines.tfx.training_plan import plan_of
from retrain.engines.tfx.training_process import train_in_processes
from retrain.engines.tfx.vocabularies import known_ranges, unknown_shares
from retrain.engines.tfx.warm_files import (
    Curve,
    TrainingRecord,
    finite,
    keep_trials,
    schema_digest,
    search_folder,
    write_warm_files,
)
from retrain.engines.tfx.warm_start import weights_obstacle
from retrain.models.heads import Head, head_of
from streaming.contracts.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """A trained net, wherever it was trained."""

    model: Any
    progress: Progress
    precision: str
    cold: str
    devices: tuple[str, ...]
    hyperparameters: dict[str, Any]
    workers: int = 1


def run_fn(fn_args: Any) -> None:
    """Train on the raw examples behind the transform graph; export to `serving_model_dir`.

    ``fn_args.custom_config`` is that of `training_config`. With ``fn_args.base_model`` the training
    starts from that model's weights where they fit (`warm_start`).
    """
    code, batch, options = read_config(fn_args.custom_config)
    keras.utils.clear_session()  # a worker trains many models in one process
    transform = tft.TFTransformOutput(fn_args.transform_output)
    raw_spec, layer = transform.raw_feature_spec(), transform.transform_features_layer()
    head = head_of(code.task)
    inputs = net_inputs(transform.transformed_feature_spec(), label=code.label)
    columns = load_columns(fn_args.train_files, raw_spec, layer, [*inputs, code.label])
    unknown = unknown_shares(columns, known_ranges(transform))
    data = usable_rows(columns, head, code.label)
    del columns  # they are in memory once
    give_back()
    if not options.logs:
        options = msgspec.structs.replace(options, logs=str(fn_args.model_run_dir or ""))
    job = NetJob(
        code=code,
        values=dict((fn_args.hyperparameters or {}).get("values", {})),
        batch=batch,
        steps=fn_args.train_steps,
        options=options,
        base=fn_args.base_model or "",
        rows_digest=data.digest() if options.checkpoints else "",
    )
    outcome = _trained(job, inputs, data, head, Path(fn_args.transform_output))
    exporter = Exporter(
        outcome.model,
        layer,
        raw_spec,
        columns=list(inputs),
        features=code.features,
        label=code.label,
        head=head,
    )
    exporter.save(fn_args.serving_model_dir)
    rows = first_rows(fn_args.eval_files)
    exporter.write_extras(fn_args.serving_model_dir, rows, model=code.model)
    write_warm_files(
        Path(fn_args.serving_model_dir),
        model=outcome.model,
        transform_graph=Path(fn_args.transform_output),
        record=_record(
            job,
            outcome,
            rows=len(data),
            unknown=unknown,
            schema=schema_digest(Path(fn_args.schema_path)) if fn_args.schema_path else "",
        ),
    )
    if options.checkpoints:
        search = search_folder(Path(options.checkpoints), job.rows_digest)
        keep_trials(search, Path(fn_args.serving_model_dir))
    if options.variants:
        write_variants(
            Path(fn_args.serving_model_dir),
            options.variants,
            exporter,
            outcome.model,
            rows=rows,
            model=code.model,
        )


def _trained(
    job: NetJob, inputs: dict[str, Any], data: TrainingData, head: Head, graph: Path
) -> _Outcome:
    base = Path(job.base) if job.base else None
    cold = weights_obstacle(base, graph, job.code.code_digest)
    cluster = cluster_of(os.environ.get("TF_CONFIG", ""))
    workers = cluster.workers if cluster.workers > 1 else job.options.workers
    if workers > 1:
        return _trained_in_processes(job, inputs, data, head, cold=cold, workers=workers)
    strategy = local_strategy(job.options.devices)
    net = train_net(job, inputs, data, head, strategy=strategy, cold=cold, consumed=True)
    return _Outcome(
        model=net.model,
        progress=net.progress,
        precision=net.precision,
        cold=net.cold,
        devices=device_names(strategy),
        hyperparameters=net.plan.hyperparameters(),
    )


def _trained_in_processes(
    job: NetJob,
    inputs: dict[str, Any],
    data: TrainingData,
    head: Head,
    *,
    cold: str,
    workers: int,
) -> _Outcome:
    if "TF_CONFIG" in os.environ and not job.options.shared:
        raise ConfigurationError(
            "TF_CONFIG names several workers, but no folder that they share; set the option"
            " `shared` of the training, or unset TF_CONFIG to train here."
        )
    if cluster_of(os.environ.get("TF_CONFIG", "")).index:
        raise ConfigurationError(
            "The pipeline runs beside worker 0 of TF_CONFIG; the other machines run"
            f" `python -m retrain.engines.tfx.training_process {job.options.shared}`."
        )
    with tempfile.TemporaryDirectory(prefix="driftline-training-") as temporary:
        folder = Path(job.options.shared or temporary)
        weights, result = train_in_processes(job, data, folder, cold=cold)
    training, _ = data.split()
    plan = plan_of(
        len(training), job.values, batch=job.batch, steps=job.steps, devices=len(result.devices)
    )
    return _Outcome(
        model=served_copy(job, inputs, head, weights),
        progress=result.progress,
        precision=result.precision,
        cold=result.cold,
        devices=result.devices,
        hyperparameters=plan.hyperparameters(),
        workers=workers,
    )


def _record(
    job: NetJob, outcome: _Outcome, *, rows: int, unknown: dict[str, float], schema: str
) -> TrainingRecord:
    cold = f"{outcome.cold[:1].upper()}{outcome.cold[1:]}." if outcome.cold else ""
    return TrainingRecord(
        code_digest=job.code.code_digest,
        schema_digest=schema,
        hyperparameters=job.values | outcome.hyperparameters,
        start="cold" if cold else "warm",
        start_reason=cold or "The champion's weights fit: same code, same vocabularies.",
        rows=rows,
        best_epoch=outcome.progress.best_epoch,
        curve=Curve(loss=finite(outcome.progress.loss), val_loss=finite(outcome.progress.val_loss)),
        devices=outcome.devices,
        workers=outcome.workers,
        precision=outcome.precision,
        out_of_vocabulary=unknown,
    )


def fit(
    model: Any, data: TrainingData, head: Head, values: dict[str, Any], *, batch: int, steps: int
) -> Progress:
    """Train `model` in this process for at most `steps` steps, for a ``run_fn`` of one's own.

    A model that ``build_model`` has compiled keeps its loss and optimiser.

    Raises
    ------
    GateFailedError
        When the loss is no number.
    """
    training, validation = data.split()
    plan = plan_of(len(training), values, batch=batch, steps=steps)
    compile_net(model, head, plan)
    return TrainingLoop(model, training, validation, plan).run()
