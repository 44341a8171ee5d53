"""Exports a SavedModel that TF Serving's C++ loader can run, with warm-up and probe rows.

Saving a Keras 3 model directly stores every variable twice, and the C++ loader restores the wrong
copy, while Python loads it without an error. The exported object is therefore a plain module that
holds the variables' values and the transform layer, and the signatures close over the model.

Signatures:

* ``serving_default``: one [rows, 1] tensor for each feature; missing is '', NaN or int64's lowest.
* ``serving_examples``: serialized tf.Example.
* ``transform_features``: serialized tf.Example to transformed columns with the label as a number
  (for TFMA).

The first two return the outputs of the task's head. The folder ``assets.extra`` beside the model
gets ``tf_serving_warmup_requests`` and ``probe.json``: rows with the outputs of the trained net in
memory, against which a server's predictions are checked. `retrain.engines.tfx.warm_files` adds
the files that a later training starts from.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from retrain.models.heads import CLASSES, Head
from streaming.contracts.model import MISSING, FeatureKind, FeatureSpec
from streaming.contracts.requests import instance

PROBE_ROWS = 32
"""Number of rows in the probe and the warm-up requests."""

_DTYPES: Mapping[FeatureKind, Any] = {"integer": tf.int64, "number": tf.float32, "text": tf.string}


class ServedModule(tf.Module):  # type: ignore[misc]
    """The saved object: the variables' values and the transform layer, no Keras object."""

    def __init__(self, model: Any, layer: Any) -> None:
        super().__init__()
        self.values = [
            variable if isinstance(variable, tf.Variable) else variable.value
            for variable in model.variables
        ]
        self.transform = layer


class Exporter:
    """Exports the trained net behind the transform layer, with one signature per input format.

    Parameters
    ----------
    model:
        The net, or a `retrain.models.forest.Forest`: dictionary of `columns` → [rows, width].
    columns:
        Names of the transformed columns that the net takes.
    layer:
        The transform layer, raw columns → transformed ones.
    raw_spec:
        Feature spec that parses a tf.Example into raw columns, label columns included.
    features:
        The model's features: the inputs of ``serving_default``.
    label:
        Name of the transformed label.
    head:
        Names the outputs, and gives the label a number.
    """

    def __init__(
        self,
        model: Any,
        layer: Any,
        raw_spec: dict[str, Any],
        *,
        columns: Sequence[str],
        features: Sequence[FeatureSpec],
        label: str,
        head: Head,
    ) -> None:
        self._model = model
        self._layer = layer
        self._raw_spec = raw_spec
        self._columns = tuple(columns)
        self._features = tuple(features)
        self._label = label
        self._head = head
        self._inputs = {feature.name: raw_spec[feature.name] for feature in features}

    def of(self, model: Any) -> Exporter:
        """An exporter of another net with the same inputs and outputs."""
        other = copy.copy(self)
        other._model = model
        return other

    def save(self, folder: str) -> None:
        """Write the SavedModel into `folder`."""
        columns = {
            feature.name: tf.TensorSpec([None, 1], _DTYPES[feature.kind], name=feature.name)
            for feature in self._features
        }
        rows = tf.TensorSpec([None], tf.string, name="examples")
        signatures = {
            "serving_default": tf.function(self._score_columns).get_concrete_function(**columns),
            "serving_examples": tf.function(self._score_examples).get_concrete_function(rows),
            "transform_features": tf.function(self._transform).get_concrete_function(rows),
        }
        tf.saved_model.save(ServedModule(self._model, self._layer), folder, signatures=signatures)

    def write_extras(self, folder: str, rows: list[bytes], *, model: str) -> None:
        """Write the probe and the warm-up requests, made of `rows` (serialized tf.Examples)."""
        served = self._score_examples(tf.constant(rows))
        classes = served.pop(CLASSES, None)
        ((output, values),) = served.items()
        instances = [values_of(row, self._features) for row in rows]
        numbers = np.asarray(values, np.float64)
        probe = {
            "instances": instances,
            "output": output,
            output: numbers.ravel().tolist() if self._head.width == 1 else numbers.tolist(),
        }
        if classes is not None:
            probe[CLASSES] = [name.decode() for name in classes.numpy()[0]]
        extra = os.path.join(folder, "assets.extra")
        tf.io.gfile.makedirs(extra)
        with tf.io.gfile.GFile(os.path.join(extra, "probe.json"), "w") as file:
            json.dump(probe, file)
        with tf.io.TFRecordWriter(os.path.join(extra, "tf_serving_warmup_requests")) as writer:
            for log in _warm_up(model, self._features, instances, rows):
                writer.write(log.SerializeToString())

    def _score(self, raw: dict[str, Any]) -> dict[str, Any]:
        transformed = self._layer(raw)
        columns = {name: transformed[name] for name in self._columns}
        return self._head.outputs(self._model(columns, training=False))

    def _score_columns(self, **columns: Any) -> dict[str, Any]:
        sparse = {name: each for name, each in columns.items() if _is_sparse(self._inputs[name])}
        return self._score(columns | _sparse(sparse))

    def _score_examples(self, examples: Any) -> dict[str, Any]:
        return self._score(tf.io.parse_example(examples, self._inputs))

    def _transform(self, examples: Any) -> dict[str, Any]:
        columns = dict(self._layer(tf.io.parse_example(examples, self._raw_spec)))
        return columns | {self._label: self._head.label(columns[self._label])}


def first_rows(patterns: list[str], count: int = PROBE_ROWS) -> list[bytes]:
    """The first serialized examples of gzipped shards."""
    files = sorted(tf.io.gfile.glob(patterns))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return list(islice(records, count))


def values_of(row: bytes, features: Sequence[FeatureSpec]) -> dict[str, Any]:
    """The features of a serialized tf.Example; None where a value is missing."""
    feature = tf.train.Example.FromString(row).features.feature
    values: dict[str, Any] = {}
    for spec in features:
        kind = feature[spec.name].WhichOneof("kind") if spec.name in feature else None
        elements = list(getattr(feature[spec.name], kind).value) if kind else []
        value = elements[0] if elements else None
        values[spec.name] = value.decode() if isinstance(value, bytes) else value
    return values


def _is_sparse(parsing: Any) -> bool:
    return isinstance(parsing, tf.io.VarLenFeature)


def _sparse(columns: dict[str, Any]) -> dict[str, Any]:
    """[rows, 1] with sentinels → sparse without them, as Transform got them in training.

    All columns of a type together: a graph with operations of its own for each takes long to load.
    """
    parts: dict[str, Any] = {}
    for kind, dtype in _DTYPES.items():
        names = [name for name, column in columns.items() if column.dtype == dtype]
        if not names:
            continue
        joined = tf.concat([columns[name] for name in names], axis=1)
        missing = MISSING[kind]
        present = tf.math.is_finite(joined) if kind == "number" else joined != missing
        indices, shape = tf.where(present), tf.shape(joined, out_type=tf.int64)
        whole = tf.SparseTensor(indices, tf.gather_nd(joined, indices), shape)
        parts.update(zip(names, tf.sparse.split(whole, len(names), axis=1), strict=True))
    return parts


def _warm_up(
    model: str,
    features: tuple[FeatureSpec, ...],
    instances: list[dict[str, Any]],
    rows: list[bytes],
) -> list[Any]:
    """Requests that a server sends itself when it loads: one row and a batch per signature."""
    logs = []
    for count in (1, len(rows)):
        filled = [instance(features, values) for values in instances[:count]]
        columns = {
            feature.name: tf.constant([row[feature.name] for row in filled], _DTYPES[feature.kind])
            for feature in features
        }
        logs.append(_log(model, "serving_default", columns))
        logs.append(_log(model, "serving_examples", {"examples": tf.constant(rows[:count])}))
    return logs


def _log(model: str, signature: str, tensors: dict[str, Any]) -> Any:
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name=model, signature_name=signature)
    )
    for name, tensor in tensors.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(tensor))
    log = prediction_log_pb2.PredictLog(request=request)
    return prediction_log_pb2.PredictionLog(predict_log=log)
