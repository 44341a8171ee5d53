"""Trains one net as a `NetJob` says: builds it, gives it its first weights, runs the loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import tensorflow as tf

from retrain.engines.tfx.checkpoints import Checkpoints, Progress
from retrain.engines.tfx.devices import capabilities, precision_of
from retrain.engines.tfx.training_config import NetJob
from retrain.engines.tfx.training_data import TrainingData
from retrain.engines.tfx.training_loop import OnEpoch, TrainingLoop, compile_net
from retrain.engines.tfx.training_plan import SEED, Plan, plan_of
from retrain.engines.tfx.warm_files import WEIGHTS
from retrain.engines.tfx.warm_start import load_weights
from retrain.models.code import import_function
from retrain.models.heads import Head, checked_width


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNet:
    """A trained net."""

    model: Any
    """In float32."""
    progress: Progress
    plan: Plan
    precision: str
    cold: str
    """Why it did not start from the champion's weights, as a clause; empty when it did."""


def train_net(
    job: NetJob,
    inputs: dict[str, Any],
    data: TrainingData,
    head: Head,
    *,
    strategy: Any,
    cold: str = "",
    on_epoch: OnEpoch = lambda progress, rate: True,
    is_chief: bool = True,
    consumed: bool = False,
) -> TrainedNet:
    """Train on the devices of `strategy`.

    Parameters
    ----------
    job:
        What is trained.
    inputs:
        `keras.Input` of each column.
    data:
        The rows; the last tenth decides when to stop.
    head:
        The task's head, whose targets the data has.
    strategy:
        The devices.
    cold:
        Why the weights of ``job.base`` are not used, as a clause; empty = try them.
    on_epoch:
        See `training_loop.OnEpoch`.
    is_chief:
        Whether this process writes checkpoints and logs.
    consumed:
        Whether `data` may lose its columns, because nobody needs them again; a million rows then
        take their memory once.
    """
    training, validation = data.divided() if consumed else data.split()
    devices = strategy.num_replicas_in_sync
    plan = plan_of(len(training), job.values, batch=job.batch, steps=job.steps, devices=devices)
    with strategy.scope():
        model, precision = _untrained(job, inputs, head)
        if not cold:
            cold = load_weights(model, Path(job.base)) if job.base else "no champion was given"
        compile_net(model, head, plan)
    loop = TrainingLoop(model, training, validation, plan, strategy=strategy)
    checkpoints = _checkpoints(job, plan, precision, cold)
    with _logged(job.options.logs if is_chief else "", on_epoch) as hook:
        progress = loop.run(checkpoints, hook, writes=is_chief)
    if checkpoints and is_chief:
        checkpoints.remove()
    if precision != "float32":
        model = served_copy(job, inputs, head, [np.asarray(v) for v in model.weights])
    return TrainedNet(
        model=model, progress=progress, plan=plan, precision=precision, cold=cold
    )  # fmt: skip


def untrained(job: NetJob, inputs: dict[str, Any], head: Head) -> Any:
    """The net that the model's code builds, with the same random weights each time."""
    keras.utils.set_random_seed(SEED)
    build_model = import_function(job.code.build_model)
    return checked_width(build_model(dict(inputs), job.values), head)


def served_copy(job: NetJob, inputs: dict[str, Any], head: Head, weights: list[Any]) -> Any:
    """A float32 net with these weights, as it is exported."""
    model = untrained(job, inputs, head)
    model.set_weights(weights)
    return model


def _untrained(job: NetJob, inputs: dict[str, Any], head: Head) -> tuple[Any, str]:
    model = untrained(job, inputs, head)
    precision = precision_of(job.options.precision, capabilities(), weights_outside_tables(model))
    if precision == "float32":
        return model, precision
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return untrained(job, inputs, head), precision
    finally:
        keras.config.set_dtype_policy(before)


def weights_outside_tables(model: Any) -> int:
    """Number of weights that are multiplied as matrices, not looked up."""
    return sum(
        layer.count_params()
        for layer in model.layers
        if layer.built and not isinstance(layer, keras.layers.Embedding)
    )


def _checkpoints(job: NetJob, plan: Plan, precision: str, cold: str) -> Checkpoints | None:
    if not job.options.checkpoints:
        return None
    # The folder of the base model is another one in each attempt.
    base = Path(job.base, WEIGHTS)
    weights = hashlib.sha256(base.read_bytes()).hexdigest() if base.is_file() else ""
    parts = (job.code, job.values, job.rows_digest, weights, plan.hyperparameters(), plan.rows)
    content = msgspec.json.encode([*parts, precision, cold], order="deterministic")
    return Checkpoints(
        Path(job.options.checkpoints),
        hashlib.sha256(content).hexdigest(),
        seconds=job.options.checkpoint_seconds,
    )


@contextmanager
def _logged(folder: str, on_epoch: OnEpoch) -> Iterator[Callable[[Progress, float], bool]]:
    """Write each epoch's values for TensorBoard, under the names that Keras uses."""
    if not folder:
        yield on_epoch
        return
    writers = {
        name: tf.summary.create_file_writer(str(Path(folder) / name))
        for name in ("train", "validation")
    }

    def write(progress: Progress, rate: float) -> bool:
        with writers["train"].as_default(step=progress.epoch):
            tf.summary.scalar("epoch_loss", progress.loss[-1])
            tf.summary.scalar("epoch_learning_rate", rate)
        if progress.val_loss:
            with writers["validation"].as_default(step=progress.epoch):
                tf.summary.scalar("epoch_loss", progress.val_loss[-1])
        return on_epoch(progress, rate)

    try:
        yield write
    finally:
        for writer in writers.values():
            writer.close()
