"""The TFX Trainer function: a small wide & deep net, exported so that TF Serving can run it.

The net adds a linear part over the buckets (the payment type alone predicts much of the tip) to a
deep part over embeddings and numbers. A run is short by design: a few hundred steps, no XLA.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from retrain.models.big_tipper import big_tipper_export
from retrain.models.big_tipper import big_tipper_features as spec

MAX_STEPS = 1000
"""Upper bound of the training steps, whatever the pipeline requests."""

MAX_EPOCHS = 6
"""Upper bound of the epochs; more of them overfit a small set: log loss doubles after 40."""

LEARNING_RATE = 0.01
EMBEDDING_SIZE = 8
HIDDEN_UNITS = (64, 32)
SEED = 20130101


def run_fn(fn_args: Any) -> None:
    """Train on the raw examples behind the transform graph; export to `serving_model_dir`.

    ``fn_args.custom_config["batch"]`` is the number of rows of one step (256).
    """
    keras.utils.clear_session()  # a worker trains many models in one process
    keras.utils.set_random_seed(SEED)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    layer = transform.transform_features_layer()
    columns, label = _load(fn_args.train_files, transform.raw_feature_spec(), layer)
    model = build_model()
    batch = int((fn_args.custom_config or {}).get("batch", 256))
    steps = min(fn_args.train_steps or MAX_STEPS, MAX_STEPS)
    _fit(model, columns, label, batch=batch, steps=steps)
    rows = big_tipper_export.first_rows(fn_args.eval_files)
    exporter = big_tipper_export.Exporter(model, layer, transform.raw_feature_spec())
    exporter.save(fn_args.serving_model_dir)
    exporter.write_extras(fn_args.serving_model_dir, rows)


def build_model() -> Any:
    """The untrained net: dict of [rows, 1] inputs → probability of a big tip, [rows, 1].

    All buckets share one table, each input with its own range: one lookup, a small graph.
    """
    inputs: dict[str, Any] = {
        name: keras.Input((1,), name=name, dtype="float32") for name in spec.numeric_names()
    }
    numbers = list(inputs.values())
    bucket_indices, start = [], 0
    for name, size in spec.bucket_sizes().items():
        inputs[name] = keras.Input((1,), name=name, dtype="int64")
        bucket_indices.append(inputs[name] + start)
        start += size
    indices = keras.layers.Concatenate()(bucket_indices)
    deep = keras.layers.Flatten()(keras.layers.Embedding(start, EMBEDDING_SIZE)(indices))
    wide = keras.layers.Embedding(start, 1, embeddings_initializer="zeros")(indices)
    hidden = keras.layers.Concatenate()([*numbers, deep])
    for units in HIDDEN_UNITS:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    joined = keras.layers.Concatenate()([hidden, keras.layers.Flatten()(wide)])
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(joined))


def _fit(model: Any, columns: dict[str, Any], label: Any, *, batch: int, steps: int) -> None:
    epoch_steps = max(1, len(label) // batch)
    epochs = min(MAX_EPOCHS, max(1, steps // epoch_steps))
    total_steps = min(steps, epochs * epoch_steps)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, total_steps)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss="binary_crossentropy",
        jit_compile=False,  # compiling would take longer than the training
    )
    partial_epoch = total_steps if total_steps < epoch_steps else None
    model.fit(
        columns,
        label,
        batch_size=batch,
        epochs=epochs,
        steps_per_epoch=partial_epoch,
        verbose=0,
    )


def _load(patterns: list[str], raw: Any, layer: Any) -> tuple[dict[str, Any], Any]:
    """The net's input columns in memory, about 80 bytes per row, and the labels."""
    transform = tf.function(lambda rows: layer(tf.io.parse_example(rows, raw)))
    files = sorted(tf.io.gfile.glob(patterns))
    data = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(4096)
    batches = [transform(rows) for rows in data]
    names = (*spec.numeric_names(), *spec.bucket_sizes(), spec.LABEL)
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in names}
    return columns, columns.pop(spec.LABEL)
