"""A net for tables that fits any contract, so that a model's own code can be a few lines.

>>> from retrain.models import tabular
>>> from retrain.models.big_tipper.contract import CODE
>>> preprocessing_fn = tabular.preprocessing_fn(CODE)
>>> def build_model(inputs, hyperparameters):
...     return tabular.build_model(inputs, hyperparameters, CODE.task)

A number becomes three inputs: its standard score, the standard score of its signed logarithm (for
amounts, whose range is wide), and whether it is missing. A missing number is the mean. A category
is hashed twice into `BUCKETS` buckets, and its embedding is that of both, so that two categories
that share a bucket still differ (Svenstrup, Hansen and Winther, *Hash embeddings*, 2017). The empty
text stands for a missing category. New categories need no new vocabulary. A list of categories (a
multivalent feature) has the mean of its values' embeddings; a list without values has zeros.

All numbers are one column of the net, and all categories another: with operations of its own for
each of 200 features a graph takes minutes to train, and longer to load than a server waits.

A column without any value in the training rows gives zeros, which the net cannot use; when values
appear, the next retrain learns them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from retrain.models.code import ModelCode
from retrain.models.heads import head_of
from streaming.contracts import listed
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

BUCKETS = 1_000
"""Hash buckets of a categorical feature, for each of its two hashes."""

LARGEST_SCORE = 10.0
"""Standard scores beyond this are cut, so that a single value cannot decide a prediction."""

TRUE_TEXTS = ("1", "true", "t", "yes", "y")
"""Texts, in any case, that mean 1 in a binary label."""

_NUMBER, _CATEGORY, _LIST = "_number", "_category", "_list"
_ALL = "every"


def preprocessing_fn(code: ModelCode) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A TFX Transform function from all features of a contract and its only label column.

    Raises
    ------
    ConfigurationError
        When the label is computed from several columns; `columns` helps to write a function then.
    """
    if len(code.label_columns) != 1:
        raise ConfigurationError(
            f"The label '{code.label}' is computed from {len(code.label_columns)} columns; write a"
            " preprocessing_fn that calls retrain.models.tabular.columns and computes the label."
        )

    def preprocess(inputs: dict[str, Any]) -> dict[str, Any]:
        target = label(inputs[code.label_columns[0]], code.task)
        return columns(inputs, code.features) | {code.label: target}

    return preprocess


def columns(inputs: Mapping[str, Any], features: Iterable[FeatureSpec]) -> dict[str, Any]:
    """The net's input columns of `features`.

    ``every_number`` has three inputs for each number, [rows, 3 * numbers]; ``every_category`` two
    buckets for each category, [rows, 2 * categories]; both in the order of the features' names. A
    list has a column of its own, [rows, 2 * listed.MAX_VALUES], where -1 fills up.
    """
    outputs, numbers, texts = {}, [], []
    for feature in sorted(features, key=lambda each: each.name):
        column = inputs[feature.name]
        if feature.multivalent:
            outputs[feature.name + _LIST] = _list_hashes(column)
        elif feature.categorical or feature.kind == "text":
            texts.append(dense(_as_text(column), ""))
        else:
            numbers.append(dense(_as_float(column), float("nan")))
    if numbers:
        outputs[_ALL + _NUMBER] = _scores(tf.concat(numbers, axis=1))
    if texts:
        outputs[_ALL + _CATEGORY] = _hashes(tf.concat(texts, axis=1))
    return outputs


def label(column: Any, task: Task) -> Any:
    """The label column [rows, 1] as the task has it: 0 or 1, a class name, or a number."""
    readers: dict[str, Callable[[Any], Any]] = {
        "binary": _binary_label,
        "multiclass": lambda values: dense(_as_text(values), ""),
        "regression": lambda values: dense(_as_float(values), float("nan")),
    }
    return readers[task.kind](column)


def build_model(
    inputs: dict[str, Any], hyperparameters: Mapping[str, Any], task: Task
) -> keras.Model:
    """A wide & deep net over the columns of `columns`.

    Parameters
    ----------
    inputs:
        Name → `keras.Input`.
    hyperparameters:
        ``units`` (64, 32) or "64,32", ``embedding_size`` (8), ``dropout`` (0); the trainer reads
        ``batch``, ``epochs`` and ``learning_rate``.
    task:
        Decides the last layer.
    """
    categories = [tensor for name, tensor in inputs.items() if name.endswith(_CATEGORY)]
    lists = [tensor for name, tensor in inputs.items() if name.endswith(_LIST)]
    numbers = [tensor for name, tensor in inputs.items() if name.endswith(_NUMBER)]
    parts, wide = list(numbers), list(numbers)
    rows, size = 2 * BUCKETS, int(hyperparameters.get("embedding_size", 8))
    for tensor in lists:
        table = keras.layers.Embedding(rows + 1, size)
        linear = keras.layers.Embedding(rows + 1, 1, embeddings_initializer="zeros")
        parts.append(_mean_embedding(table, tensor))
        wide.append(_mean_embedding(linear, tensor))
    if categories:
        buckets = _joined(categories)
        count = buckets.shape[1] // 2
        indices = buckets + np.repeat(rows * np.arange(count), 2)
        table = keras.layers.Embedding(rows * count, size)
        linear = keras.layers.Embedding(rows * count, 1, embeddings_initializer="zeros")
        parts.append(keras.layers.Flatten()(table(indices)))
        wide.append(keras.layers.Flatten()(linear(indices)))
    hidden = _joined(parts)
    layers = hyperparameters.get("units", (64, 32))
    for units in layers.split(",") if isinstance(layers, str) else layers:
        hidden = keras.layers.Dense(int(units), activation="relu")(hidden)
        if dropout := float(hyperparameters.get("dropout", 0.0)):
            hidden = keras.layers.Dropout(dropout)(hidden)
    return keras.Model(inputs, head_of(task).layer(_joined([hidden, *wide])))


def search_space(hp: Any) -> None:
    """What a search varies of this net; the first values are the defaults."""
    hp.Choice("units", ["64,32", "32,16", "128,64", "256,128,64"], default="64,32")
    hp.Choice("embedding_size", [4, 8, 16], default=8)
    hp.Float("dropout", 0.0, 0.3, step=0.1, default=0.0)
    hp.Float("learning_rate", 0.001, 0.03, sampling="log", default=0.01)
    hp.Choice("batch", [128, 256, 512], default=256)


def dense(column: Any, default: float | str) -> Any:
    """A column with at most one value per row as [rows, 1]; `default` where it is missing."""
    if not isinstance(column, tf.SparseTensor):
        return tf.reshape(column, [-1, 1])
    # Few operations: a served graph has several of these for each column, and takes longer to load.
    first = tf.sparse.slice(column, [0, 0], [tf.int64.max, 1])
    filled = tf.raw_ops.SparseToDense(
        sparse_indices=first.indices,
        output_shape=tf.maximum(first.dense_shape, [0, 1]),  # no value at all: [rows, 0]
        sparse_values=first.values,
        default_value=tf.constant(default, column.dtype),
        validate_indices=False,
    )
    return tf.reshape(filled, [-1, 1])


def _scores(numbers: Any) -> Any:
    """Standard score, standard score of the signed logarithm, and 1 where missing, for each column:
    [rows, 3 * columns]."""
    width = numbers.shape[1]
    exact = tf.cast(numbers, tf.float64)
    # Rounded, so that equal numbers have equal logarithms wherever they are in a tensor.
    logarithms = tf.cast(tf.sign(exact) * tf.math.log1p(tf.abs(exact)), tf.float32)
    both = tf.concat([numbers, logarithms], axis=1)
    # In float32, the mean of large values that hardly differ is off by their standard deviation,
    # and a constant column has a score. NaN and infinity do not count.
    scores = tft.scale_to_z_score(both, elementwise=True, output_dtype=tf.float64)
    finite = tf.where(tf.math.is_finite(scores), scores, 0.0)
    bounded = tf.cast(tf.clip_by_value(finite, -LARGEST_SCORE, LARGEST_SCORE), tf.float32)
    missing = tf.cast(tf.math.logical_not(tf.math.is_finite(numbers)), tf.float32)
    parts = [bounded[:, :width], bounded[:, width:], missing]
    return tf.reshape(tf.stack(parts, axis=2), [-1, 3 * width])


def _hashes(texts: Any) -> Any:
    """Two independent hash buckets of each category, in ranges of their own: [rows, 2 * texts]."""
    first = tf.strings.to_hash_bucket_fast(texts, BUCKETS)
    second = tf.strings.to_hash_bucket_fast(tf.strings.join([texts, "#"]), BUCKETS)
    return tf.reshape(tf.stack([first, second + BUCKETS], axis=2), [-1, 2 * texts.shape[1]])


def _list_hashes(column: Any) -> Any:
    """Two hash buckets of each value of a list, filled up with -1: [rows, 2 * MAX_VALUES]."""
    texts = tf.reshape(dense(column, ""), [-1])
    values = tf.strings.split(texts, sep=listed.SEPARATOR)
    values = tf.ragged.boolean_mask(values, values != "")
    shape = [None, listed.MAX_VALUES]
    first = tf.strings.to_hash_bucket_fast(values.flat_values, BUCKETS)
    again = tf.strings.join([values.flat_values, "#"])
    second = tf.strings.to_hash_bucket_fast(again, BUCKETS) + BUCKETS
    buckets = [values.with_flat_values(each).to_tensor(-1, shape=shape) for each in (first, second)]
    return tf.concat(buckets, axis=1)


def _mean_embedding(table: Any, buckets: Any) -> Any:
    """The mean of the rows of an embedding [rows, size]; zeros where all buckets are -1."""
    used = keras.ops.cast(buckets >= 0, "float32")
    total = keras.ops.sum(table(buckets + 1) * keras.ops.expand_dims(used, -1), axis=1)
    count = keras.ops.maximum(keras.ops.sum(used, axis=1, keepdims=True), 1.0)
    return total / count


def _binary_label(column: Any) -> Any:
    if column.dtype == tf.string:
        text = tf.strings.lower(dense(column, ""))
        return tf.cast(tf.reduce_any(text == tf.constant([TRUE_TEXTS]), 1, True), tf.int64)
    return tf.cast(dense(_as_float(column), 0.0), tf.int64)


def _as_float(column: Any) -> Any:
    return _mapped(column, lambda values: tf.cast(values, tf.float32))


def _as_text(column: Any) -> Any:
    return column if column.dtype == tf.string else _mapped(column, tf.strings.as_string)


def _mapped(column: Any, function: Callable[[Any], Any]) -> Any:
    """`function` on the values of a dense or a sparse column."""
    if isinstance(column, tf.SparseTensor):
        return tf.SparseTensor(column.indices, function(column.values), column.dense_shape)
    return function(column)


def _joined(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else keras.layers.Concatenate()(tensors)
