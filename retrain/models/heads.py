"""What the last layer, the loss and the served outputs of a net are for each kind of task.

A head connects a net with its task. The trainer and the exporter ask the head, so that neither
looks at the kind of task. Labels arrive as Transform computes them: 0 or 1, class names, numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.task import Task

PROBABILITIES, PREDICTIONS = "probabilities", "predictions"
"""Names of the served output: of a classifier, and of a regression."""
CLASSES = "classes"
"""Name of the served output with the class names of a multiclass model, [rows, classes]."""


class Head(Protocol):
    """The last layer of a net and what belongs to it."""

    width: int
    """Number of columns of the net's output."""

    def layer(self, hidden: Any) -> Any:
        """The last layer on `hidden`, [rows, units] → [rows, width]."""

    def loss(self) -> Any:
        """The Keras loss of targets and the layer's output."""

    def targets(self, labels: Any) -> Any:
        """Labels [rows, 1] of the training rows as the loss takes them; sets the scale.

        A row whose label has no target gets NaN and is left out of the training.
        """

    def outputs(self, values: Any) -> dict[str, Any]:
        """The net's output as the named tensors that are served."""

    def label(self, labels: Any) -> Any:
        """A tensor of labels as numbers, for the evaluation; NaN where a label has no number."""


class _BinaryHead:
    width = 1

    def layer(self, hidden: Any) -> Any:
        return keras.layers.Dense(1, activation="sigmoid", dtype="float32")(hidden)

    def loss(self) -> Any:
        return keras.losses.BinaryCrossentropy()

    def targets(self, labels: Any) -> Any:
        numbers = np.asarray(labels, np.float32)
        return np.where((numbers == 0) | (numbers == 1), numbers, np.nan)

    def outputs(self, values: Any) -> dict[str, Any]:
        return {PROBABILITIES: values}

    def label(self, labels: Any) -> Any:
        return labels


class _MulticlassHead:
    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self.width = len(classes)

    def layer(self, hidden: Any) -> Any:
        return keras.layers.Dense(self.width, activation="softmax", dtype="float32")(hidden)

    def loss(self) -> Any:
        return keras.losses.SparseCategoricalCrossentropy()

    def targets(self, labels: Any) -> Any:
        number_of = {name.encode(): float(number) for number, name in enumerate(self._classes)}
        numbers = [number_of.get(name, np.nan) for name in np.asarray(labels).ravel().tolist()]
        return np.asarray(numbers, np.float32)[:, np.newaxis]

    def outputs(self, values: Any) -> dict[str, Any]:
        rows = tf.shape(values)[0]
        names = tf.tile(tf.constant([list(self._classes)]), tf.stack([rows, 1]))
        return {PROBABILITIES: values, CLASSES: names}

    def label(self, labels: Any) -> Any:
        equal = tf.equal(tf.reshape(labels, [-1, 1]), tf.constant([list(self._classes)]))
        number = tf.cast(tf.argmax(equal, axis=1), tf.float32)
        known = tf.reduce_any(equal, axis=1)
        return tf.where(known, number, float("nan"))[:, tf.newaxis]


class _RegressionHead:
    """Trains on scaled labels, so that a net learns dollars as quickly as millions."""

    def __init__(self, loss: str, quantiles: tuple[float, ...]) -> None:
        self._loss = loss
        self._quantiles = quantiles
        self.width = max(1, len(quantiles))
        self._offset, self._scale = 0.0, 1.0

    def layer(self, hidden: Any) -> Any:
        activation = "exponential" if self._loss == "poisson" else None
        return keras.layers.Dense(
            self.width,
            activation=activation,
            kernel_initializer=_small_weights(),
            dtype="float32",
        )(hidden)

    def loss(self) -> Any:
        losses = {
            "squared": keras.losses.MeanSquaredError(),
            "poisson": keras.losses.Poisson(),
            "quantile": pinball_loss(self._quantiles),
        }
        return losses[self._loss]

    def targets(self, labels: Any) -> Any:
        numbers = np.asarray(labels, np.float64)
        counted = self._loss == "poisson"
        usable = np.isfinite(numbers) & ((numbers >= 0.0) | (not counted))
        if usable.any():
            mean, spread = float(numbers[usable].mean()), float(numbers[usable].std())
            self._offset = 0.0 if counted else mean
            self._scale = (mean if counted else spread) or 1.0
        scaled = np.where(usable, (numbers - self._offset) / self._scale, np.nan)
        return scaled.astype(np.float32)

    def outputs(self, values: Any) -> dict[str, Any]:
        # Sorted, because quantiles that cross contradict each other; sorting never increases the
        # loss (Chernozhukov, Fernandez-Val and Galichon, Econometrica 78, 2010).
        return {PREDICTIONS: tf.sort(values, axis=1) * self._scale + self._offset}

    def label(self, labels: Any) -> Any:
        return labels


def head_of(task: Task) -> Head:
    """The head of a task."""
    heads: dict[str, Callable[[], Head]] = {
        "binary": _BinaryHead,
        "multiclass": lambda: _MulticlassHead(task.classes),
        "regression": lambda: _RegressionHead(task.loss, task.quantiles),
    }
    return heads[task.kind]()


def checked_width(model: Any, head: Head) -> Any:
    """`model` itself when it has one output of the task's width.

    Raises
    ------
    ConfigurationError
        When ``build_model`` returned no such model.
    """
    shape = getattr(model, "output_shape", None)
    if not isinstance(model, keras.Model) or shape != (None, head.width):
        found_shape = f"an output of shape {shape}" if shape else f"a {type(model).__name__}"
        raise ConfigurationError(
            f"build_model returned {found_shape}; the task needs a keras.Model with an output of"
            f" shape (None, {head.width}). End it with retrain.models.heads.head_of(task).layer."
        )
    return model


def pinball_loss(quantiles: tuple[float, ...]) -> Any:
    """Mean pinball loss of [rows, quantiles] predictions (Koenker and Bassett, 1978)."""
    levels = np.asarray(quantiles, np.float32)

    def loss(targets: Any, values: Any) -> Any:
        short = tf.cast(targets, tf.float32) - values
        return tf.reduce_mean(tf.maximum(levels * short, (levels - 1.0) * short), axis=-1)

    return loss


def _small_weights() -> Any:
    """Weights with which an untrained net predicts about the mean of the labels."""
    return keras.initializers.RandomNormal(stddev=0.01)
