"""Boosted trees as a SavedModel of plain TensorFlow operations.

XGBoost, LightGBM and scikit-learn have no exporter whose graph TF Serving's C++ loader runs, and
TensorFlow Decision Forests needs operations of its own, which no stock server has. The trees of
scikit-learn's ``HistGradientBoosting*`` are arrays, though: a prediction descends all trees side by
side with gathers, one step for each level. `Forest` holds these arrays and is called like a Keras
model, so `retrain.engines.tfx.exporter.Exporter` exports it, and a ``run_fn`` of the model's own
can train trees. scikit-learn compares in double precision, and so does the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from streaming.contracts.errors import ConfigurationError


class Forest(tf.Module):  # type: ignore[misc]
    """Sums of trees: columns → output [rows, sums].

    Parameters
    ----------
    estimator:
        A fitted ``HistGradientBoostingClassifier`` or ``HistGradientBoostingRegressor`` without
        categorical features.
    columns:
        Names of the columns, in the order in which the estimator got their numbers.
    link:
        From sums of trees to the output, for example `tf.sigmoid`, `tf.nn.softmax` or `tf.exp`.

    Raises
    ------
    ConfigurationError
        When a tree splits by sets of categories.
    """

    def __init__(
        self, estimator: Any, columns: Sequence[str], link: Callable[[Any], Any] = tf.identity
    ) -> None:
        super().__init__()
        # scikit-learn has no public attribute with the trees of these estimators.
        groups = estimator._predictors
        trees = [tree.nodes for group in groups for tree in group]
        if any(nodes["is_categorical"].any() for nodes in trees):
            raise ConfigurationError(
                "Trees with categorical features cannot be exported; encode categories as numbers."
            )
        self._columns = tuple(columns)
        self._link = link
        self._sums = len(groups[0])
        self._depth = max(int(nodes["depth"].max()) for nodes in trees)
        starts = np.cumsum([0, *(len(nodes) for nodes in trees)])[:-1]
        nodes = np.concatenate(trees)
        start = np.repeat(starts, [len(tree) for tree in trees])
        leaf = nodes["is_leaf"].astype(bool)
        itself = np.arange(len(nodes))  # a leaf leads to itself, so that all trees are as deep
        self._roots = _variable(starts, np.int32)
        self._feature = _variable(np.where(leaf, 0, nodes["feature_idx"]), np.int32)
        self._threshold = _variable(nodes["num_threshold"], np.float64)
        self._missing_left = _variable(nodes["missing_go_to_left"], np.bool_)
        self._left = _variable(np.where(leaf, itself, start + nodes["left"]), np.int32)
        self._right = _variable(np.where(leaf, itself, start + nodes["right"]), np.int32)
        self._value = _variable(nodes["value"], np.float64)
        self._baseline = _variable(np.reshape(estimator._baseline_prediction, (1, -1)), np.float64)

    def __call__(self, columns: dict[str, Any], training: bool = False) -> Any:
        """The output, float32; `training` makes no difference."""
        numbers = [tf.cast(columns[name], tf.float64) for name in self._columns]
        inputs = tf.concat(numbers, axis=1)
        node = tf.tile(self._roots[tf.newaxis, :], tf.stack([tf.shape(inputs)[0], 1]))
        for _ in range(self._depth):
            value = tf.gather(inputs, tf.gather(self._feature, node), batch_dims=1)
            below = value <= tf.gather(self._threshold, node)
            missing = tf.math.is_nan(value) & tf.gather(self._missing_left, node)
            left, right = tf.gather(self._left, node), tf.gather(self._right, node)
            node = tf.where(below | missing, left, right)
        values = tf.gather(self._value, node)
        by_round = tf.reshape(values, tf.stack([tf.shape(inputs)[0], -1, self._sums]))
        return tf.cast(self._link(tf.reduce_sum(by_round, axis=1) + self._baseline), tf.float32)


def _variable(numbers: Any, dtype: Any) -> Any:
    return tf.Variable(np.asarray(numbers).astype(dtype), trainable=False)
