"""Layers with float16 or int8 weights, which compute in float32.

A table (embedding) is looked up first and converted afterwards, so a request converts the rows that
it needs and no others. A kernel is converted as a whole: it is used as a whole. int8 weights have a
scale for each row of a table and each column of a kernel: w ≈ scale · q with q in -127 … 127 and
scale = max |w| / 127, the symmetric scheme of Jacob et al. (*Quantization and Training of Neural
Networks*, CVPR 2018). The error of a weight is at most half a scale; of a float16, 2⁻¹¹ of it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from retrain.training_options import Kind

LEVELS = 127.0
"""Largest value of an int8 weight; -128 is not used, so that the range is symmetric."""

LARGEST_FLOAT16 = 65504.0


class CompressedTable(keras.layers.Layer):  # type: ignore[misc]
    """An embedding with compressed rows; [...] of integers → [..., width]."""

    def __init__(self, layer: Any, kind: Kind) -> None:
        super().__init__(name=layer.name, dtype="float32")
        table = np.asarray(layer.embeddings, np.float32)
        self._table, self._scale = _weights(self, table, kind, axis=1)

    def call(self, rows: Any) -> Any:
        """Look rows up, then convert them."""
        rows = tf.cast(rows, tf.int64)
        values = tf.cast(tf.gather(self._table.value, rows), tf.float32)
        return values if self._scale is None else values * tf.gather(self._scale.value, rows)

    def compute_output_shape(self, shape: Any) -> Any:
        """See Keras."""
        return (*shape, self._table.shape[1])


class CompressedDense(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer with a compressed kernel; its bias stays as it is."""

    def __init__(self, layer: Any, kind: Kind) -> None:
        super().__init__(name=layer.name, dtype="float32")
        self._activation = layer.activation
        kernel = np.asarray(layer.kernel, np.float32)
        self._kernel, self._scale = _weights(self, kernel, kind, axis=0)
        self._bias = None
        if layer.use_bias:
            self._bias = _weight(self, "bias", np.asarray(layer.bias, np.float32))

    def call(self, values: Any) -> Any:
        """The product is scaled by column: the same as a scaled kernel, with less to multiply."""
        product = keras.ops.matmul(values, tf.cast(self._kernel.value, tf.float32))
        if self._scale is not None:
            product = product * self._scale.value
        if self._bias is not None:
            product = product + self._bias.value
        return product if self._activation is None else self._activation(product)

    def compute_output_shape(self, shape: Any) -> Any:
        """See Keras."""
        return (*shape[:-1], self._kernel.shape[1])


def quantised(weights: Any, *, axis: int) -> tuple[Any, Any]:
    """int8 weights, and float32 scales that keep `axis` with length 1.

    >>> q, scale = quantised(np.array([[0.5, -1.0], [0.0, 0.0]]), axis=1)
    >>> q.tolist(), scale.ravel().round(4).tolist()
    ([[64, -127], [0, 0]], [0.0079, 1.0])
    """
    largest = np.abs(weights).max(axis=axis, keepdims=True)
    scale = np.where(largest > 0.0, largest / LEVELS, 1.0).astype(np.float32)
    return np.clip(np.rint(weights / scale), -LEVELS, LEVELS).astype(np.int8), scale


def _weights(layer: Any, values: Any, kind: Kind, *, axis: int) -> tuple[Any, Any]:
    if kind == "float16":
        halves = np.clip(values, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16)
        return _weight(layer, "half", halves), None
    levels, scale = quantised(values, axis=axis)
    return _weight(layer, "levels", levels), _weight(layer, "scale", scale)


def _weight(layer: Any, name: str, values: Any) -> Any:
    weight = layer.add_weight(
        shape=values.shape, dtype=values.dtype.name, name=name, trainable=False, initializer="zeros"
    )
    weight.assign(values)
    return weight
