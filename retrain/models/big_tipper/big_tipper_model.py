"""The untrained net: wide & deep.

A linear part over the buckets (the payment type alone predicts much of the tip) is added to a deep
part over embeddings and numbers. All buckets share one table, each input with its own range: one
lookup, a small graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from retrain.models.big_tipper import big_tipper_features as spec
from retrain.models.heads import head_of
from streaming.contracts.task import BINARY

EMBEDDING_SIZE = 8
HIDDEN_UNITS = (64, 32)


def build_model(inputs: dict[str, Any], hyperparameters: Mapping[str, Any]) -> Any:
    """Transform's columns [rows, 1] → probability of a big tip, [rows, 1]."""
    bucket_indices, start = [], 0
    for name, size in spec.bucket_sizes().items():
        bucket_indices.append(inputs[name] + start)
        start += size
    indices = keras.layers.Concatenate()(bucket_indices)
    deep = keras.layers.Flatten()(keras.layers.Embedding(start, EMBEDDING_SIZE)(indices))
    wide = keras.layers.Embedding(start, 1, embeddings_initializer="zeros")(indices)
    hidden = keras.layers.Concatenate()([*(inputs[name] for name in spec.numeric_names()), deep])
    for units in HIDDEN_UNITS:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    joined = keras.layers.Concatenate()([hidden, keras.layers.Flatten()(wide)])
    return keras.Model(inputs, head_of(BINARY).layer(joined))
