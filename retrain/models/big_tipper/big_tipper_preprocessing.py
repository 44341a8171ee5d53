"""The TFX Transform function: raw columns to the net's inputs and the label.

The label is computed here from the tip, which only training data has. The serving graph drops every
output that needs a missing column, so a prediction request never needs the tip.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from retrain.models.big_tipper import big_tipper_features as spec


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Transform the columns; each output is [rows, 1]: float32, or int64 for buckets and label."""
    outputs = {}
    for name, scale in spec.LOG_SCALES.items():
        value = tf.cast(_dense(inputs[name], 0), tf.float32)
        logarithm = tf.math.log1p(tf.maximum(value, 0.0))
        outputs[spec.transformed(name)] = (logarithm - scale.middle) / scale.width
    for name, coordinate in spec.COORDINATES.items():
        offset = _dense(inputs[name], coordinate.centre) - coordinate.centre
        outputs[spec.transformed(name)] = tf.clip_by_value(offset * coordinate.scale, -10.0, 10.0)
    for name, size in spec.HASHED.items():
        text = _dense(inputs[name], "")
        outputs[spec.transformed(name)] = tf.strings.to_hash_bucket_fast(text, size)
    for name, size in spec.SMALL_INTEGERS.items():
        number = _dense(inputs[name], -1)
        outputs[spec.transformed(name)] = tf.clip_by_value(number, -1, size - 2) + 1
    outputs[spec.LABEL] = _label(_dense(inputs[spec.TIPS], 0.0), _dense(inputs[spec.FARE], 0.0))
    return outputs


def _label(tips: Any, fare: Any) -> Any:
    return tf.cast(tips > fare * tf.constant(spec.BIG_TIP_RATIO, tf.float32), tf.int64)


def _dense(column: Any, default: float | str) -> Any:
    """A column with at most one value per row as [rows, 1]; `default` where it is missing."""
    if not isinstance(column, tf.SparseTensor):
        return column
    rows = tf.shape(column, out_type=tf.int64)[0]
    clipped = tf.SparseTensor(column.indices, column.values, tf.stack([rows, 1]))
    filled = tf.sparse.to_dense(clipped, default_value=tf.constant(default, column.dtype))
    return tf.reshape(filled, [-1, 1])
