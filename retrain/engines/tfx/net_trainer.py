"""The platform's TFX Trainer function: trains a model's ``build_model`` and exports it.

The transformed rows are held in memory. The last tenth of the training rows decides when to stop
and which epoch's weights are kept; the evaluation rows are never used. Rows come in the order of
their key's hash, so that tenth is a random sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import msgspec
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from retrain.engines.tfx.exporter import Exporter, first_rows
from retrain.engines.tfx.training_config import TrainedCode
from retrain.models.code import import_function
from retrain.models.heads import Head, checked_width, head_of
from streaming.contracts.errors import ConfigurationError, GateFailedError

SEED = 20130101
LEARNING_RATE = 0.01
"""Adam's first step size, unless a hyperparameter ``learning_rate`` is given."""

STEPS = 300
"""Steps that a small training set gets at least, as several epochs."""

EPOCHS = (6, 40)
"""Fewest and most epochs. Early stopping ends most trainings before the bound."""

VALIDATION_SHARE = 0.1
STALE_EPOCHS = 3
"""Epochs without a better validation loss after which training stops."""

UNKNOWN_LABELS = 0.01
"""Largest share of rows whose label is none of the task's; they are left out."""


@dataclass(frozen=True, slots=True)
class _Data:
    columns: dict[str, Any]
    targets: Any

    def part(self, rows: slice) -> _Data:
        return _Data({name: v[rows] for name, v in self.columns.items()}, self.targets[rows])

    def __len__(self) -> int:
        return len(self.targets)


def run_fn(fn_args: Any) -> None:
    """Train on the raw examples behind the transform graph; export to `serving_model_dir`.

    ``fn_args.custom_config`` has ``code``, the JSON of a `TrainedCode`, and ``batch``, the largest
    number of rows of one step.
    """
    config = fn_args.custom_config
    code = msgspec.json.decode(config["code"], type=TrainedCode)
    keras.utils.clear_session()  # a worker trains many models in one process
    keras.utils.set_random_seed(SEED)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    raw_spec = transform.raw_feature_spec()
    layer = transform.transform_features_layer()
    head = head_of(code.task)
    inputs = net_inputs(transform.transformed_feature_spec(), label=code.label)
    values = (fn_args.hyperparameters or {}).get("values", {})
    build_model = import_function(code.build_model)
    model = checked_width(build_model(dict(inputs), values), head)
    data = _load(fn_args.train_files, raw_spec, layer, [*inputs, code.label])
    usable = usable_rows(data, head, code.label)
    fit(model, usable, head, values, batch=int(config["batch"]), steps=fn_args.train_steps)
    exporter = Exporter(
        model,
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


def net_inputs(spec: dict[str, Any], *, label: str) -> dict[str, Any]:
    """A `keras.Input` for each transformed column but the label.

    Raises
    ------
    ConfigurationError
        When a column is not dense, or the label is none of them.
    """
    if label not in spec:
        raise ConfigurationError(
            f"preprocessing_fn returns no column '{label}', the contract's label; it returns"
            f" {', '.join(sorted(spec))}."
        )
    sparse = [name for name, column in spec.items() if not hasattr(column, "shape")]
    if sparse:
        raise ConfigurationError(
            f"preprocessing_fn returns {', '.join(sparse)} without filling in missing values; a"
            " column must be dense, [rows, 1]. Use retrain.models.tabular.dense."
        )
    return {
        name: keras.Input(tuple(column.shape) or (1,), name=name, dtype=column.dtype.name)
        for name, column in spec.items()
        if name != label
    }


def fit(
    model: Any, data: _Data, head: Head, values: dict[str, Any], *, batch: int, steps: int
) -> None:
    """Train `model` for at most `steps` steps.

    A model that ``build_model`` has compiled keeps its loss and optimiser.

    Raises
    ------
    GateFailedError
        When the loss is no number at the end.
    """
    held_back = int(len(data) * VALIDATION_SHARE)
    training, validation = (
        data.part(slice(len(data) - held_back)),
        data.part(slice(len(data) - held_back, None)),
    )
    batch = max(1, min(int(values.get("batch", batch)), max(32, len(training) // 16)))
    epoch_steps = -(-len(training) // batch)
    epochs = min(max(EPOCHS[0], -(-STEPS // epoch_steps)), EPOCHS[1])
    epochs = int(values.get("epochs", max(1, min(epochs, steps // epoch_steps))))
    if not model.compiled:
        rate = float(values.get("learning_rate", LEARNING_RATE))
        total_steps = epochs * min(steps, epoch_steps)
        schedule = keras.optimizers.schedules.CosineDecay(rate, total_steps)
        # Compiling by XLA would take longer than the training.
        model.compile(keras.optimizers.Adam(schedule), head.loss(), jit_compile=False)
    history = model.fit(
        training.columns,
        training.targets,
        batch_size=batch,
        epochs=epochs,
        steps_per_epoch=steps if steps < epoch_steps else None,
        validation_data=(validation.columns, validation.targets) if held_back else None,
        validation_batch_size=4096,
        callbacks=[
            keras.callbacks.EarlyStopping(
                "val_loss" if held_back else "loss", 0.0, STALE_EPOCHS, restore_best_weights=True
            ),
            keras.callbacks.TerminateOnNaN(),
        ],
        verbose=0,
    )
    losses = history.history["loss"]
    if not np.isfinite(losses).all():
        raise GateFailedError(
            f"The training diverged: the loss is {losses[-1]} after {len(losses)} epochs. Scale the"
            " inputs in preprocessing_fn, or lower the learning rate."
        )


def _load(patterns: list[str], raw: Any, layer: Any, names: list[str]) -> dict[str, Any]:
    """The named transformed columns in memory, about 80 bytes per row."""
    transform = tf.function(lambda rows: layer(tf.io.parse_example(rows, raw)))
    files = sorted(tf.io.gfile.glob(patterns))
    data = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(4096)
    batches = [transform(rows) for rows in data]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in names}


def usable_rows(columns: dict[str, Any], head: Head, label: str) -> _Data:
    """The rows whose label has a target; takes the label out of `columns`.

    Raises
    ------
    GateFailedError
        When an input is no number, or more than `UNKNOWN_LABELS` of the labels are unknown.
    """
    targets = head.targets(columns.pop(label))
    for name, values in columns.items():
        if values.dtype.kind == "f" and (count := int((~np.isfinite(values)).sum())):
            raise GateFailedError(
                f"The transformed column {name} has {count} values that are no numbers; fill in"
                " missing values in preprocessing_fn."
            )
    known = np.isfinite(targets).all(axis=1)
    unknown = len(known) - int(known.sum())
    if unknown > UNKNOWN_LABELS * len(known):
        raise GateFailedError(
            f"{unknown} of {len(known)} training rows have a label that the task does not know;"
            f" at most {UNKNOWN_LABELS:.0%} are left out. Correct the contract's task, or the label"
            f" '{label}' that preprocessing_fn computes."
        )
    return _Data({name: values[known] for name, values in columns.items()}, targets[known])
